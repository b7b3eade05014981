#!/bin/bash
# What a service manager hears: READY when it serves, WATCHDOG while it lives, RELOADING and READY around HUP (with the
# line at fault, which status tells too), STOPPING at the end. Over a path and over an abstract name.
. "$(dirname "$0")/lib.sh"

cat >manager.py <<'PY'
import socket, sys
name, out = sys.argv[1:3]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\0" + name[1:] if name[0] == "@" else name)
with open(out, "a", buffering=1) as f:
    f.write("LISTENING\n")
    while True:
        f.write(s.recv(65536).decode().replace("\n", " | ") + "\n")
PY

heard() { grep -q -- "$1" told; }
heard_after() { # LINE-COUNT WORD: heard beyond that line
    sed "1,$1d" told >later
    grep -q -- "$2" later
}

hear() { # NAME
    rm -f told
    python3 manager.py "$1" told &
    daemon[manager]=$!
    wait_for test -s told || fail "no listener"
}

hear "@stoq-e2e-$$"
export NOTIFY_SOCKET=@stoq-e2e-$$ WATCHDOG_USEC=300000
start A
heard '^READY=1 | STATUS=serving$' || wait_for heard '^READY=1 | STATUS=serving$' || fail "no READY"
[ -s A.ready ] || fail "READY came before the ready file"
wait_for heard '^WATCHDOG=1$' || fail "no WATCHDOG"
n=$(wc -l <told)
wait_for heard_after "$n" '^WATCHDOG=1$' || fail "WATCHDOG came only once"

n=$(wc -l <told)
kill -HUP "${daemon[A]}"
wait_for heard_after "$n" '^RELOADING=1 | MONOTONIC_USEC=[0-9][0-9]*$' || fail "no RELOADING"
wait_for heard_after "$n" '^READY=1 | STATUS=serving$' || fail "no READY after RELOADING"
on A status --json | jq -e --arg f "$TMP/A/stoq.conf" \
    '.configuration.file == $f and .configuration.read_at > 1600000000 and (.configuration | has("refused") | not)' >/dev/null ||
    fail "$(on A status --json)"

lines=$(wc -l <A/stoq.conf)
printf 'nonsense = 1\n' >>A/stoq.conf
n=$(wc -l <told)
kill -HUP "${daemon[A]}"
wait_for heard_after "$n" "^READY=1 | STATUS=serving; configuration refused: .*stoq.conf:$((lines + 1)): .*nonsense" || fail "no reason"
on A status --json | jq -e --arg at "stoq.conf:$((lines + 1)): " '.configuration.refused | contains($at)' >/dev/null ||
    fail "status does not say what is wrong: $(on A status --json)"
sed -i '$d' A/stoq.conf
n=$(wc -l <told)
kill -HUP "${daemon[A]}"
wait_for heard_after "$n" '^READY=1 | STATUS=serving$' || fail "no READY after the repair"
on A status --json | jq -e '.configuration | has("refused") | not' >/dev/null || fail "still refused"
stop A
wait_for heard '^STOPPING=1' || fail "no STOPPING"
stop manager KILL

unset WATCHDOG_USEC
hear "$TMP/notify"
export NOTIFY_SOCKET=$TMP/notify
start A
wait_for heard '^READY=1' || fail "no READY over a path"
stop A
wait_for heard '^STOPPING=1' || fail "no STOPPING over a path"
! heard WATCHDOG || fail "WATCHDOG, and nobody asked for it"
stop manager KILL

# A manager that is gone, and none at all.
start A
stop A

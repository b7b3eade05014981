#!/bin/bash
# After a load the daemon holds as many descriptors as before: connections, streams, control clients and files it
# opened are closed again.
. "$(dirname "$0")/lib.sh"

mkdir in
head -c 400000 /dev/urandom >in/a
start A
id=$(on A publish in --name data --version 1 -q)
ghost=$(on G publish in --name ghost --version 1 -q) # A has no such package
fds() { find "/proc/${daemon[A]}/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
as_before() { [ "$(fds)" -le "$before" ]; }

# What is opened once and stays open is open after a first round.
round() { # NUMBER
    on A cat "$id" a --range 0-9 >/dev/null
    on A status -q >/dev/null
    "$STOQ" --home "$TMP/H$1" get "$id" --from "$(contact A)" -q >/dev/null
    "$STOQ" --home "$TMP/H$1" get stoq1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqp \
        --from "$(contact A)" -q >/dev/null 2>&1 || true
    rm -rf "$TMP/H$1"
}
round 0
idle() { on A status --json | jq -e '.net.connections == 0' >/dev/null; }
wait_for idle || fail "connections stay open"
before=$(fds)
for i in $(seq 1 6); do
    round "$i" &
    round "x$i"
    wait $!
done
wait_for as_before || fail "$before descriptors before, $(fds) after: $(ls -l "/proc/${daemon[A]}/fd")"

# Clients that connect and say nothing are no leak once they are gone.
python3 - "$TMP/A/control.sock" <<'PY'
import socket, sys
held = []
for _ in range(40):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(sys.argv[1])
    held.append(s)
PY
wait_for as_before || fail "control clients left descriptors: $before before, $(fds) now"
stop A

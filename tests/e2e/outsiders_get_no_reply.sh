#!/bin/bash
# network.key: those who have it find each other as ever; those who have not, or another one, get no reply of
# any kind: not one datagram leaves for them. Nor for who recorded what a member sent and sends it again: a first
# flight or a sealed request, to the listener it was for, while the connection lives, afterwards and after a
# restart, or to another one of the network.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

key=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
on A init -q >/dev/null
(umask 077 && echo "$key" >A/network.key)
# Without the exchange it dials nobody by itself: what leaves is an answer.
printf '[network]\nkey = %s/A/network.key\n[discovery]\nexchange = off\n' "$TMP" >A/stoq.conf
start A
echo data >in
id=$(on A publish in --name data --version 1 -q)

on B init -q >/dev/null
printf 'network.key = %s\n' "$key" >B/stoq.conf
on B get "$id" --from "$(contact A)" -q >/dev/null || fail "a member gets nothing"
on B ping "$(contact A)" --datagram --json >/dev/null || fail "a member's datagram"

wait_for eval '[ "$(on A status --json | jq .net.connections)" = 0 ]' || fail "B did not leave"
sent=$(on A status --json | jq .net.wire_bytes_sent)
for config in '' "network.key = $(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')"; do
    rm -rf C && on C init -q >/dev/null
    printf '%s\n' "$config" >C/stoq.conf
    exits 5 on C ping "$(contact A)" --timeout 2
done
# Their first packets came, and nothing went back.
on A status --json >status
jq -e --argjson sent "$sent" '.net.dropped_outsider >= 2 and .net.wire_bytes_sent == $sent and .net.handshakes == 0' status >/dev/null ||
    fail "something went back: $(jq .net status)"

# Nor does anything that a scanner sends: other versions of QUIC (which a server answers with a list of its own), handshakes of
# nobody, packets of connections that are not (answered by a reset elsewhere), sealed datagrams and beacons of no network.
sent=$(on A status --json | jq .net.wire_bytes_sent)
received=$(on A status --json | jq .net.wire_bytes_received)
python3 - "$(jq -r '.listen[0]' A.ready)" <<'PY' || fail "a scanner got an answer"
import os, select, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect((host.strip("[]"), int(port)))
ids = bytes([8]) + os.urandom(8) + bytes([8]) + os.urandom(8)
for first in range(0, 256, 4):
    for version in (b"\0\0\0\1", b"\x6b\x33\x43\xcf", b"\x1a\x2a\x3a\x4a", b"\0\0\0\0"):
        for size in (21, 64, 600, 1200, 1400):
            s.send((bytes([first | 3]) + version + ids + bytes(2) + os.urandom(1400))[:size])
sys.exit(bool(select.select([s], [], [], 1)[0]))
PY
took() { [ "$(on A status --json | jq .net.wire_bytes_received)" -gt $((received + 100000)) ]; }
wait_for took || fail "nothing of the scanner's came"
[ "$(on A status --json | jq .net.wire_bytes_sent)" = "$sent" ] || fail "something went back to a scanner"

# The same network without its key, but with what a member sent.
tool=$here/../tools/udp_tape.py
listens() { jq -r '.listen[0]' "$1.ready"; }
"$tool" record "$(listens A)" "$TMP/tape" "$TMP/relay" &
relay=$!
wait_for [ -s relay ] || fail "no relay"
via=$(jq -r .peer A.ready)@$(cat relay)
start B
on B ping "$via" -q >/dev/null || fail "a member through the relay"
on B ping "$via" --datagram -q >/dev/null || fail "a member's datagram through the relay"
unheard() { # NAME: nothing comes back from it, and it says nothing to anybody
    local before
    before=$(on "$1" status --json | jq .net.wire_bytes_sent)
    [ "$("$tool" play tape "$(listens "$1")")" = 0 ] || fail "$1 answers a copy"
    [ "$(on "$1" status --json | jq .net.wire_bytes_sent)" = "$before" ] || fail "$1 said something"
}
quiet() { [ "$(on A status --json | jq .net.wire_bytes_sent)" = "$(sleep 0.3 && on A status --json | jq .net.wire_bytes_sent)" ]; }
wait_for quiet || fail "the connection does not come to rest"
[ "$("$tool" play tape "$(listens A)")" = 0 ] || fail "a copy is answered while its connection lives"
stop B
wait_for eval '[ "$(on A status --json | jq .net.connections)" = 0 ]' || fail "B did not leave"
wait_for quiet || fail "the goodbye does not end"
unheard A
on A status --json | jq -e '.rejected.replayed >= 2' >/dev/null || fail "copies were not counted: $(on A status --json | jq .rejected)"
grep -q 'refused .*: a copy of what a member of this network has sent' A.log || fail "the log does not say so"
cp A/stoq.conf conf && on E init -q >/dev/null && cp conf E/stoq.conf
start E
unheard E
stop E
stop A
start A
unheard A
on B ping "$(contact A)" -q >/dev/null || fail "a member is kept out"
kill "$relay"
wait "$relay" || true
stop A

# A file that others may read, or that holds something else, is refused.
chmod 644 A/network.key
exits 1 "$STOQ" --home "$(home D)" --config A/stoq.conf daemon --listen '[::1]:0'
says 'network.key'
says '0600'
printf 'no key\n' >A/network.key && chmod 600 A/network.key
exits 1 "$STOQ" --home "$(home D)" --config A/stoq.conf daemon --listen '[::1]:0'
says 'not 64 hexadecimal digits'

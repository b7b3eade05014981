#!/bin/bash
# network.key: those who have it find each other as ever; those who have not, or another one, get no reply of
# any kind: not one datagram leaves for them.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

key=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
on A init -q >/dev/null
(umask 077 && echo "$key" >A/network.key)
printf '[network]\nkey = %s/A/network.key\n' "$TMP" >A/stoq.conf
start A
echo data >in
id=$(on A publish in --name data --version 1 -q)

on B init -q >/dev/null
printf 'network.key = %s\n' "$key" >B/stoq.conf
on B get "$id" --from "$(contact A)" -q >/dev/null || fail "a member gets nothing"
on B ping "$(contact A)" --datagram --json >/dev/null || fail "a member's datagram"

wait_for 10 eval '[ "$(on A status --json | jq .net.connections)" = 0 ]' || fail "B did not leave"
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

# A file that others may read, or that holds something else, is refused.
chmod 644 A/network.key
exits 1 "$STOQ" --home "$(home D)" --config A/stoq.conf daemon --listen '[::1]:0'
says 'network.key'
says '0600'
printf 'no key\n' >A/network.key && chmod 600 A/network.key
exits 1 "$STOQ" --home "$(home D)" --config A/stoq.conf daemon --listen '[::1]:0'
says 'not 64 hexadecimal digits'
stop A

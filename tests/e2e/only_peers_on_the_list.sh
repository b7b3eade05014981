#!/bin/bash
# allow: peers on the list are answered as ever; anybody else is sent away before a question of his is looked at, so that
# nothing tells a package that is there from one that is not, over a connection or in a datagram.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

for name in A B C; do
    on $name init -q >/dev/null
    declare "$name=$(on $name key --json | jq -r .peer)"
done
printf 'allow = %s\nallow = %s\n' "$(on X init --json | jq -r .peer)" "$B" >A/stoq.conf
start A
echo data >in
id=$(on A publish in --name data --version 1 -q)
echo other >in
none=$(on C publish in --name other --version 1 -q)
on C rm "$none" -q >/dev/null
on B get "$id" --from "$(contact A)" -q >/dev/null || fail "a peer on the list gets nothing"

served=$(on A status --json | jq .net.requests_served)
for what in "$id" "$none"; do
    exits 5 on C get "$what" --from "$(contact A)" --json
    jq -c '[.error.code, .error.status]' out >"answer-$what"
done
cmp "answer-$id" "answer-$none" || fail "the answers differ: $(cat answer-*)"
exits 5 on C ping "$(contact A)" --timeout 5
exits 5 on C ping "$(contact A)" --datagram --timeout 5
on A status --json >status
jq -e --argjson served "$served" '.net.requests_served == $served and .net.rpc_answered == 0 and .net.bytes_served > 0' status >/dev/null ||
    fail "something of an outsider's was answered: $(jq .net status)"
grep -q 'not among the peers that are allowed' A.log || fail "the log does not say so"

# Nor is anybody else dialled.
start C
exits 5 on A get "$none" --from "$(contact C)"
says 'does not name this peer'
[ "$(on C status --json | jq .net.opened_inbound)" = 0 ] || fail "A dialled C"
stop C
stop A
printf 'allow = peer1\n' >A/stoq.conf
exits 1 on A status
says 'is not a peer id'

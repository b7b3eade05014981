#!/bin/bash
# A publishes; B fetches from A, C from A and B at once, D without a daemon from the configuration's peer;
# then an edited version moves little.
. "$(dirname "$0")/lib.sh"

mkdir -p in/sub
for i in $(seq 40); do
    head -c 700000 /dev/urandom >"in/sub/random $i"
done
seq 200000 >in/numbers
: >in/empty
ln -s numbers in/link
chmod 0755 in/numbers

start A
start B
start C
id=$(on A publish in --name data --version 1 -q)

on B get "$id" --from "$(contact A)" -o b --json >out
jq -e --arg peer "$(jq -r .peer A.ready)" '.bytes > 28000000 and .bytes_from_peers == .bytes and .bytes_new == .bytes and
    .bytes_had == 0 and (.complete_before | not) and (.sources | length == 1) and .sources[0].peer == $peer and
    .sources[0].bytes == .bytes and (.signed_by | startswith("key1")) and (.group | test("MLKEM1024"))' out >/dev/null ||
    fail "B's get: $(cat out)"
same_tree in b
on B verify "$id" -q || fail "B's copy does not verify"

on C get "$id" --from "$(contact A)" --from "$(contact B)" -o c --json >out
jq -e '(.sources | length == 2 and all(.bytes > 0 and .connected)) and (.sources | map(.bytes) | add) >= .bytes' out >/dev/null ||
    fail "C did not use both: $(cat out)"
same_tree in c

on D init -q >/dev/null
sed -i "1i peer = $(contact B)" D/stoq.conf
on D get "$id" -o d --progress=json 2>err
same_tree in d
[ -s err ] || fail "no progress"
jq -es 'map(.type == "progress" and (.bytes | type == "number")) | all' <(grep '^{' err) >/dev/null || fail "progress: $(cat err)"

on B get "$id" --json >out # complete: no source needed
jq -e '.complete_before and .bytes_from_peers == 0 and .bytes_had == .bytes' out >/dev/null || fail "a second get: $(cat out)"

on A peers --json | jq -e '.peers | type == "array"' >/dev/null || fail "peers"
on A status --json | jq -e '.net.bytes_served > 28000000 and .net.requests_served > 0' >/dev/null || fail "status"

printf 'X' | dd of='in/sub/random 7' bs=1 seek=350000 conv=notrunc status=none
new=$(on A publish in --name data --version 2 -q)
[ "$new" != "$id" ] || fail "an edited tree has the same id"
on B get "$new" --from "$(contact A)" -o b2 --json >out
jq -e '.bytes_from_peers < 1000000 and .bytes_had > 27000000' out >/dev/null || fail "the update: $(cat out)"
same_tree in b2
for name in A B C; do
    stop $name
done

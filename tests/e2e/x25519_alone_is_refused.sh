#!/bin/bash
# A peer that offers X25519 alone gets nothing and is told why, whoever dials: no silent downgrade.
. "$(dirname "$0")/lib.sh"
"$STOQ" help publish >/dev/null 2>&1 || exit 77 # built without a node
odd=$STOQ_BUILD/tests/odd_peer

start A
address=$(jq -r '.listen[0]' A.ready)
"$odd" dial "$address" >out || fail "let in: $(cat out)"
grep -q 'SecP384r1MLKEM1024, MLKEM1024.*X25519' out || fail "the dialler was not told both lists: $(cat out)"

"$odd" listen >odd.contact &
odd_pid=$!
trap 'kill $odd_pid 2>/dev/null; at_end' EXIT
wait_for test -s odd.contact
echo data >in
id=$(on A publish in --name data --version 1 -q)
exits 5 "$STOQ" --home "$(home B)" get "$id" --from "$(cat odd.contact)" -o b
says 'no key exchange in common'
says 'SecP384r1MLKEM1024'

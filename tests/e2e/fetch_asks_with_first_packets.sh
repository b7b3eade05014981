#!/bin/bash
# With transport.early_data on both sides a fetch asks for metadata in the first packets of a connection with a peer
# that it met before; a listener that does not take them is asked again; with it off nothing travels so. What was
# fetched is whole each time, and the counters say which way it went.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

figure() { on "$1" status --json | jq ".net.$2"; }
number=0
fetch() { # FROM TO: something new, over a connection of its own
    number=$((number + 1))
    wait_for alone "$1" || fail "not closed when idle"
    head -c 100000 /dev/urandom >in
    id=$(on "$2" publish in --name "in$number" --version 1 -q)
    rm -rf out.d
    on "$1" get "$id" --from "$(contact "$2")" -o out.d -q >out 2>err || fail "get $number: $(cat err)"
    cmp in out.d/in || fail "other bytes"
}
early_data A on
early_data B on
early_data C off
fetch B A # without a ticket
[ "$(figure B early_asked)" = 0 ] || fail "asked early without a ticket"
fetch B A
[ "$(figure B early_asked)" -ge 1 ] || fail "not asked in the first packets: $(on B status --json | jq -c .net)"
[ "$(figure A early_taken)" -ge 1 ] && [ "$(figure B early_rejected)" = 0 ] || fail "not taken"
fetch C A
fetch C A
[ "$(figure C early_asked)" = 0 ] || fail "asked early though it is off"

# A listener that has forgotten its tickets takes none of it, and the fetch asks again.
wait_for alone B || fail "not closed when idle"
address=$(jq -r '.listen[0]' A.ready)
stop A
rm -f A.ready
"$STOQ" --home "$(home A)" daemon --listen "$address" --ready-file A.ready >>A.log 2>&1 &
daemon[A]=$!
wait_for served A || fail "A did not come back"
asked=$(figure B early_asked)
fetch B A
[ "$(figure B early_asked)" -gt "$asked" ] || fail "the old ticket was not tried"
[ "$(figure B early_rejected)" = 1 ] && [ "$(figure A early_taken)" = 0 ] || fail "an unknown ticket was taken"
stop A
stop B
stop C

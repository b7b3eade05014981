#!/bin/bash
# transport.early_data: a peer met before is asked in the first packets of the next connection, when both sides
# have it on; by default nobody gives or uses a ticket.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

twice() { # FROM TO: the second ping's `early`
    wait_for alone "$1" || fail "not closed when idle"
    on "$1" ping "$(contact "$2")" --json | jq -e '.early == false and .connected_before == false' >/dev/null || fail "the first ping"
    wait_for alone "$1" || fail "not closed when idle"
    on "$1" ping "$(contact "$2")" --json >out || fail "$(cat out)"
    jq .early out
}
early_data A on
early_data B on
early_data C off
[ "$(twice B A)" = true ] || fail "no early data: $(cat out)"
jq -e '.group == "resumed" or (.group | startswith("SecP384"))' out >/dev/null || fail "$(cat out)"
[ "$(twice C A)" = false ] || fail "a dialler without it used it"
[ "$(twice A C)" = false ] || fail "a listener without it gave a ticket"
# A listener that has forgotten its tickets is asked again, the usual way.
wait_for alone B || fail "not closed when idle"
on B ping "$(contact A)" -q >/dev/null
wait_for alone B || fail "not closed when idle"
address=$(jq -r '.listen[0]' A.ready)
stop A
rm -f A.ready
"$STOQ" --home "$(home A)" daemon --listen "$address" --ready-file A.ready >>A.log 2>&1 &
daemon[A]=$!
wait_for served A
on B ping "$(contact A)" --json | jq -e '.early == false' >/dev/null || fail "an unknown ticket"

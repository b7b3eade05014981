#!/bin/bash
# One peer has two connections at most: a third takes the place of the oldest, so that a peer which was killed and
# started again is not kept out by what it left behind.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

start A
a=$(contact A)
on B init -q >/dev/null
cp -r B C && cp -r B D # the same key three times
for name in B C D; do
    start "$name"
    on "$name" ping "$a" -q >/dev/null || fail "$name is kept out"
done
two() { on A status --json | jq -e '.net.connections == 2' >/dev/null; }
wait_for two || fail "not two: $(on A peers --json)"
# The one it asks on itself stays, and so does the newest.
wait_for grep -q "a newer connection took this one's place" C.log || fail "the oldest besides was not told: $(cat C.log)"
on B ping "$a" --json | jq -e .connected_before >/dev/null || fail "the first was cut"
on D ping "$a" --json | jq -e .connected_before >/dev/null || fail "the newest was cut"

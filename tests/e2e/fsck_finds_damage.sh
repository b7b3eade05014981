#!/bin/bash
# fsck reads all of the store: nothing to say of a sound one, exit code 4 for one flipped bit, and what
# is damaged is not offered any more. With and without a daemon.
. "$(dirname "$0")/lib.sh"
"$STOQ" help fsck >/dev/null 2>&1 || exit 77 # built without a node

on A init -q >/dev/null
head -c 2000000 /dev/urandom >content
on A store put content -q >/dev/null
on A fsck --json >out || fail "a sound store: $(cat out)"
jq -e '.sound and .problems == 0 and .damaged == 0 and .live > 20 and .records >= .live' out >/dev/null ||
    fail "a sound store: $(cat out)"

start A
exits 0 on A fsck
says '0 of'
stop A

"$STOQ_SRC/tests/tools/flip_chunk.py" "$(home A)/store" >/dev/null
exits 4 on A fsck --json
jq -e '.sound == false and .damaged == 1 and .lost == 1 and .error.code == "StoreDamaged"' out >/dev/null ||
    fail "one flipped bit: $(cat out)"
exits 4 on A fsck
says 'quarantined'
start A
exits 4 on A fsck
says 'the store has 2 problems'
on A store put content -q >/dev/null
on A fsck --json >out || fail "the damaged place is harmless now: $(cat out)"
jq -e '.sound and .damaged == 1 and .harmless == 1 and .lost == 0' out >/dev/null || fail "put again: $(cat out)"
on A fsck >out
grep -q 'harmless, nothing that is needed lies there' out || fail "$(cat out)"
stop A

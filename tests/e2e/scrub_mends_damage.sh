#!/bin/bash
# A planted bad chunk is found by scrub and fetched again from a second daemon; without one it is named,
# exit code 4, and the rest is served on. A reader that meets damage starts the same. fsck is content
# afterwards.
. "$(dirname "$0")/lib.sh"
"$STOQ" help scrub >/dev/null 2>&1 || exit 77 # built without a node

flip() { "$STOQ_SRC/tests/tools/flip_chunk.py" "$(home A)/store" "$@" >/dev/null; }

mkdir -p tree/sub
head -c 3000000 /dev/urandom >tree/large
head -c 3000 /dev/urandom >tree/sub/small
head -c 500000 /dev/urandom >other
id=$(on B publish tree --name t --version 1 -q)
start B
on A get "$id" --from "$(contact B)" -q
other=$(on A publish other --name other --version 1 -q)
on A scrub --json >out || fail "a sound store: $(cat out)"
jq -e '.whole and .damaged == 0 and .lacking == 0 and .looked_at == 2 and .records > 50' out >/dev/null || fail "$(cat out)"

# Without a source: found, named with package and file, exit code 4; not whole, but not gone.
flip 3
exits 4 on A scrub --once --json
jq -e --arg id "$id" '.lost == 1 and .lacking == 1 and .chunks_missing == 1 and .items[0].id == $id
    and .items[0].paths[0].path == "large" and .error.code == "StoreDamaged"' out >/dev/null || fail "$(cat out)"
exits 4 on A scrub
says 'large'
on A info "$id" --json >out
jq -e '(.complete | not) and .missing.chunks == 1 and .missing.paths[0].path == "large"' out >/dev/null || fail "$(cat out)"
exits 4 on A verify "$id"
says 'missing of   large'
on A verify "$other" -q
on A cat "$id" sub/small | cmp - tree/sub/small || fail "the rest is not read"

# A daemon serves the rest on, and with a source all is well again. (It would dial B by itself, whom it remembers.)
sed -i 's/^#exchange = on$/exchange = off/' A/stoq.conf
start A
on C get "$other" --from "$(contact A)" -o out-c -q
cmp out-c/other other
exits 4 on A scrub --json
on A scrub --from "$(contact B)" --json >out || fail "not mended: $(cat out)"
jq -e '.whole and .mended == 1 and .chunks_mended == 1 and .chunks_missing == 0 and .items[0].mended' out >/dev/null ||
    fail "$(cat out)"
on A verify "$id" -q
on A fsck --json >out || fail "fsck after the repair: $(cat out)"
jq -e '.sound and .damaged == 1 and .harmless == 1 and .lost == 0' out >/dev/null || fail "$(cat out)"
on A status --json >out
jq -e '.scrub | .pass > 1 and .finished_at > 0 and .chunks_missing == 0 and .chunks_mended == 1' out >/dev/null || fail "$(cat out)"

# The daemon knows B from a get: what a peer's request or a verify meets is fetched again by itself.
mended() { on A status --json | jq -e ".scrub.chunks_mended >= $1 and .scrub.chunks_missing == 0" >/dev/null; }
on A rm "$id" -q
on A get "$id" --from "$(contact B)" -q
flip -5
exits 4 on A verify "$id"
wait_for mended 2 || fail "not mended by itself: $(on A status --json) $(tail -n 5 A.log)"
on A verify "$id" -q
grep -q 'mended, 1 chunks fetched again' A.log || fail "the log does not say it: $(tail A.log)"
stop A

# In the background: a pass is due every second, goes on over a restart, and finds it by itself.
printf '[store]\nscrub_every = 1s\nscrub_rate = 20M\n' >>A/stoq.conf
printf 'peer = %s\n' "$(contact B)" | cat - A/stoq.conf >conf && mv conf A/stoq.conf
flip -20
start A
mended_in_background() { on A status --json | jq -e '.scrub.chunks_mended == 1 and .scrub.chunks_missing == 0' >/dev/null; }
wait_for mended_in_background || fail "not found in the background: $(on A status --json) $(tail -n 5 A.log)"
on A scrub --status >out
grep -q '^last whole *20' out || fail "$(cat out)"
stop A
on A verify "$id" -q

# Without a daemon: what a verify met, a get brings back; so does the get that meets it while it writes.
flip -8
exits 4 on A verify "$id"
on A get "$id" --from "$(contact B)" --json >out
jq -e '.bytes_from_peers > 0 and .bytes_from_peers < 300000' out >/dev/null || fail "$(cat out)"
on A verify "$id" -q
flip -12
on A get "$id" --from "$(contact B)" -o got -q
same_tree got tree
on A fsck >out || fail "fsck at the end: $(cat out)"

# Published in place, and the file changed under us, times as they were: found, named, and what it was is
# fetched from a peer. The file is the user's and stays as it is.
cp -a tree mine
[ "$(on D publish mine --in-place --name t --version 1 -q)" = "$id" ] || fail "another id in place"
on D scrub --json >out || fail "in place: $(cat out)"
jq -e '.whole and .places > 20' out >/dev/null || fail "$(cat out)"
printf 'XX' | dd of=mine/large bs=1 seek=1500000 conv=notrunc status=none
touch -r tree/large mine/large
cp mine/large changed
exits 4 on D scrub --json
jq -e '.lost == 1 and .items[0].paths[0].path == "large"' out >/dev/null || fail "$(cat out)"
on D scrub --from "$(contact B)" -q
on D get "$id" -o from-d -q
same_tree from-d tree
cmp mine/large changed || fail "the user's file was touched"

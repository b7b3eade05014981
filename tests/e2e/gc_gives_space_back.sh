#!/bin/bash
# gc gives the space of removed packages back, exactly as its dry run said, and leaves the rest as it was;
# leftovers of an interrupted fetch go once they are older than the grace. With and without a daemon.
. "$(dirname "$0")/lib.sh"
"$STOQ" help gc >/dev/null 2>&1 || exit 77 # built without a node

disk() { du -sb "$(home "$1")/store/segments" | cut -f1; }
figures() { jq -c '[.bytes_freed, .segments, .records, .record_bytes, .bytes_copied]' "$1"; }
sums() { (cd "$(home "$1")/store" && find . -type f ! -name 'lock*' -exec sha256sum {} + | sort); }

mkdir tree
for i in 1 2 3 4 5 6; do head -c 700000 /dev/urandom >tree/$i; done

collect() { # NAME
    local name=$1 keep gone address before after
    keep=$(on "$name" publish tree --name keep --version 1 -q)
    head -c 3000000 /dev/urandom >other
    gone=$(on "$name" publish other --name gone --version 1 -q)
    address=$(on "$name" store put tree/1 -q) # shares nothing the table of keep needs, all of file 1
    on "$name" gc --json >out
    jq -e '.bytes_freed == 0 and .records == 0 and .unreadable == null' out >/dev/null || fail "$name: nothing to do: $(cat out)"
    on "$name" rm "$gone" -q
    before=$(disk "$name")
    on "$name" gc --dry-run --json >dry
    jq -e '.dry_run and .bytes_freed > 3000000 and .records == 0 and .packages == 0' dry >/dev/null || fail "$name: $(cat dry)"
    [ "$(disk "$name")" = "$before" ] || fail "$name: a dry run changed something"
    on "$name" gc --json >out
    [ "$(figures out)" = "$(figures dry)" ] ||
        fail "$name: the dry run said something else: $(cat dry out)"
    after=$(disk "$name")
    [ $((before - after)) -gt 3000000 ] || fail "$name: $before bytes before, $after after"
    on "$name" verify "$keep" -q || fail "$name: what stays is not whole"
    on "$name" store verify "$address" -q || fail "$name: the content is not whole"
    rm -rf got && on "$name" get "$keep" -o got -q >/dev/null && same_tree tree got
    on "$name" fsck -q || fail "$name: fsck"
    exits 2 on "$name" gc --rate 0
    exits 2 on "$name" gc --grace soon
}

collect A
sums A >before
on A gc --dry-run -q
sums A >after
cmp before after || fail "a dry run changes bytes"
start B
collect B
stop B KILL
on B store rebuild -q
on B ls --json | jq -e '.packages | length == 1' >/dev/null || fail "a removed package came back"
on B verify "$(on B ls --json | jq -r '.packages[0].id')" -q

# A daemon whose store is mostly dead collects by itself.
start D
head -c 12000000 /dev/urandom >much
on D rm "$(on D publish much --name much --version 1 -q)" -q
collected() { on D status --json | jq -e '.room.collections > 0 and .room.used_bytes < 1000000' >/dev/null; }
wait_for collected || fail "no collection in the background: $(on D status --json | jq -c .room)"
stop D

# A put that is cut short leaves chunks that nothing refers to: they wait for the grace, then go.
mkfifo pipe
{ cat other && exec sleep 600; } >pipe &
writer=$!
"$STOQ" --home "$(home C)" store put - <pipe >out 2>err &
putter=$!
wait_for grep -q sleep "/proc/$writer/comm" || fail "the input was not read"
holds_chunks() { [ "$(stat -c %s "$(home C)/store/segments/00000001.seg" 2>/dev/null || echo 0)" -gt 300000 ]; } # more than one
wait_for holds_chunks || fail "nothing of it is stored: $(ls -l "$(home C)/store/segments")"
kill -KILL $putter
wait $putter || true
kill $writer
wait $writer || true
on C store put tree/2 -q >address
on C gc --json >out
jq -e '.records == 0' out >/dev/null || fail "the grace: $(cat out)"
on C gc --grace 0s --dry-run --json >dry
on C gc --grace 0s --json >out
jq -e '.records > 0' out >/dev/null || fail "no leftovers: $(cat out)"
[ "$(figures out)" = "$(figures dry)" ] ||
    fail "the dry run said something else: $(cat dry out)"
on C store get "$(cat address)" | cmp - tree/2

#!/bin/bash
# store rebuild makes the index from the segments alone: nothing is lost, nothing deleted comes back; and
# store stats tell what sharing and compression saved.
. "$(dirname "$0")/lib.sh"
"$STOQ" help store >/dev/null 2>&1 || exit 77 # built without a node

mkdir in
head -c 2000000 /dev/urandom >in/random
seq 300000 >in/numbers
one=$(on A publish in --name one --version 1 --alias sha256 -q)
cp in/random in/again
two=$(on A publish in --name two --version 1 -q)
gone=$(on A publish in/numbers --name gone --version 1 --alias sha512 -q)
kept=$(on A store put in/random --secondary sha256 -q)
dropped=$(head -c 70000 /dev/urandom | on A store put - -q)

# What is saved: two's second copy, its first one, the content (but for two small tables), and zstd on the numbers.
on A rm "$gone" -q
on A store rm "$dropped" -q
on A store stats --json >out
jq -e '.packages == 2 and .contents == 1 and .content_bytes > 11000000 and .chunk_bytes < 4200000 and
    .saved.dedup_bytes == .content_bytes - .chunk_bytes and .saved.dedup_bytes > 7000000 and
    .saved.zstd_bytes == .chunk_bytes - .chunk_bytes_stored and .saved.zstd_bytes > 1000000 and
    .chunks_compressed > 5 and .chunks_compressed < .chunks and (.why.dedup | test("2 packages and 1 content")) and
    (.why.zstd | test("chunks are compressed")) and .records.alias.records == 2 and .records.content.records == 1 and
    .segment_bytes > .segment_bytes_live and .segment_bytes_live >= .chunk_bytes_stored' out >/dev/null || fail "$(cat out)"
on A store stats | grep '^saved by sharing' || fail "stats for people"

look() {
    on A ls --json
    on A store ls --json
    on A store stats --json | jq 'del(.since_open, .index_bytes)'
    for id in "$one" "$two"; do
        on A info "$id" --files --json
        on A verify "$id" --json | jq 'del(.seconds)'
    done
    on A store verify "$kept" --json | jq 'del(.seconds)'
    on A find --sha256 "$(sha256sum <in/numbers | cut -d' ' -f1)" --json
}
deleted_is_deleted() {
    exits 3 on A info "$gone"
    exits 3 on A get "$gone" --timeout 120 --from "$(contact B)"
    exits 3 on A store get "$dropped"
    exits 3 on A find --sha512 "$(sha512sum <in/numbers | cut -d' ' -f1)"
}
start B
look >before
deleted_is_deleted
for how in whole missing damaged begun; do
    case $how in
    missing) rm -r A/store/index ;;
    damaged) head -c 20000 /dev/urandom | dd of=A/store/index/data.mdb conv=notrunc status=none ;;
    begun) mkdir A/store/index.new && echo half >A/store/index.new/data.mdb ;;
    esac
    on A store rebuild --json >out
    jq -e '.quarantined == 0 and .torn_bytes == 0 and .live > 30 and .records > .live' out >/dev/null || fail "$how: $(cat out)"
    look >after
    cmp before after || fail "$how: not what it was: $(diff before after | head -n 5)"
    deleted_is_deleted
    on A cat "$two" again | cmp - in/random || fail "$how: the bytes"
done
on A store rebuild | grep 'records in 1 segments' || fail "rebuild for people"

exits 1 on B store rebuild --json
jq -e '.error.code == "DaemonRunning"' out >/dev/null || fail "rebuild under a daemon: $(cat out)"
on B store stats --json | jq -e '.packages == 0 and .saved.dedup_bytes == 0' >/dev/null || fail "stats of an empty store"
exits 3 on C store rebuild
exits 3 on C store stats
[ ! -e C ] || fail "asking made a home"
stop B

#!/usr/bin/env bash
# A package of more than 256 shards is offered in slices, each pulled, read again and receipted; together the receipts
# are one holding, and the holder has the package. It is large in shards alone: one chunk that ends a shard, over and
# over.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
mkdir P in try
: >P/stoq.conf
start P
# A file of one chunk whose hash closes a shard wherever 32 chunks are in it: one of 128 does.
python3 -c '[open(f"try/{i}", "w").write("%08192d" % i) for i in range(1500)]'
"$STOQ" hash try/* >hashes
one=$(awk 'substr($1, 1, 2) == "00" || substr($1, 1, 2) == "80" { print $2; exit }' hashes)
[ -n "$one" ] || fail "none of 1500 chunks ends a shard"
python3 -c 'import os, sys; [os.link(sys.argv[1], f"in/{i}") for i in range(8320)]' "$one"
id=$(on P publish in --name shards --version 1 -q)
for name in A B; do
    replica P $name "site=$name" "peer = $(contact P)"
done
knows P 2
exits 0 on P distribute "$id" --replicas 2 --keep 1d --json
jq -e '.shards > 256 and .got == 2 and all(.replicas[]; .bytes > 8320 * 8192 and .keep_until > 0)' out >/dev/null ||
    fail "placed: $(cat out)"
jq '.bytes' out >bytes
for name in A B; do
    exits 0 on $name verify "$id"
    on $name status --json | jq .offers >offers
    jq -e '.kept == 2 and .failed == 0' offers >/dev/null || fail "not two slices: $(cat offers)"
done
exits 0 on P track "$id" --json
jq -e --argjson bytes "$(cat bytes)" '(.receipts | length) == 2 and all(.receipts[]; .valid and .bytes == $bytes)' out >/dev/null ||
    fail "tracked: $(cat out)"

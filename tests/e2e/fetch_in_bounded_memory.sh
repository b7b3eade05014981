#!/bin/bash
# A fetch between two daemons takes at most 64 MiB of anonymous memory at either end, however long it lasts, and
# gives it back: bench/memory does this with 10 GiB, here it is 384 MiB, far more than any window.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node
[ "${STOQ_FLAVOUR:-debug}" = debug ] || { echo "a sanitizer's own memory is many times as much"; exit 77; }

anonymous() { awk '/^Rss(Anon|Shmem)/ { kib += $2 } END { print kib }' "/proc/${daemon[$1]}/status"; }
below() { [ "$(anonymous "$1")" -lt "$2" ]; }

start A
start B
head -c $((384 << 20)) /dev/urandom >in
id=$(on A publish in --name in --version 1 --in-place -q)
on B get "$id" --from "$(contact A)" --json >got &
get=$!
most_A=0 most_B=0
while kill -0 $get 2>/dev/null; do
    now_A=$(anonymous A) now_B=$(anonymous B)
    most_A=$((now_A > most_A ? now_A : most_A)) most_B=$((now_B > most_B ? now_B : most_B))
done
wait $get || fail "the fetch: $(cat got)"
jq -e '.bytes_from_peers >= 402653184' got >/dev/null || fail "$(cat got)"
echo "largest: source $most_A KiB, sink $most_B KiB; afterwards $(anonymous A), $(anonymous B)"
[ $most_A -lt 65536 ] && [ $most_B -lt 65536 ] || fail "more than 64 MiB: $most_A, $most_B KiB"
wait_for below A 24576 || fail "the source keeps $(anonymous A) KiB"
wait_for below B 24576 || fail "the sink keeps $(anonymous B) KiB"

#!/bin/bash
# Chunks go out and are kept as they are stored: what compresses travels at 1.04 times its stored bytes at most, the
# sender calls no compressor, and the receiver none for chunks. MIB=1024 makes it the run of docs/BENCHMARKS.md.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

mib=${MIB:-24}
mkdir in
for i in $(seq 8); do # hexadecimal digits: four bits in eight
    head -c $((mib * 65536)) /dev/urandom | od -An -v -tx1 -w64 | tr -d ' ' >"in/$i"
done
start A
start B
id=$(on A publish in --name text --version 1 -q)
number() { on "$1" status --json | jq "$2"; }
before=$(number A '[.store.compressions, .net.wire_bytes_sent]')
b_before=$(number B .store.compressions)
on B get "$id" --from "$(contact A)" -q >/dev/null || fail "get"
after=$(number A '[.store.compressions, .net.wire_bytes_sent]')
stored=$(number A .store.chunk_bytes_stored)
raw=$(number A .store.chunk_bytes)
jq -ne --argjson raw "$raw" --argjson stored "$stored" '$stored < 0.7 * $raw' >/dev/null || fail "it does not compress: $stored of $raw"
[ "$(jq -n "$after[0] - $before[0]")" = 0 ] || fail "the sender compressed: $before $after"
wire=$(jq -n "$after[1] - $before[1]")
jq -ne --argjson wire "$wire" --argjson stored "$stored" '$wire <= 1.04 * $stored' >/dev/null || fail "$wire bytes sent for $stored"
[ "$(number B .store.chunk_bytes_stored)" = "$stored" ] || fail "the receiver keeps another form"
# Its lists, manifest and records are its own: a few of them, and none for a chunk.
calls=$(($(number B .store.compressions) - b_before))
chunks=$(number B .store.chunks)
lists=$((2 * (chunks / 32 + 8)))
[ "$calls" -le "$lists" ] && [ "$calls" -lt "$chunks" ] || fail "the receiver compressed $calls times for $chunks chunks"
jq -nc --argjson raw "$raw" --argjson stored "$stored" --argjson wire "$wire" --argjson calls "$calls" \
    '{raw: $raw, stored: $stored, wire: $wire, ratio: ($wire / $stored), sender_calls: 0, receiver_calls: $calls}'
stop B
stop A

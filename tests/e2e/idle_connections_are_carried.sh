#!/bin/bash
# bench/idle with few connections: each peer has its own, all answer, and what was opened for them is closed. One more
# than limits.connections allows is refused.
. "$(dirname "$0")/lib.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)

"$here/bench/idle" 100 1 2 >out
grep -q '^idle_connections 100 connections$' out || fail "not all were opened: $(cat out)"
grep -q '^idle_descriptors_left 0 descriptors$' out || fail "descriptors are left: $(cat out)"

on A init -q >/dev/null
sed -i 's/^#connections = 4096$/connections = 20/; s/^#connections_prefix = 2048$/connections_prefix = 20/' A/stoq.conf
start A
many() { "$STOQ_BUILD/bench/idle_many" "$(jq -r '.listen[0]' A.ready)" "$(jq -r .peer A.ready)" "$1" "${daemon[A]}" 0; }
exits 0 many 20
gone() { on A status --json | jq -e '.net.connections == 0' >/dev/null; }
wait_for gone || fail "connections are left"
exits 1 many 21
says "no more connections"
stop A

#!/bin/bash
# Loss, reorder, duplication and jitter on the way cost time and nothing else: the tree is the same, no chunk
# comes twice, no source is blamed. The relay's report says that the path was as bad as asked for.
. "$(dirname "$0")/lib.sh"
RELAY=$STOQ_BUILD/tests/relay/relay

relay_ready() { [ -s relay.ready ]; }

mkdir in
head -c 6000000 /dev/urandom >in/data
head -c 300000 /dev/urandom >in/more
start A
id=$(on A publish in --name data --version 1 -q)
peer=$(jq -r .peer A.ready)
to=$(jq -r '.listen[0]' A.ready)

"$RELAY" --listen '[::1]:0' --to "$to" --seed 11 --ready-file relay.ready \
    --both delay=2ms,jitter=1ms,loss=1%,reorder=2%,by=3ms,duplicate=2%,mtu=1452 >dealt.json &
daemon[relay]=$!
wait_for relay_ready || fail "the relay did not start"

on B get "$id" --from "$peer@$(cat relay.ready)" -o tree --json >got
same_tree in tree
on B verify "$id" -q
jq -e '.bytes_from_peers == .bytes and (.sources[0] | has("why") | not)' got >/dev/null || fail "$(cat got)"

# A second time over the same path, everything is there: no chunk moves.
on B get "$id" --from "$peer@$(cat relay.ready)" --json | jq -e .complete_before >/dev/null

stop relay
jq -e '.kernel_drops == 0 and .down.datagrams_in > 3000 and .down.lost > 10 and .down.duplicated > 30
    and .down.overtaken > 30 and .up.lost + .up.duplicated + .up.overtaken > 0 and .down.too_large > 0' \
    dealt.json >/dev/null || fail "the path was not bad: $(cat dealt.json)"
jq -e '.down.bytes_in < 6300000 * 1.15' dealt.json >/dev/null || fail "far too many bytes: $(cat dealt.json)"
stop A

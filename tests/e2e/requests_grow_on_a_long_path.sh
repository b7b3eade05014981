#!/bin/bash
# On a path with 20 ms there and back the requests become larger as the rate turns out: the source answers far fewer than
# it would if each asked for the least there is (256 KiB, some 130 of them here). Bytes that come in the last 50 ms of an
# answer count for the rate as well.
. "$(dirname "$0")/lib.sh"
RELAY=$STOQ_BUILD/tests/relay/relay

relay_ready() { [ -s relay.ready ]; }

mkdir in
head -c 32000000 /dev/urandom >in/data
start A
id=$(on A publish in --name data --version 1 -q)
"$RELAY" --listen '[::1]:0' --to "$(jq -r '.listen[0]' A.ready)" --ready-file relay.ready --both delay=10ms >dealt.json &
daemon[relay]=$!
wait_for relay_ready || fail "the relay did not start"
on B get "$id" --from "$(jq -r .peer A.ready)@$(cat relay.ready)" -o tree -q
same_tree in tree
served=$(on A status --json | jq .net.requests_served)
[ "$served" -lt 90 ] || fail "$served requests for 32 MB"
stop relay
stop A

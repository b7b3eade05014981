#!/bin/bash
# TERM while a peer fetches over a slow path: the daemon takes no new work, ends by itself with exit code 0 long
# before that fetch could be over, and the fetch goes on from what it has when the daemon is back.
. "$(dirname "$0")/lib.sh"
RELAY=$STOQ_BUILD/tests/relay/relay

mkdir in A
printf 'transport.idle_timeout = 120\n' >A/stoq.conf # so long a silent peer is not given up as dead
head -c 8000000 /dev/urandom >in/data
start A
id=$(on A publish in --name data --version 1 -q)
peer=$(jq -r .peer A.ready)
relay_ready() { [ -s relay.ready ]; }
"$RELAY" --listen '[::1]:0' --to "$(jq -r '.listen[0]' A.ready)" --ready-file relay.ready --both rate=1mbit >dealt.json &
daemon[relay]=$!
wait_for relay_ready || fail "the relay did not start"

# At 1 Mbit/s these 8 MB take 64 seconds.
: >events
"$STOQ" --home "$TMP/B" get "$id" --from "$peer@$(cat relay.ready)" --progress=json --json >got 2>events &
pid=$!
some() { [ -s events ] && tail -n 1 events | jq -e '.bytes_from_peers > 100000' >/dev/null 2>&1; }
wait_for some || fail "the fetch did not begin"
gone() { ! kill -0 "${daemon[A]}" 2>/dev/null; }
kill -TERM "${daemon[A]}"
wait_at_most 40 gone || fail "the daemon waits for a slow peer"
code=0 && wait "${daemon[A]}" || code=$?
[ $code = 0 ] || fail "exit code $code"
unset 'daemon[A]'
[ ! -e A.ready ] && [ ! -e A/control.sock ] || fail "files left behind"
code=0 && wait $pid || code=$?
[ $code = 5 ] || fail "the fetch ended with $code: $(cat got)"
stop relay

# Again, and now nothing comes from the peer any more: it is not waited for until it is given up as dead.
start A
rm relay.ready
"$RELAY" --listen '[::1]:0' --to "$(jq -r '.listen[0]' A.ready)" --ready-file relay.ready --both rate=1mbit >dealt.json &
daemon[relay]=$!
wait_for relay_ready || fail "the relay did not start"
: >events
"$STOQ" --home "$TMP/C" get "$id" --from "$peer@$(cat relay.ready)" --progress=json --json >got 2>events &
pid=$!
wait_for some || fail "the fetch did not begin"
kill -KILL $pid
kill -STOP "${daemon[relay]}"
kill -TERM "${daemon[A]}"
wait_at_most 60 gone || fail "the daemon waits for a silent peer"
code=0 && wait "${daemon[A]}" || code=$?
[ $code = 0 ] || fail "exit code $code"
unset 'daemon[A]'
wait $pid || true
stop relay KILL

start A
on B get "$id" --from "$(contact A)" -o tree --json >got
jq -e '.bytes_had > 0' got >/dev/null || fail "began anew: $(cat got)"
same_tree in tree
stop A

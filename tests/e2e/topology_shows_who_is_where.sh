#!/bin/bash
# peers --topology: a peer's place and its round trip over a relay of 250 ms each way, the nearest first; why cites it;
# one that is gone, one never reached, and one of before a restart are told apart.
. "$(dirname "$0")/lib.sh"
relay=$STOQ_BUILD/tests/relay/relay
spot() { on B peers --topology --json | jq -r --arg p "$1" ".topology[] | select(.peer == \$p) | $2"; }
is() { [ "$(spot "$1" "$2")" = "$3" ]; }

start A
start N
key=$(jq -r .peer A.ready)
near=$(jq -r .peer N.ready)
to=$(jq -r '.listen[0]' A.ready)
"$relay" --listen '[::1]:0' --to "$to" --ready-file relay.ready --both delay=250ms >relay.json 2>relay.err &
daemon[relay]=$!
wait_for test -s relay.ready || fail "no relay: $(cat relay.err)"
by=$(cat relay.ready)
never=$(on X init --json | jq -r .peer)
on B init -q >/dev/null
cat >B/stoq.conf <<END
peer = $key@$by region=eu site=lab rack=7
peer = $never@[::1]:9 region=us
discovery.exchange = off
END
start B
echo data >in
id=$(on A publish in --name data --version 1 -q)
on B ping "$near@$(jq -r '.listen[0]' N.ready)" >/dev/null
on B get "$id" -q >/dev/null
is "$key" .state connected || fail "A: $(on B peers --topology)"
is "$key" '.region + .site + .rack + .domain' eulab7site:lab || fail "A's place: $(on B peers --topology --json)"
is "$key" '.rtt_ms >= 500 and (.rtt_changes | type) == "number"' true || fail "A's round trip: $(on B peers --topology --json)"
wait_for is "$never" .state unreachable || fail "one that nobody reached: $(on B peers --topology --json)"
is "$never" '[.region, .rtt_ms] | tostring' '["us",null]' || fail "of it nothing was measured"
[ "$(on B peers --topology --json | jq -r '[.topology[].peer] | join(" ")')" = "$near $key $never" ] || fail "not the nearest first"
on B peers --topology >out
grep -q "connected .*$key@.* region eu  site lab  domain site:lab" out || fail "as text: $(cat out)"
on B why "$id" --json >why
jq -e --arg p "${key:0:15}" '.explanation | map(select(startswith($p) and contains(" ms away, in site:lab, region eu")))
    | length == 1' why >/dev/null ||
    fail "why does not cite it: $(on B why "$id")"
stop A
wait_for is "$key" .state idle || fail "one that left: $(spot "$key" .)"
stop relay KILL 2>/dev/null
stop B
start B
is "$near" .state remembered || fail "after a restart: $(on B peers --topology --json)"
is "$near" '.seen_at > 1600000000 and .rtt_ms != null' true || fail "what is remembered: $(spot "$near" .)"
stop B
stop N

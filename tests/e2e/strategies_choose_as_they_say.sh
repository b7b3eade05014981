#!/usr/bin/env bash
# Strategies, by the requests that a fetch has made: sequential asks for chunks in their order, at every moment those
# asked for are the first ones; fastest-first leaves a far source out of what a near one brings sooner.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
RELAY=$STOQ_BUILD/tests/relay/relay
for name in A C D; do # nobody tells of the far one's near address
    mkdir $name
    printf '[discovery]\nexchange = off\n[bandwidth]\nup = 400kB\n' >$name/stoq.conf
done
start A
start C
start B
cat >first.py <<'PY'
# Of the latest transfer in a listing: how many chunks were asked for so far, and that they are the first ones.
import json, sys
t = json.load(open(sys.argv[1]))["transfers"][0]
assert t["request_count"] <= 64, t["request_count"]
asked = set()
for r in t["requests"]:
    got = set()
    for run in r["ranges"]:
        got |= set(range(run["first"], run["first"] + run["count"]))
    assert len(got) == r["chunks"], (len(got), r)
    asked |= got
assert asked == set(range(len(asked))), ("not the first ones", sorted(asked))
print(t["state"], len(asked), sum(r["chunks_done"] for r in t["requests"]))
PY
head -c 5000000 /dev/urandom >in
id=$(on A publish in --name data --version 1 -q)
[ "$(on C publish in --name data --version 1 -q)" = "$id" ] || fail "the same bytes, another id"
on B get "$id" --from "$(contact A)" --from "$(contact C)" --strategy sequential -o tree --json >got 2>&1 &
get=$!
halves=0
while kill -0 $get 2>/dev/null; do
    on B transfers --json >list
    if jq -e --arg id "$id" '.transfers[0].id == $id and .transfers[0].state == "running"' list >/dev/null; then
        read -r _ asked _ < <(python3 first.py list) || fail "not in order: $(cat list)"
        chunks=$asked halves=$((halves + (asked > 0)))
    fi
    sleep 0.05
done
wait $get || fail "get: $(cat got)"
[ $halves -gt 0 ] || fail "never seen running"
on B transfers --json >list
read -r state asked brought < <(python3 first.py list) || fail "not in order: $(cat list)"
[ "$state $asked" = "done $(jq .chunks got)" ] || fail "all of it was not asked for: $(cat list)"
[ "$brought" -ge "$asked" ] && [ "$chunks" -le "$asked" ] || fail "chunks: $(cat list)"
jq -e '[.sources[] | select(.chunks > 0)] | length == 2' got >/dev/null || fail "one source did it all: $(cat got)"
cmp in tree/in >&2 || fail "other bytes"

# Near and far, both connected and known.
on A limit --up none -q
on C limit --up none -q
relay_ready() { [ -s relay.ready ]; }
"$RELAY" --listen '[::1]:0' --to "$(jq -r '.listen[0]' C.ready)" --ready-file relay.ready --both delay=150ms >dealt.json &
daemon[relay]=$!
wait_for relay_ready || fail "the relay did not start"
near=$(contact A) far="$(jq -r .peer C.ready)@$(cat relay.ready)"
both() { # STRATEGY: how many requests of three packages went to the far source
    local n asked=0
    for n in 1 2 3; do
        head -c 400000 /dev/urandom >small
        id=$(on A publish small --name small --version 1 -q)
        on C publish small --name small --version 1 -q >/dev/null
        on D get "$id" --from "$near" --from "$far" --strategy "$1" --json >got
        on D transfers --json >list
        asked=$((asked + $(jq --arg p "${far%@*}" '[.transfers[0].requests[] | select(.source == $p)] | length' list)))
    done
    echo $asked
}
start D
on D ping "$near" -q
on D ping "$far" --json | jq -e '.rtt_ms > 250' >/dev/null || fail "not far"
n=$(both fastest-first)
[ "$n" = 0 ] || fail "the far source was asked $n times for what the near one brings sooner: $(cat list)"
n=$(both rarest)
[ "$n" -gt 0 ] || fail "rarest first asks whoever there is: $(cat list)"
stop relay

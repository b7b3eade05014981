#!/usr/bin/env bash
# Who is asked to keep a package is who was selected: a region is never left, a rate is measured and one that falls
# costs the place, and a rule of one's own chooses what a model of it in Python chooses. Six daemons.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
mkdir P
: >P/stoq.conf
start P
from="peer = $(contact P)"
declare -A peer=()
while read -r name tags; do
    replica P "$name" "$tags" "$from"
    peer[$name]=$(jq -r .peer "$name.ready")
done <<'TAGS'
A host=h1 site=s1 region=eu
B host=h2 site=s2 region=eu
C host=h3 site=s2 region=us
D host=h4 site=s3 rack=r1 region=us
E host=h5
TAGS
knows P 5
fresh() { head -c "$2" /dev/urandom >in && on "$1" publish in --name "${3:-data}" --version 1 -q; }
verified() { jq -r '[.replicas[] | select(.state == "verified").peer] | sort | join(" ")' out; }
these() { for n in "$@"; do echo "${peer[$n]}"; done | sort | paste -sd' '; }
has_not() { for n in "$@"; do exits 3 on "$n" info "$id"; done; }

# A region.
id=$(fresh P 300000)
exits 0 on P distribute "$id" --replicas 2 --select geographic:eu --json
[ "$(verified)" = "$(these A B)" ] || fail "of eu: $(cat out)"
id=$(fresh P 300000)
exits 1 on P distribute "$id" --replicas 3 --select geographic:eu --json
jq -e '.got == 2 and (.error.message | contains("2 peers that the selection keeps"))' out >/dev/null || fail "of eu, three: $(cat out)"
[ "$(verified)" = "$(these A B)" ] || fail "left eu: $(cat out)"
has_not C D E

# A rate. What was fetched measures it; E has no cap, then one far below.
for n in A B C D; do
    on $n limit --up 100kB -q
    other=$(fresh $n 200000 "of-${n,,}") # a MiB, or 50 ms, make a rate
    exits 0 on P get "$other" --from "$(contact $n)" -q
done
rose() { # a busy machine may be slow once, and not for long
    other=$(fresh E 1500000 of-e)
    on P get "$other" --from "$(contact E)" -q
    on P peers --select bandwidth:300kB --json >out && [ "$(jq .kept out)" = 1 ]
}
wait_for rose || fail "E alone is quick: $(cat out)"
id=$(fresh P 300000)
exits 1 on P distribute "$id" --replicas 2 --select bandwidth:300kB --json
[ "$(verified)" = "$(these E)" ] || fail "at 300 kB/s: $(on P peers --json | jq -c '.known[] | [.peer, .rate_bytes_per_s]') $(cat out)"
has_not A B C D
on E limit --up 100kB -q
fell() {
    other=$(fresh E 100000 of-e)
    on P get "$other" --from "$(contact E)" -q
    on P peers --select bandwidth:300kB --json >out || true
    [ "$(jq .kept out)" = 0 ]
}
wait_for fell || fail "it still counts as quick: $(cat out)"
id=$(fresh P 300000)
exits 1 on P distribute "$id" --replicas 1 --select bandwidth:300kB --json
jq -e '.got == 0 and .replicas == []' out >/dev/null || fail "too slow, and asked: $(cat out)"
has_not A B C D E

# Rules, beside the same written down in Python.
cat >model.py <<'PY'
import json, sys
known = json.load(open(sys.argv[1]))["known"]
rule, wanted = int(sys.argv[2]), int(sys.argv[3])
rate = lambda p: p["rate_bytes_per_s"] if p["rate_bytes_per_s"] is not None else -1
keeps = [lambda p: p["region"] == "eu" or p["rack"] == "r1",
         lambda p: p["site"] is not None and p["site"] != "s1",
         lambda p: True]
before = [lambda p: -rate(p), lambda p: 0, lambda p: rate(p)]  # sorted is stable, and so is "prefer"
chosen, domains = [], set()
for p in sorted(filter(keeps[rule], known), key=before[rule]):
    if len(chosen) < wanted and p["domain"] not in domains:
        chosen.append(p["peer"])
        domains.add(p["domain"])
print(" ".join(sorted(chosen)))
PY
rules=('require region == "eu" or rack == "r1" prefer rate'
    'require known(site) drop site == "s1"'
    'prefer -rate')
for i in 0 1 2; do
    for wanted in 1 3; do
        echo "${rules[$i]}" >rule
        on P peers --json >known.json
        id=$(fresh P 50000)
        code=0
        on P distribute "$id" --replicas $wanted --select custom:rule --json >out || code=$?
        [ "$(verified)" = "$(python3 model.py known.json $i $wanted)" ] ||
            fail "rule $i, $wanted: $(python3 model.py known.json $i $wanted) and not $(cat out)"
        [ "$code" = $(($(jq .got out) < wanted)) ] || fail "exit code $code: $(cat out)"
    done
done
exits 1 on P distribute "$id" --select custom:in
exits 2 on P distribute "$id" --select bandwidth:fast

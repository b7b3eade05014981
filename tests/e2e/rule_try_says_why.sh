#!/usr/bin/env bash
# A rule's verdicts over candidates from a file and over the daemon's peers: who is kept, in what order,
# and for everybody else the clause and the values; and rules that are wrong, by line and column.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
cat >peers.json <<'JSON'
{"candidates": [
  {"peer": "a", "addr": "10.0.0.1:1", "connected": true, "rtt_ms": 12.7, "bytes_fetched": 9000000, "other": [1]},
  {"peer": "b", "addr": "10.0.0.2:1", "connected": true, "rtt_ms": 250, "bytes_fetched": 9000000},
  {"peer": "c", "addr": "10.0.0.3:1", "connected": false, "rtt_ms": null, "bytes_fetched": 10},
  {"peer": "d", "addr": "10.0.0.1:1", "connected": true, "rtt_ms": 3, "bytes_fetched": 8000000},
  {"peer": "e", "addr": "10.0.0.5:1", "connected": true, "rtt_ms": 3, "bytes_fetched": 7000000}]}
JSON
cat >rule <<'RULE'
# near ones
require rtt < 100 ms
require fetched >= 1 MB
prefer fetched
apart addr
take 1
RULE
exits 0 "$STOQ" rule try rule --candidates peers.json --json
jq -e '[.candidates[].peer] == ["a", "d", "e", "b", "c"] and .kept == 1
    and [.candidates[].verdict] == ["kept", "beyond", "beyond", "dropped", "dropped"]
    and .candidates[0].prefer == [9000000] and .candidates[1].clause == "take 1"
    and .candidates[3] == {"peer": "b", "candidate": 1, "verdict": "dropped", "line": 2,
        "clause": "require rtt < 100 ms", "values": {"rtt": 250}}
    and .candidates[4].values == {"rtt": null}' out >/dev/null || fail "verdicts: $(cat out)"
sed 's/take 1/take 9/' rule >wide
exits 0 "$STOQ" rule try wide --candidates peers.json --json
jq -e '.kept == 2 and (.candidates[2] | .peer == "d" and .verdict == "same" and .beside == "a"
    and .values == {"addr": "10.0.0.1:1"})' out >/dev/null || fail "apart: $(cat out)"
exits 0 "$STOQ" rule try wide --candidates peers.json
says 'dropped  c  line 2: require rtt < 100 ms  (rtt is not known)'

printf 'require rtt < 100 ms\nrequire speed > 3\n' >wrong
exits 1 "$STOQ" rule try wrong --candidates peers.json --json
jq -e '.error | .code == "RuleInvalid" and (.message | startswith("wrong:2:9: no such field"))' out >/dev/null ||
    fail "the fault: $(cat out)"
head -c 5000 /dev/zero | tr '\0' ' ' >long
exits 1 "$STOQ" rule try long --candidates peers.json
says 'longer than 4096 bytes'
echo '[{"rtt_ms": "near"}]' >odd.json
exits 1 "$STOQ" rule try rule --candidates odd.json
says 'candidate 0: rtt_ms is not a number'
exits 2 "$STOQ" rule keep rule

# Without a file: the daemon's peers.
exits 6 on B rule try rule
echo 'require connected and known(subnet)' >here
head -c 100000 /dev/urandom >in
start A
id=$(on A publish in --name data --version 1 -q)
start B
exits 0 on B get "$id" --from "$(contact A)" -q
exits 0 on A rule try here --json
jq -e --arg b "$(jq -r .peer B.ready)" '.kept == 1 and .candidates[0].peer == $b' out >/dev/null ||
    fail "the daemon's peer: $(cat out)"
echo 'drop connected and known(subnet)' >here
exits 0 on B rule try here --json
jq -e '.kept == 0 and .candidates[0].values == {"connected": true, "subnet": "0:0:0::/48"}' out >/dev/null ||
    fail "the one it dialled: $(cat out)"

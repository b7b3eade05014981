#!/usr/bin/env bash
# What is known of peers, and PeerSelection over it: places from the configuration, rates measured by
# fetching, and for each selection who is chosen and why the others are not; a shortfall is said.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
id=() peer=()
for name in A B C D; do
    start $name
    head -c 3000000 /dev/urandom >in
    id[${#id[@]}]=$(on $name publish in --name "data-${name,,}" --version 1 -q)
    peer[${#peer[@]}]=$(jq -r .peer $name.ready)
done
mkdir Z
cat >Z/stoq.conf <<CONF
peer = $(contact A) host=h1 site=s1 region=eu
peer = $(contact B) host=h2 site=s1 region=eu
peer = $(contact C) site=s2 rack=r1 region=us
peer = $(contact D)
CONF
start Z
exits 1 on Z peers --select bandwidth:1kB --json
jq -e '.kept == 0 and (.candidates | length) == 4 and .candidates[0].values == {"rate": null}
    and .error.code == "InsufficientReplicas"' out >/dev/null || fail "rates before any fetch: $(cat out)"
i=0
for name in A B C D; do
    exits 0 on Z get "${id[$i]}" --from "$(contact $name)" -q
    i=$((i + 1))
done

on Z peers --json >known.json
jq -e --arg a "${peer[0]}" --arg d "${peer[3]}" '(.known | length) == 4
    and all(.known[]; .connected and .rate_bytes_per_s > 0 and .bytes_fetched > 0 and .rtt_ms != null)
    and (.known[] | select(.peer == $a) | .host == "h1" and .site == "s1" and .rack == null and .region == "eu"
        and .domain == "site:s1" and .subnet == "0:0:0::/48")
    and (.known[] | select(.peer == $d) | .site == null and .domain == "subnet:0:0:0::/48")' known.json >/dev/null ||
    fail "what is known: $(cat known.json)"

# chosen, and in how many domains
chosen() { jq -r '[.candidates[] | select(.verdict == "kept").peer] | sort | join(" ")' out; }
sorted() { printf '%s\n' "$@" | sort | paste -sd' '; }
exits 0 on Z peers --select replication:3 --json
jq -e --arg c "${peer[2]}" --arg d "${peer[3]}" '.kept == 3 and .wanted == 3
    and ([.candidates[] | select(.verdict == "kept").peer] | contains([$c, $d]))' out >/dev/null || fail "three: $(cat out)"
exits 1 on Z peers --select replication:4 --json
jq -e --arg a "${peer[0]}" --arg b "${peer[1]}" '.kept == 3 and .wanted == 4 and .error.code == "InsufficientReplicas"
    and ([.candidates[] | select(.verdict == "same")] | length == 1
        and (.[0] | .clause == "apart domain" and .values == {"domain": "site:s1"}
            and ([.peer, .beside] | sort) == ([$a, $b] | sort)))' out >/dev/null || fail "a shortfall: $(cat out)"
exits 0 on Z peers --select geographic:eu --json
[ "$(chosen)" = "$(sorted "${peer[@]:0:2}")" ] || fail "of eu: $(cat out)"
jq -e --arg c "${peer[2]}" --arg d "${peer[3]}" '[.candidates[] | select(.verdict == "dropped") | {(.peer): .values.region}]
    | add == {($c): "us", ($d): null}' out >/dev/null || fail "not of eu: $(cat out)"
exits 1 on Z peers --select geographic:asia
says '1 peer at least wanted, 0 there'
exits 0 on Z peers --select bandwidth:1kB --json
[ "$(chosen)" = "$(sorted "${peer[@]}")" ] || fail "at 1 kB/s: $(cat out)"
exits 1 on Z peers --select bandwidth:900GiB
says 'require rate >= 966367641600'
echo 'require region in ("eu", "us") apart host take 2' >rule
exits 0 on Z peers --select custom:rule --json
jq -e --arg d "${peer[3]}" '.kept == 2 and any(.candidates[]; .peer == $d and .verdict == "dropped")' out >/dev/null ||
    fail "by a rule: $(cat out)"
# The same rule over the listing in a file, in another process: the same choice.
here=$(chosen)
exits 0 "$STOQ" rule try rule --candidates known.json --json
[ "$(chosen)" = "$here" ] || fail "the rule chooses otherwise over the file: $(cat out)"

echo 'require region = "eu"' >rule
exits 1 on Z peers --select custom:rule
says 'rule:1:16: nothing begins with this'
exits 2 on Z peers --select nearest:3
exits 2 on Z peers --select replication:0
exits 2 on Z peers --select bandwidth:fast
exits 2 on Z peers --select 'geographic:e"'

# A reload moves them.
sed -i 's/region=eu/region=asia/' Z/stoq.conf
kill -HUP "${daemon[Z]}"
in_asia() { on Z peers --select geographic:asia --json >out && [ "$(jq .kept out)" = 2 ]; }
wait_for in_asia || fail "the reload moved nobody: $(cat out)"

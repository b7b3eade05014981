#!/bin/bash
# doctor: a sound home has no problem; each fault that is planted is named, with its place and what to do.
. "$(dirname "$0")/lib.sh"

on A init >/dev/null 2>&1
conf="$(home A)/stoq.conf"
sound=$'listen = [::1]:0\n[discovery]\nlan = off\n'
printf '%s' "$sound" >"$conf"
sound_again() { exits 0 on A doctor --json && jq -e '.problems == 0' out >/dev/null; }
finds() { # finds CHECK WHERE: one problem, of that check and there, and it is told as text too
    exits 1 on A doctor --json
    jq -e --arg c "$1" --arg w "$2" '.problems == 1 and .error.exit == 1 and
        ([.findings[] | select(.level == "problem")] | length == 1 and (.[0] | .check == $c and
        (.where | contains($w)) and (.what | length > 10) and (.fix | length > 5)))' out >/dev/null ||
        fail "$1 at $2: $(cat out)"
    exits 1 on A doctor
    says "problem: $1"
}
sound_again || fail "a sound home: $(cat out)"

# The configuration.
printf 'no_such_key = 1\n' >>"$conf"
finds config "$conf"
jq -e '.findings[0].what | contains(":4:")' <(on A doctor --json || true) >/dev/null || fail "which line?"
printf '%s' "$sound" >"$conf"

# The key.
key="$(home A)/key.pem"
chmod 644 "$key"
exits 1 on A doctor --json
jq -e '[.findings[] | select(.check == "key" and (.fix | contains("chmod 600")))] | length == 1' out >/dev/null || fail "key: $(cat out)"
chmod 600 "$key"

# The clock.
touch -d '+3 days' "$key"
finds clock "$key"
touch "$key"

# The port.
start B
addr=$(jq -r '.listen[0]' B.ready)
printf 'listen = %s\n[discovery]\nlan = off\n' "$addr" >"$conf"
finds ports "$addr"

# A peer that is not there, one that is, and one with another key.
them=$(contact B)
printf '%speer = %s\n' "" "$them" >"$conf"
printf 'listen = [::1]:0\n[discovery]\nlan = off\n' >>"$conf"
sound_again || fail "a peer that answers: $(cat out)"
stop B
finds peers "$addr"

# Sixteen that are silent are waited for side by side: 3 s, not 48.
for port in $(seq 15); do
    echo "peer = $(on "P$port" init --json | jq -r .peer)@[::1]:$port"
done >sixteen
cat "$conf" >>sixteen
mv sixteen "$conf"
began=$SECONDS
exits 1 on A doctor --json
[ $((SECONDS - began)) -lt 40 ] || fail "one after the other: $((SECONDS - began)) s"
[ "$(jq '[.findings[] | select(.check == "peers")] | length' out)" = 16 ] || fail "not each of them: $(cat out)"
printf '%s' "$sound" >"$conf"

# Limits.
(ulimit -n 100 && exits 1 on A doctor --json)
jq -e '.problems == 1 and .findings[0].check == "limits" and (.findings[0].fix | contains("ulimit"))' out >/dev/null ||
    jq -e '[.findings[] | select(.check == "limits")] | length == 1' out >/dev/null || fail "limits: $(cat out)"

# A daemon is asked itself: its configuration was changed and refused.
sound_again || fail "sound again: $(cat out)"
start A
exits 0 on A doctor --json
jq -e '.daemon and .problems == 0' out >/dev/null || fail "the daemon: $(cat out)"
printf 'no_such_key = 1\n' >>"$conf"
kill -HUP "${daemon[A]}"
refused() { grep -q no_such_key A.log; }
wait_for refused || fail "the daemon has not read its configuration again"
exits 1 on A doctor --json
stop A

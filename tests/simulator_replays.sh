#!/bin/bash
# The simulator from the outside: the same command gives the same output, another seed another trace; a fault of
# ours that is switched on is found, said, and is exit code 1; a mistake in the options is 2.
set -euo pipefail
sim=$(dirname "$STOQ")/stoq-sim
cd "$TMP"
world=(--fetchers 6 --package-kib 2048 --up-kbps 2000 --down-kbps 4000 --rtt-us 5000)
"$sim" --seed 7 "${world[@]}" >first
"$sim" --seed 7 "${world[@]}" >second
cmp first second
"$sim" --seed 8 "${world[@]}" >third
! cmp -s <(grep ^trace first) <(grep ^trace third)
grep -qx 'finished 6' first
grep -qx 'faults 0' first

code=0
"$sim" --seed 7 "${world[@]}" --seeds 2 --lie 1 --canary unverified >canary || code=$?
[ "$code" = 1 ]
grep -q '^fault .* stored chunk ' canary
for wrong in "--lie 1" "--seed" "--seed x" "--law none" "--what 3"; do
    code=0
    # shellcheck disable=SC2086 # two words
    "$sim" $wrong >/dev/null 2>&1 || code=$?
    [ "$code" = 2 ] || { echo "$wrong: exit code $code" && exit 1; }
done
"$sim" --help >help
grep -q -- --canary help
STOQ_SIM=$sim "$STOQ_SRC/tools/sim" 7 >scenarios
grep -q '^rough .* 60 done' scenarios

#!/usr/bin/env bash
# Each of the four trust events, by a daemon of its own, moves its counter by one and no other: a transfer that
# succeeds, one that breaks off, bytes that do not have their hash, silence. Forged bytes disconnect at once; later,
# when the quarantine is over, the score alone does, over a restart too, until it is forgiven.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
id=() peer=() at=()
for name in good broken forger silent; do
    head -c 300000 /dev/urandom >in
    [ $name != broken ] || head -c 3000000 /dev/urandom >in
    start $name
    id[${#id[@]}]=$(on $name publish in --name "data-$name" --version 1 -q)
    peer[${#peer[@]}]=$(jq -r .peer $name.ready)
done
stop forger
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" --forge forger/store all
start forger
for name in good broken forger silent; do at[${#at[@]}]=$(contact $name); done
start B
# succeeded, failed, invalid, timed out, violations
counters() {
    on B peers --why "$1" --json |
        jq -c '[.successful_transfers, .failed_transfers, .invalid_data_count, .timeout_count, .violations]'
}
moved() { [ "$(counters "$1")" = "$2" ] || fail "counters $(counters "$1") instead of $2"; }
connected() { on B peers --json >out && jq -e --arg p "$1" 'any(.peers[]; .peer == $p)' out >/dev/null; }
for p in "${peer[@]}"; do moved "$p" '[0,0,0,0,0]'; done

exits 0 on B get "${id[0]}" --from "${at[0]}" -q
moved "${peer[0]}" '[1,0,0,0,0]'
connected "${peer[0]}" || fail "a good peer was left"

# Three megabytes at 100 kB/s, and the source goes in the midst of it.
on broken limit --up 100kB -q
"$STOQ" --home "$(home B)" get "${id[1]}" --from "${at[1]}" --timeout 240 >broken.get 2>&1 &
getting=$!
under_way() {
    on B transfers --json >out &&
        jq -e --arg id "${id[1]}" 'any(.transfers[]; .id == $id and .bytes_from_peers > 0)' out >/dev/null
}
wait_for under_way || fail "the transfer did not begin: $(cat out)"
stop broken
# It ends what it is sending and refuses what is asked of it meanwhile; the rest breaks off. All of that is one failure,
# however long it took. What it sent before counts as well. It is dialled again; where nobody is left to say no, that
# is silence.
! wait $getting || fail "the transfer ended well"
counters "${peer[1]}" >broken.counters
jq -e '.[1] == 1 and .[2] == 0 and .[3] <= 1 and .[4] == 0' broken.counters >out || fail "broken: $(cat broken.counters)"

exits 4 on B get "${id[2]}" --from "${at[2]}" -q
moved "${peer[2]}" '[0,0,1,0,0]'
! connected "${peer[2]}" || fail "a forger is still connected"

stop silent KILL
exits 5 on B get "${id[3]}" --from "${at[3]}" -q
moved "${peer[3]}" '[0,0,0,1,0]'

# Two days after: no quarantine, a score below the minimum.
aged() { # DAYS
    stop B
    python3 - "$1" <<'PY'
import sys
p = 'B/trust'
b = bytearray(open(p, 'rb').read())
assert b[0] == 1 and b[1] == 26
b[2:6] = (int.from_bytes(b[2:6], 'big') - int(sys.argv[1]) * 86400).to_bytes(4, 'big')
open(p, 'wb').write(b)
PY
    start B
}
aged 2
moved "${peer[0]}" '[1,0,0,0,0]'
moved "${peer[2]}" '[0,0,1,0,0]'
on B peers --why "${peer[2]}" --json | jq -e '.quarantine_s == null and .is_cut and .trust_value < 0.1' >/dev/null || fail "aged"
exits 5 on forger ping "$(contact B)" --timeout 5
! connected "${peer[2]}" || fail "a score below the minimum does not disconnect"
exits 5 on B get "${id[2]}" --from "${at[2]}" --timeout 20
cp B/trust trust
exits 0 on B peers --forgive "${peer[2]}"
exits 0 on forger ping "$(contact B)"
# What was not forgiven is outlived: two months after the lie the score is above the minimum, and the lie still counted.
stop B
cp trust B/trust
start B
on B peers --why "${peer[2]}" --json >out
jq -e .is_cut out >/dev/null || fail "not as before it was forgiven"
# Before that it is between the two: the key says from which score on it is welcome.
aged 34
on B peers --why "${peer[2]}" --json >out
jq -e '.is_cut and .trust_value > 0.005 and .trust_value < 0.1 and .bad_proven > 1' out >/dev/null || fail "after five weeks: $(cat out)"
cp B/stoq.conf conf
printf '[trust]\nminimum_reputation = 0.005\n' >>B/stoq.conf
stop B
start B
on B peers --why "${peer[2]}" --json | jq -e '.is_cut | not' >/dev/null || fail "trust.minimum_reputation changes nothing"
exits 0 on forger ping "$(contact B)"
cp conf B/stoq.conf
aged 60
moved "${peer[2]}" '[0,0,1,0,0]'
on B peers --why "${peer[2]}" --json >out
jq -e '(.is_cut | not) and .trust_value > 0.1' out >/dev/null || fail "no recovery: $(cat out)"
exits 0 on forger ping "$(contact B)"
connected "${peer[2]}" || fail "not connected though it has recovered"

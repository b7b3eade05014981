#!/usr/bin/env bash
# TrustEvents move their counters: a source with forged bytes is cut once, stays cut over a restart and is
# not asked any more, until the time passes or it is forgiven; one that serves well becomes trusted; one
# that does not answer is not cut. The file that keeps it may be damaged.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
mkdir in
head -c 20000000 /dev/urandom >in/random
start A
id=$(on A publish in --name data --version 1 -q)
head -c 3000000 /dev/urandom >more
more=$(on A publish more --name more --version 1 -q)
start C
on C get "$id" --from "$(contact A)" -q
stop A
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" --forge A/store all
start A
liar=$(jq -r .peer A.ready) good=$(jq -r .peer C.ready)
why() { exits 0 on B peers --why "$1" --json && jq -e "${@:2}" out >/dev/null || fail "$1: $(cat out)"; }

start B
why "$liar" '.trust_value > 0.13 and .trust_value < 0.131 and (.is_trusted | not) and (.is_cut | not)
    and .budget_chunks == 32 and .penalties == [] and .successful_transfers == 0'
exits 0 on B get "$id" --from "$(contact A)" --from "$(contact C)" -o tree --json
same_tree in tree
why "$liar" '.invalid_data_count == 1 and .is_cut and .quarantine_s > 86000 and .quarantine_s <= 86400
    and .timeout_count == 0 and .trust_value < 0.1 and .quarantines == 1
    and .penalties[0] == {"kind": "InvalidData", "count": 1}'
why "$good" '.successful_transfers >= 1 and .invalid_data_count == 0 and .failed_transfers == 0 and .timeout_count == 0
    and .is_trusted and .trust_value > 0.3 and .penalties == [] and .budget_chunks == null'

# Cut: not connected any more, and not asked though it is the only source.
exits 0 on B peers --json
jq -e --arg a "$liar" 'all(.peers[]; .peer != $a) and (.known[] | select(.peer == $a) | .cut and (.trusted | not))' out \
    >/dev/null || fail "still connected: $(cat out)"
exits 5 on B get "$more" --from "$(contact A)" --json
grep -qE 'cut off for another 14[34][0-9] min' out || fail "not for a day: $(cat out)"
exits 1 on B peers --select "replication:2" --json
jq -e --arg a "$liar" '.candidates[] | select(.peer == $a) | .clause == "drop cut"' out >/dev/null || fail "selected: $(cat out)"
# Who was cut is turned away when it comes by itself, too.
head -c 1000 /dev/urandom >other
other=$(on B publish other --name other --version 1 -q)
exits 5 on A get "$other" --from "$(contact B)" --timeout 20

# Silence costs score, and nothing else.
gone=$(contact C)
stop C
exits 5 on B get "$more" --from "$gone" --timeout 20
why "$good" '(.is_cut | not)'

# Over a restart, over six days, over twenty.
stop B
start B
why "$liar" '.invalid_data_count == 1 and .is_cut and .quarantine_s > 86000'
why "$good" '.successful_transfers >= 1'
past() { # DAYS: the file was written so long ago
    stop B
    python3 - "$1" <<'PY'
import sys
p = 'B/trust'
b = bytearray(open(p, 'rb').read())
assert b[0] == 1 and b[1] == 26
b[2:6] = (int.from_bytes(b[2:6], 'big') - 86400 * int(sys.argv[1])).to_bytes(4, 'big')
open(p, 'wb').write(b)
PY
    start B
}
past 2
why "$liar" '.quarantine_s == null and .is_cut and .bad > 40 and .bad < 41.1'
past 90
why "$liar" '(.is_cut | not) and .invalid_data_count == 1 and .bad < 0.01'
exits 4 on B get "$more" --from "$(contact A)" --json
why "$liar" '.invalid_data_count == 2 and .is_cut and .quarantine_s > 2 * 86000'
exits 0 on B peers --forgive "$liar" --json
jq -e '.invalid_data_count == 0 and (.is_cut | not)' out >/dev/null || fail "not forgiven: $(cat out)"
stop B
printf 'not a file of ours' >B/trust
start B
why "$good" '.successful_transfers == 0'
exits 2 on B peers --why peer1nobody

# The keys of the configuration are the thresholds.
stop B
printf '[trust]\nminimum_trust_threshold = 0.12\n' >B/stoq.conf
start B
why "$good" '.is_trusted'

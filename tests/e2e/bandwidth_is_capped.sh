#!/usr/bin/env bash
# Caps, both directions, of all peers and of one: while one holds, a fetch waits and the allocation shows;
# lifted while it runs, the fetch ends; afterwards nothing is allocated, whatever way a fetch ended.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
head -c 6000000 /dev/urandom >in
mkdir A
printf '[bandwidth]\nup = 20kB\n' >A/stoq.conf
start A
start B
id=$(on A publish in --name data --version 1 -q)
me=$(jq -r .peer B.ready) it=$(jq -r .peer A.ready)
waits() { # NODE DIRECTION PEER: somebody waits for a grant there
    on "$1" limit --json >limits && jq -e --arg d "$2" --arg p "$3" \
        'any(.allocations[]; .direction == $d and .peer == $p and .requested > 0)' limits >/dev/null
}
none() { on "$1" limit --json >limits && jq -e '.allocations == []' limits >/dev/null; }
fetch() { # NODE FROM: in the background, and the program itself: signals reach it
    "$STOQ" --home "$(home "$1")" get "$id" --from "$(contact "$2")" --json >"$1.get" 2>&1 &
    fetching=$!
}
interrupt() { # NODE
    local code=0
    kill -INT $fetching
    wait $fetching || code=$?
    [ $code = 130 ] || fail "not interrupted, exit code $code: $(cat "$1.get")"
}

exits 0 on A limit --json
jq -e '.up == 20000 and .down == null and .peers == [] and .allocations == []' out >/dev/null || fail "from the file: $(cat out)"
fetch B A
wait_for waits A up "$me" || fail "nobody waits: $(cat limits)"
kill -0 $fetching || fail "the fetch did not wait: $(cat B.get)"
exits 0 on A limit --up none --json
jq -e '.up == null' out >/dev/null || fail "not lifted: $(cat out)"
wait $fetching || fail "the fetch: $(cat B.get)"
jq -e '.bytes_from_peers == .bytes' B.get >/dev/null || fail "not all of it: $(cat B.get)"
wait_for none A || fail "left: $(cat limits)"

# Metadata counts: what a question about it brought is paid for, and until then shows. At a byte a second the first reply is
# still owed when the next one is asked for, however late that comes.
start E
exits 0 on A limit --up 1
fetch E A
pays() {
    on A limit --json >limits &&
        jq -e 'any(.allocations[]; .class == "interactive" and .direction == "up" and .requested > 0)' limits >/dev/null
}
wait_for pays || fail "metadata is not counted: $(cat limits)"
interrupt E
exits 0 on A limit --up none

# What is taken, and from one peer alone; a fetch that is given up leaves nothing either.
start C
exits 0 on C limit --down 20kB --peer "$it" --json
jq -e --arg p "$it" '.down == null and .peers == [{"peer": $p, "up": null, "down": 20000}]' out >/dev/null || fail "of one: $(cat out)"
fetch C A
wait_for waits C down "$it" || fail "nobody waits: $(cat limits)"
interrupt C
exits 0 on C get "$id" --from "$(contact B)" -q
exits 0 on C limit --down none --peer "$it" --json
wait_for none C || fail "left: $(cat limits)"
jq -e '.peers == []' limits >/dev/null || fail "a cap of nothing: $(cat limits)"
exits 0 on A limit
says 'up none, down none'

exits 2 on A limit --up fast
exits 2 on A limit --up 0
exits 2 on A limit --up 1MB --peer nobody
exits 6 on D limit

#!/usr/bin/env bash
# Priorities: what a get says travels to its source, whose allocations show it; fetches past
# transfer.max_concurrent wait and begin by priority; classes and times of day have caps of their own;
# and however transfers end, nothing stays allocated at either end.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
for n in 1 2 3; do head -c 3000000 /dev/urandom >"in$n"; done
mkdir A B
printf '[transport]\nidle_timeout = 3\n[bandwidth]\nclass = background up=50kB\n' >A/stoq.conf
printf '[transfer]\nmax_concurrent = 1\n' >B/stoq.conf
start A
start B
for n in 1 2 3; do id[n]=$(on A publish "in$n" --name data --version $n -q); done
me=$(jq -r .peer B.ready)
fetch() { # NUMBER OPTION...: in the background
    "$STOQ" --home "$(home B)" get "${id[$1]}" --from "$(contact A)" --json "${@:2}" >"get$1" 2>&1 &
    get[$1]=$!
}
allocated() { # NODE CLASS DIRECTION
    on "$1" limit --json >limits &&
        jq -e --arg c "$2" --arg d "$3" 'any(.allocations[]; .class == $c and .direction == $d)' limits >/dev/null
}
none() { on "$1" limit --json >limits && jq -e '.allocations == [] and ([.allocations[].granted] | add // 0) == 0' limits >/dev/null; }
state() {
    on B transfers --json >list &&
        jq -e --arg id "${id[$1]}" --arg s "$2" '[.transfers[] | select(.id == $id)][0].state == $s' list >/dev/null
}

# A background transfer is one at its source, and its class's cap there holds it.
fetch 1 --priority background --strategy fastest-first
wait_for allocated A background up || fail "the source does not know: $(cat limits)"
jq -e --arg p "$me" --arg id "${id[1]}" '.allocations[] | select(.direction == "up") |
    .peer == $p and .id == $id and .transfer == null and (.requested | type) == "number" and
    (.rate | type) == "number"' limits >/dev/null ||
    fail "the allocation: $(cat limits)"
wait_for allocated B background down || fail "none here: $(cat limits)"
number=$(jq '.allocations[0].transfer' limits)
wait_for state 1 running || fail "not running: $(cat list)"
jq -e --argjson n "$number" '.transfers[0] |
    .number == $n and .priority == "background" and .strategy == "fastest-first"' list >/dev/null ||
    fail "the transfer: $(cat list)"

# One at a time: the next two wait, and the interactive one goes first.
fetch 2
wait_for state 2 waiting || fail "does not wait: $(cat list)"
fetch 3 --priority interactive
wait_for state 3 waiting || fail "does not wait: $(cat list)"
exits 0 on A limit --class background --up none --json
jq -e '.classes == []' out >/dev/null || fail "the class: $(cat out)"
for n in 1 2 3; do wait "${get[$n]}" || fail "get $n: $(cat get$n)"; done
on B transfers --json >list
jq -e --arg a "${id[1]}" --arg b "${id[2]}" --arg c "${id[3]}" '[.transfers[].id] == [$b, $c, $a]' list >/dev/null ||
    fail "the order: $(cat list)"
for node in A B; do wait_for none $node || fail "left at $node: $(cat limits)"; done

# Cancelled, killed, refused: nothing stays at the source, and nothing here.
exits 0 on A limit --class normal --up 20kB --json
jq -e '.classes == [{"class": "normal", "up": 20000, "down": null}]' out >/dev/null || fail "the class: $(cat out)"
for n in 1 2 3; do on B rm "${id[$n]}" -q; done
fetch 1
wait_for allocated A normal up || fail "not at the source: $(cat limits)"
kill -INT "${get[1]}"
wait "${get[1]}" && fail "not interrupted"
for node in A B; do wait_for none $node || fail "left by a cancel at $node: $(cat limits)"; done
fetch 2
wait_for allocated A normal up || fail "not at the source: $(cat limits)"
stop B KILL
wait "${get[2]}" && fail "no error after a kill"
wait_for none A || fail "left by a kill: $(cat limits)"

# Times of day.
exits 0 on A limit --between 00:00-00:00 --up 30kB --json
jq -e '.up == 30000 and .windows == [{"between": "00:00-00:00", "now": true, "up": 30000}]' out >/dev/null || fail "all day: $(cat out)"
exits 0 on A limit --between 00:00-00:00 --remove --json
jq -e '.up == null and .windows == []' out >/dev/null || fail "not removed: $(cat out)"

exits 2 on A limit --between 8-18 --up 1MB
exits 2 on A limit --between 08:00-18:00
exits 2 on A limit --class urgent --up 1MB
exits 2 on A limit --class normal --peer "$me" --up 1MB
exits 2 on A get "${id[1]}" --priority urgent
exits 2 on A get "${id[1]}" --strategy random

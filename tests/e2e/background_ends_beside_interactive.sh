#!/usr/bin/env bash
# Interactive fetches keep coming, one of them always under way or waiting, and yet the background ones end: W's, which
# waits for its turn (one fetch at a time there) and has grown old enough after a minute, and C's, which runs beside them
# for what they leave of the source's line.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
mkdir S W
printf 'bandwidth.up = 300kB\n' >S/stoq.conf
printf '[transfer]\nmax_concurrent = 1\n' >W/stoq.conf
for name in S W C; do start $name; done
head -c 500000 /dev/urandom >old
old=$(on S publish old --name old --version 1 -q)
fetched=0
fetches=()

fresh() { # what is wanted next: three seconds of the line
    head -c 900000 /dev/urandom >next
    next=$(on S publish next --name next --version $((++fetched)) -q)
}
fetch() { # NAME ID PRIORITY; what fails tells it itself: of so many processes a number may come again
    { on "$1" get "$2" --from "$(contact S)" --priority "$3" -q >>"$1.out" 2>&1 || echo "$1 $2 $3" >>failed; } &
    fetches+=($!)
}
state() { # NAME ID
    on "$1" transfers --json >list.json && jq -r --arg id "$2" 'first(.transfers[] | select(.id == $id)).state // "none"' list.json
}
under_way() { # NAME: interactive ones that are not over
    on "$1" transfers --json >list.json &&
        jq '[.transfers[] | select(.priority == "interactive" and (.state == "running" or .state == "waiting"))] | length' list.json
}
keep() { # NAME: six interactive fetches at least
    while [ "$(under_way "$1")" -lt 6 ]; do
        fresh
        fetch "$1" "$next" interactive
        wait_for known "$1" "$next" || fail "$1 does not begin: $(cat "$1.out")"
    done
}
# shellcheck disable=SC2317
known() { [ "$(state "$1" "$2")" != none ]; }

keep W
keep C
fetch W "$old" background
fetch C "$old" background
for name in W C; do wait_for known $name "$old" || fail "not begun: $(cat $name.out)"; done
waited=no beside=no
for name in C W; do
    end=$((SECONDS + 180))
    now=none
    while [ "$now" != "done" ]; do
        [ $SECONDS -lt $end ] || fail "the background one of $name never ends: $(cat list.json)"
        keep W
        [ $name = W ] || keep C
        [ $waited = yes ] || [ "$(state W "$old")" != waiting ] || waited=yes
        now=$(state $name "$old")
        [ "$name$now" != Crunning ] || [ "$(under_way C)" = 0 ] || beside=yes
        sleep 0.1
    done
    [ "$(under_way $name)" -gt 0 ] || fail "nothing interactive was left behind $name's"
done
[ $waited$beside = yesyes ] || fail "it waited: $waited, it ran beside others: $beside"
for pid in "${fetches[@]}"; do wait "$pid" 2>/dev/null || true; done
[ ! -e failed ] || fail "a fetch failed: $(cat failed W.out C.out)"

#!/bin/bash
# kill -9 of the fetching process, then of the serving one, then Ctrl-C: each time a later get goes on from
# what was verified and ends with the same tree. The sources that the first one named need not be named again,
# not even by a daemon that was killed in between.
. "$(dirname "$0")/lib.sh"

mkdir in
for i in 1 2 3; do
    head -c 60000000 /dev/urandom >in/$i
done
start A
id=$(on A publish in --name data --version 1 -q)

midway() { [ -s events ] && tail -n 1 events | jq -e '.bytes_from_peers > 3000000' >/dev/null 2>&1; }
midway_or_over() { midway || ! kill -0 "$1" 2>/dev/null; }

cut_short() { # SIGNAL: a get from A, ended by it once some megabytes have come
    : >events
    "$STOQ" --home "$(home B)" get "$id" --from "$(contact A)" --progress=json >got 2>events &
    local pid=$! code=0
    wait_for midway_or_over $pid || fail "nothing comes: $(tail -n 3 events)"
    kill "-$1" $pid 2>/dev/null || true
    wait $pid 2>/dev/null || code=$?
    printf '%s' $code
}

code=$(cut_short KILL)
[ "$code" = 137 ] || [ "$code" = 0 ] || fail "killed get: $code"
code=$(cut_short TERM)
[ "$code" = 130 ] || [ "$code" = 0 ] || fail "interrupted get: $code"

: >events
"$STOQ" --home "$(home B)" get "$id" --from "$(contact A)" --progress=json --json >got 2>events &
pid=$!
wait_for midway_or_over $pid || fail "nothing comes: $(tail -n 3 events)"
stop A KILL
code=0 && wait $pid || code=$?
[ $code = 5 ] || [ $code = 0 ] || fail "a dead source gave $code: $(cat got)"
start A

on B get "$id" --from "$(contact A)" -o tree --json >got
jq -e '.complete_before or .bytes_had > 0' got >/dev/null || fail "began anew: $(cat got)"
same_tree in tree
on B verify "$id" -q

# In a daemon, killed in the middle; nobody names a source again. Peers of before would do for that, too: off.
mkdir -p D && printf 'discovery.exchange = off\n' >D/stoq.conf
start D
: >events
"$STOQ" --home "$(home D)" get "$id" --from "$(contact A)" --progress=json >got 2>events &
pid=$!
wait_for midway || fail "nothing comes: $(tail -n 3 events)"
stop D KILL
wait $pid || true
start D
on D get "$id" --json >got || fail "the sources are forgotten: $(cat got)"
jq -e '.complete_before or .bytes_had > 0' got >/dev/null || fail "a daemon began anew: $(cat got)"
on D verify "$id" -q
# It has ended: who asks for it anew names somebody.
on D rm "$id" -q >/dev/null
exits 5 on D get "$id" --json
jq -e '.error.code == "NoSource"' out >/dev/null || fail "sources of a fetch that ended: $(cat out)"
stop D
stop A

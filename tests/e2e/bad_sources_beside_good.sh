#!/usr/bin/env bash
# Of six sources one falls silent amid the fetch, one dies, one goes on at a hundredth of its rate, and one lies
# from the start: what they owe comes from the two good ones, nothing wrong is stored, and the report names each.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
head -c 16000000 /dev/urandom >data
# So slow at first that nearly all is still to come when four of them fail, however slow the machine is.
capped() { mkdir "$1" && printf 'bandwidth.up = 300kB\n' >"$1/stoq.conf"; }
for name in good1 good2 silent dead slow liar; do
    capped "$name"
    id=$(on "$name" publish data --name data --version 1 -q)
done
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" --forge liar/store all
from=()
for name in good1 good2 silent dead slow liar; do
    start "$name"
    from+=(--from "$(contact "$name")")
done
start sink
on sink get "$id" "${from[@]}" --json >report 2>err &
get=$!
moves() { on sink transfers --json | jq -e '.transfers[0].bytes_done > 1000000' >/dev/null; }
wait_for moves || fail "the fetch does not move: $(on sink transfers --json)"
kill -STOP "${daemon[silent]}"
stop dead KILL
on slow limit --up 12kB >/dev/null
on good1 limit --up 1200kB >/dev/null
on good2 limit --up 1200kB >/dev/null
code=0
wait $get || code=$?
kill -CONT "${daemon[silent]}"
[ $code = 0 ] || fail "the fetch: exit code $code: $(cat report)"

on sink verify "$id" -q
on sink get "$id" -o got -q
cmp data got/data || fail "other bytes"
source_of() { jq -r --arg peer "$(jq -r .peer "$1.ready")" ".sources[] | select(.peer == \$peer) | $2" report; }
[ "$(source_of liar .bytes)" = 0 ] || fail "something of the liar's was taken: $(cat report)"
source_of liar .why | grep "do not have the hash" >/dev/null || fail "the liar is not named: $(cat report)"
on sink peers --why "$(jq -r .peer liar.ready)" --json >why
jq -e '.invalid_data_count == 1' why >/dev/null || fail "the liar was asked again: $(cat why)"
for name in good1 good2; do
    [ "$(source_of $name .bytes)" -gt 2000000 ] || fail "$name gave little: $(cat report)"
    on sink peers --why "$(jq -r .peer $name.ready)" --json >why
    jq -e '.invalid_data_count == 0' why >/dev/null || fail "$name is blamed: $(cat why)"
done

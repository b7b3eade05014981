#!/usr/bin/env bash
# Who fetches a package serves what it has of it, from the manifest on: B knows A alone, which is still fetching,
# and gets bytes meanwhile and all of it in the end.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
head -c 6000000 /dev/urandom >data
mkdir S && printf 'bandwidth.up = 150kB\n' >S/stoq.conf
for name in S A B; do
    start $name
done
id=$(on S publish data --name data --version 1 -q)
on A get "$id" --from "$(contact S)" --json >a 2>a.err &
first=$!
# shellcheck disable=SC2317
has_some() { on A transfers --json | jq -e '.transfers[0].bytes_done > 0' >/dev/null; }
wait_for has_some || fail "A gets nothing: $(on A transfers --json)"
on B get "$id" --from "$(contact A)" --json >b 2>b.err &
second=$!
# shellcheck disable=SC2317
passes_on() {
    on B transfers --json | jq -e '.transfers[0].bytes_done > 0 and .transfers[0].state == "running"' >/dev/null &&
        on A transfers --json | jq -e '.transfers[0].state == "running"' >/dev/null
}
wait_for passes_on || fail "A passes nothing on: $(on A transfers --json) $(on B transfers --json)"
on S limit --up none >/dev/null
wait $first || fail "A: $(cat a a.err)"
wait $second || fail "B: $(cat b b.err)"
on B verify "$id" -q
jq -e '[.sources[] | select(.bytes > 0)] | length == 1' b >/dev/null || fail "B had other sources: $(cat b)"

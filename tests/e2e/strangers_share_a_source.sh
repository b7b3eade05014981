#!/usr/bin/env bash
# Two who fetch the same package from one capped source, and do not know each other, get the same of it: from when both
# have begun until the first one is done, Jain's index of what both got is 0.95 at the least.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
bytes=24000000 up=2MB
[ "${STOQ_FLAVOUR:-debug}" = debug ] || bytes=8000000 up=500kB # the line has to be what is short, not the processor
head -c $bytes /dev/urandom >data
mkdir S && printf 'bandwidth.up = 200kB\n' >S/stoq.conf # until both have begun, whenever that is
for name in S A B; do
    [ $name = S ] || { mkdir $name && printf 'discovery.exchange = off\n' >$name/stoq.conf; }
    start $name
done
id=$(on S publish data --name data --version 1 -q)
get=()
for name in A B; do
    on $name get "$id" --from "$(contact S)" -q 2>$name.err &
    get[${#get[@]}]=$!
done
# shellcheck disable=SC2317
both_begun() {
    for name in A B; do on $name transfers --json >$name.begun; done
    jq -s -e 'all(.[]; .transfers[0].bytes_done > 0)' A.begun B.begun >/dev/null
}
wait_for both_begun || fail "one of them gets nothing: $(cat A.begun B.begun)"
on S limit --up $up >/dev/null
# shellcheck disable=SC2317
one_is_done() {
    for name in A B; do on $name transfers --json >$name.list; done
    jq -s -e 'any(.[].transfers[]?; .state == "done")' A.list B.list >/dev/null
}
wait_for one_is_done || fail "neither ends: $(cat A.list B.list)"
jq -s -e '[.[].transfers[0].bytes_done] | [.[2] - .[0], .[3] - .[1]] | pow(add; 2) / (length * (map(. * .) | add)) >= 0.95' \
    A.begun B.begun A.list B.list >/dev/null || fail "not shared: $(jq -c '.transfers[0].bytes_done' A.begun B.begun A.list B.list)"
wait "${get[0]}" && wait "${get[1]}" || fail "not fetched: $(cat A.err B.err)"

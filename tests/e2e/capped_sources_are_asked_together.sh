#!/bin/bash
# Two sources on this machine, each held by a cap: both are asked, however fast one of them is.
. "$(dirname "$0")/lib.sh"

head -c 150000000 /dev/urandom >bytes
for name in A B C D; do start "$name"; done
id=$(on A publish bytes --name n --version 1 -q)
on B get "$id" --from "$(contact A)" -q >/dev/null

both_bring() {
    on "$1" get "$id" --from "$(contact A)" --from "$(contact B)" --json >out || fail "$(cat out)"
    jq -e '[.sources[].bytes] | min * 5 >= add' out >/dev/null || fail "one was asked: $(jq -c '[.sources[].bytes]' out)"
}

# The caps are such as a fast machine just reaches; a slow one asks both of them anyhow.
for name in A B; do on "$name" limit --up 160MiB -q >/dev/null; done
both_bring C
for name in A B; do
    on "$name" limit --up none -q >/dev/null
    on D limit --peer "$(jq -r .peer "$name.ready")" --down 160MiB -q >/dev/null
done
both_bring D

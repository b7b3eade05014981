#!/bin/bash
# A fetch whose replies side by side are larger than all that the sink lets come at once: it neither stalls nor
# charges the source.
. "$(dirname "$0")/lib.sh"

mkdir in B
head -c 40000000 /dev/urandom >in/random
start A
id=$(on A publish in --name data --version 1 -q)
printf '[limits]\nmemory_peer = 4MiB\n' >B/stoq.conf
start B
on B get "$id" --from "$(contact A)" -o tree -q --timeout 240
same_tree in tree
! grep 'silent for too long' B.log || fail "the source was charged"
# A newcomer is asked in many small requests: a first fetch with the windows of every day.
for name in C D E; do
    on "$name" get "$id" --from "$(contact A)" -q --timeout 240 || fail "$name: a first fetch stalls"
done

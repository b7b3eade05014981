#!/bin/bash
# With net.threads = 2 both threads carry connections, of fetches from the daemon and of its own; it serves, fetches,
# pings, survives peers that are killed, and stops. Another daemon cannot take its port.
. "$(dirname "$0")/lib.sh"

mkdir in
for i in $(seq 30); do
    head -c 400000 /dev/urandom >"in/random $i"
done
threads() { jq -e "$1" >/dev/null <<<"$(on A status --json)" || fail "$1: $(on A status --json | jq -c .net)"; }

E2E_NET_THREADS=2 start A
threads '.net.threads | length == 2'
id=$(on A publish in --name data --version 1 -q)
both_carry() { on A status --json | jq -e '.net.threads | all(.opened_inbound > 0 and .wire_bytes_sent > 12000000)' >/dev/null; }
n=0
until both_carry; do # a first packet falls to either thread by chance: mostly three fetches are enough
    n=$((n + 1))
    [ $n -le 30 ] || fail "30 fetches, all by one thread: $(on A status --json | jq -c .net)"
    on "C$n" init -q >/dev/null
    on "C$n" get "$id" --from "$(contact A)" -o "out$n" -q >/dev/null
    same_tree in "out$n"
    rm -r "out$n"
done
threads "(.net.threads | map(.opened_inbound) | add) >= $n and .net.opened_inbound == (.net.threads | map(.opened_inbound) | add)"

# Its own dials go where fewer connections are.
start P
start Q
more=$(on P publish in/random\ 1 --name one --version 1 -q)
on A get "$more" --from "$(contact P)" -o one -q >/dev/null
on A ping "$(contact Q)" -q >/dev/null
on A ping "$(contact Q)" --datagram -q >/dev/null
on Q ping "$(contact A)" --datagram -q >/dev/null
threads '.net.threads | all(.opened_outbound > 0)'
threads '.connections | all(.connected)'

# A peer that dies is noticed, and one that comes back is served.
stop P KILL
stop Q
mkdir other
exits 1 "$STOQ" --home "$TMP/other" daemon --listen "$(jq -r '.listen[0]' A.ready)"
says "Address already in use"
on C1 ping "$(contact A)" -q >/dev/null
stop A

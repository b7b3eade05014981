#!/bin/bash
# A peer's addresses are tried side by side, IPv6 first, each a quarter of a second after the one before; no more
# than 32 attempts are under way however many addresses are dead; a connection is used again.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

head -c 100000 /dev/urandom >in
rm -f A.ready
"$STOQ" --home "$(home A)" daemon --listen '[::]:0' --ready-file A.ready >>A.log 2>&1 &
daemon[A]=$!
wait_for 30 served A
port=$(jq -r '.listen[0]' A.ready)
port=${port##*:}
key=$(jq -r .peer A.ready)
id=$(on A publish in --name in --version 1 -q)

# Whom it remembers B would dial by itself.
mkdir B && printf 'discovery.exchange = off\n' >B/stoq.conf

# A dead address beside a good one costs a quarter of a second, not its time-out of five.
start B
on B get "$id" --from "$key@[::1]:9" --from "$key@127.0.0.1:$port" --json >out 2>err || fail "$(cat out)"
jq -e '.seconds < 3 and (.sources | length == 1) and (.sources[0].addr | startswith("127.0.0.1"))' out >/dev/null ||
    fail "a dead address held it up: $(cat out)"
stop B
# Both good: IPv6.
start B
on B get "$id" --from "$key@127.0.0.1:$port" --from "$key@[::1]:$port" -q >/dev/null
on B rm "$id" -q >/dev/null
on B get "$id" --from "$key@127.0.0.1:$port" --from "$key@[::1]:$port" -q >/dev/null
on B peers --json >out
jq -e '.peers | length == 1 and (.[0].addr | startswith("[::1]"))' out >/dev/null || fail "not IPv6 first: $(cat out)"
# Many small gets, one handshake.
for i in 1 2 3 4 5; do
    on B rm "$id" -q >/dev/null
    on B get "$id" --from "$key@[::1]:$port" -q >/dev/null
done
on B status --json | jq -e '.net.opened_outbound == 1' >/dev/null || fail "a connection was not used again"
stop B

# 36 dead addresses before the good one.
start B
from=()
for i in $(seq 1 36); do
    on X init -q >/dev/null && from+=(--from "$(on X key --json | jq -r .peer)@[::1]:9") && rm -rf X
done
on B rm "$id" -q >/dev/null
on B get "$id" "${from[@]}" --from "$key@[::1]:$port" --json >out 2>err || fail "$(cat out)"
on B status --json >status
jq -e '.net.dialling_most == 32' status >/dev/null || fail "not capped: $(jq -c .net status)"
stop B
stop A

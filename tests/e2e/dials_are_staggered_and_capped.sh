#!/bin/bash
# A peer's addresses are tried side by side, IPv6 first, each a quarter of a second after the one before; no more
# than 32 attempts are under way however many addresses are dead; a connection is used again.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

head -c 100000 /dev/urandom >in
rm -f A.ready
"$STOQ" --home "$(home A)" daemon --listen '[::]:0' --ready-file A.ready >>A.log 2>&1 &
daemon[A]=$!
wait_for served A || fail "A does not serve"
port=$(jq -r '.listen[0]' A.ready)
port=${port##*:}
key=$(jq -r .peer A.ready)
id=$(on A publish in --name in --version 1 -q)

# Whom it remembers B would dial by itself.
mkdir B && printf 'discovery.exchange = off\n' >B/stoq.conf

# A dead address beside a good one costs a quarter of a second, not its time-out of five. A busy machine makes it longer in
# some tries and not in all.
quick() {
    on B get "$id" --from "$key@[::1]:9" --from "$key@127.0.0.1:$port" --json >out 2>err || fail "$(cat out)"
    jq -e '(.sources | length == 1) and (.sources[0].addr | startswith("127.0.0.1"))' out >/dev/null || fail "not over IPv4: $(cat out)"
    jq -e '.seconds < 3' out >/dev/null
}
for try in 1 2 3 4 5 6; do
    start B
    code=0 && quick || code=$?
    on B rm "$id" -q >/dev/null
    stop B
    [ $code != 0 ] || break
    [ $try -lt 6 ] || fail "a dead address held it up: $(cat out)"
done

# IPv6 first, a quarter of a second before IPv4, by the kernel's clock at two addresses where nobody answers.
cat >hear.py <<'PY'
import socket, struct, sys
pair = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for s, host in zip(pair, ("::1", "127.0.0.1")):
    s.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
    s.settimeout(180)
    s.bind((host, 0))
print(*(s.getsockname()[1] for s in pair), flush=True)
at = []
for s in pair:
    _, said, _, _ = s.recvmsg(2000, 100)
    seconds, ns = struct.unpack("qq", next(data for _, kind, data in said if kind == 35))
    at.append(seconds * 1000000000 + ns)
print((at[1] - at[0]) // 1000000, flush=True)
PY
for try in 1 2 3 4 5 6; do # a busy machine may be late with the first, and then they are less apart
    rm -f heard
    python3 hear.py >heard &
    daemon[hears]=$!
    wait_for test -s heard || fail "nobody hears"
    read -r six four <heard
    start B
    exits 5 on B get "$id" --from "$key@127.0.0.1:$four" --from "$key@[::1]:$six" --json
    wait "${daemon[hears]}" || fail "an address was not tried"
    unset 'daemon[hears]'
    stop B
    apart=$(sed -n 2p heard)
    [ "$apart" -ge 0 ] || fail "IPv4 $((-apart)) ms before IPv6"
    [ "$apart" -lt 240 ] || break
    [ $try -lt 6 ] || fail "IPv4 $apart ms after IPv6"
done

# Both good: one is used. Many small gets, one handshake.
start B
on B get "$id" --from "$key@127.0.0.1:$port" --from "$key@[::1]:$port" -q >/dev/null
on B peers --json >out
jq -e '.peers | length == 1' out >/dev/null || fail "more than one: $(cat out)"
opened=$(on B status --json | jq .net.opened_outbound)
for i in 1 2 3 4 5; do
    on B rm "$id" -q >/dev/null
    on B get "$id" --from "$key@[::1]:$port" -q >/dev/null
done
[ "$(on B status --json | jq .net.opened_outbound)" = "$opened" ] || fail "a connection was not used again"
stop B

# 36 dead addresses before the good one. On a busy machine the first ones are silent for half a second, and count no more,
# before the last ones are begun: another try.
from=()
for i in $(seq 1 36); do
    on X init -q >/dev/null && from+=(--from "$(on X key --json | jq -r .peer)@[::1]:9") && rm -rf X
done
for try in 1 2 3 4 5 6; do
    start B
    on B rm "$id" -q >/dev/null
    on B get "$id" "${from[@]}" --from "$key@[::1]:$port" --json >out 2>err || fail "$(cat out)"
    on B status --json >status
    stop B
    jq -e '.net.dialling_most <= 32' status >/dev/null || fail "not capped: $(jq -c .net status)"
    ! jq -e '.net.dialling_most == 32' status >/dev/null || break
    [ $try -lt 6 ] || fail "the cap was never reached: $(jq -c .net status)"
done
stop A

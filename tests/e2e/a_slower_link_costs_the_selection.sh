#!/usr/bin/env bash
# A bandwidth selection follows the link: a peer behind a shaped wire is kept, and soon after its wire was throttled
# under the minimum it is dropped, and no copy is offered to it.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
here=stoq-h-$$ there=stoq-t-$$
shape() { ip netns exec "$there" tc qdisc "$1" dev eth0 root tbf rate "$2" burst 16kb latency 50ms; }
unwire() {
    local code=$?
    set +e
    (exit $code)
    at_end
    ip netns del "$here" 2>/dev/null
    ip netns del "$there" 2>/dev/null
    return $code
}
trap unwire EXIT
ip netns add "$here" 2>/dev/null && ip netns add "$there" 2>/dev/null &&
    ip -n "$here" link add eth0 type veth peer name eth0 netns "$there" 2>/dev/null && shape add 16mbit 2>/dev/null ||
    { echo "needs the right to make network namespaces and shaped wires"; exit 77; }
for end in "$here 1" "$there 2"; do
    read -r ns number <<<"$end"
    ip -n "$ns" link set lo up
    ip -n "$ns" addr add "fd00:9::$number/64" dev eth0 nodad
    ip -n "$ns" link set eth0 gso_max_size 1514 up # one packet is one packet to the bucket
done
begin() { # NAME NAMESPACE ADDRESS [LINE]...
    local name=$1 ns=$2 addr=$3
    shift 3
    mkdir "$name"
    printf '%s\n' 'transport.packet_bytes_max = 1452' "$@" >"$name/stoq.conf"
    ip netns exec "$ns" "$STOQ" --home "$(home "$name")" daemon --listen "[$addr]:0" --ready-file "$TMP/$name.ready" \
        >>"$TMP/$name.log" 2>&1 &
    daemon[$name]=$!
    wait_for served "$name" || fail "daemon $name did not say that it serves"
    [ -s "$TMP/$name.ready" ] || fail "daemon $name ended"
}
begin E "$there" fd00:9::2
begin P "$here" fd00:9::1 "peer = $(contact E) host=h1"
peer=$(jq -r .peer E.ready)
fresh() { head -c "$2" /dev/urandom >in && on "$1" publish in --name "of-${1,,}" --version 1 -q; }
kept() { on P peers --select bandwidth:1MB --json >out || true; [ "$(jq .kept out)" = "$1" ]; }

rose() { on P get "$(fresh E 1500000)" --from "$(contact E)" -q && kept 1; } # a busy machine may be slower than the wire
wait_for rose || fail "16 Mbit/s are less than 1 MB/s: $(cat out)"
jq -e --arg p "$peer" '.candidates[] | select(.peer == $p and .verdict == "kept")' out >/dev/null || fail "another is kept: $(cat out)"

shape change 2mbit
since=$SECONDS
fell() { on P get "$(fresh E 100000)" --from "$(contact E)" -q && kept 0; }
wait_for fell || fail "it still counts as quick: $(cat out)"
echo "dropped after $((SECONDS - since)) s"
jq -e --arg p "$peer" '.candidates[] | select(.peer == $p) | .verdict == "dropped" and .clause == "require rate >= 1000000"
    and .values.rate < 1000000' out >/dev/null || fail "why: $(cat out)"
id=$(fresh P 10000)
exits 1 on P distribute "$id" --replicas 1 --select bandwidth:1MB --json
jq -e '.got == 0 and .replicas == []' out >/dev/null || fail "too slow, and asked: $(cat out)"
exits 3 on E info "$id"

#!/bin/bash
# Two daemons over a path of 100 ms: round trips and bytes of a first exchange, of one in early data and of a sealed
# datagram are those of the simulators' table (stoq-sim --costs), to a tenth. What a busy machine adds, a packet that is
# sent again or a late answer, comes in some tries and not in all.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node
RELAY=$STOQ_BUILD/tests/relay/relay
RTT=100
TRIES=20

"$(dirname "$STOQ")/stoq-sim" --costs >table
cost() { awk -v kind="$1" -v name="$2" '$1 == kind { for (i = 2; i < NF; i += 2) if ($i == name) print $(i + 1) }' table; }

begin() { # NAME EARLY: a daemon that asks nobody of itself
    on "$1" init -q >/dev/null
    printf '%s\n' '[discovery]' 'lan = off' 'dht = off' 'exchange = off' '[transport]' "early_data = $2" 'idle_timeout = 1' >"$1/stoq.conf"
    start "$1"
}
# shellcheck disable=SC2329
relay_ready() { [ -s "relay.$1.ready" ]; }
path() { # NAME: how to reach that daemon over the path
    "$RELAY" --listen '[::1]:0' --to "$(jq -r '.listen[0]' "$1.ready")" --ready-file "relay.$1.ready" \
        --both "delay=$((RTT / 2))ms,mtu=1452" >/dev/null &
    daemon[relay_$1]=$!
    wait_for relay_ready "$1" || fail "the relay did not start"
    echo "$(jq -r .peer "$1.ready")@$(cat "relay.$1.ready")" >"$1.path"
}
begin A off
begin B off
begin C on
begin D on
path A
path C

idle() { on "$1" status --json | jq -e '.net.connections == 0' >/dev/null; }
count() { on "$1" status --json | jq -r '.net | "\(.wire_bytes_received) \(.wire_bytes_sent)"'; }
still() { # nothing has moved for longer than a round trip and a delayed acknowledgement
    local before
    before=$(count "$1")
    sleep 0.3
    [ "$(count "$1")" = "$before" ]
}
exchange() { # FROM TO [OPTION]: a ping; what it says is in `out`, what TO received and sent in r and s
    local before after
    wait_for still "$2" || fail "never quiet"
    before=$(count "$2")
    on "$1" ping "$(cat "$2.path")" --json "${@:3}" >out || fail "$(cat out)"
    wait_for still "$2" || fail "never quiet"
    after=$(count "$2")
    r=$((${after% *} - ${before% *}))
    s=$((${after#* } - ${before#* }))
}
near() { # MEASURED TABLE: no more than a tenth off
    awk -v m="$1" -v t="$2" 'BEGIN { d = m > t ? m - t : t - m; exit !(d * 10 <= (m < t ? m : t)) }'
}
trips() { # KEY PERCENT: that many round trips, and no half a one more
    jq -e --argjson rtt $RTT --argjson want "$2" ".$1 * 100 >= \$rtt * (\$want - 2) and .$1 * 100 < \$rtt * (\$want + 50)" out >/dev/null
}

# A ping over a connection is a Hello and then a Ping, an exchange more than the table's; in early data and in a datagram
# it is the Ping alone. Their messages have other lengths than the table's.
message=64
hello=200
ping=8
more_up=$((hello + ping - 2 * message + $(cost warm asker_bytes)))
more_down=$((hello + ping - 2 * message + $(cost warm asked_bytes)))

costs() { # KIND UP DOWN FROM TO [OPTION]: bytes of this kind, and so many more each way
    local up down
    up=$(($(cost "$1" asker_bytes) + $2))
    down=$(($(cost "$1" asked_bytes) + $3))
    exchange "${@:4}"
    echo "$1: received $r, the table says $up; sent $s, $down; $(cat out)" >&2
    near "$r" $up && near "$s" $down
}
cold() {
    wait_for idle A && wait_for idle B || fail "not closed when idle"
    local warm
    warm=$(cost warm round_trips_percent)
    costs cold $more_up $more_down B A && jq -e '.early == false and .connected_before == false' out >/dev/null &&
        trips connect_ms $(($(cost cold round_trips_percent) - warm)) && trips rtt_ms "$warm"
}
early() {
    wait_for idle C && wait_for idle D || fail "not closed when idle"
    costs early $((ping - message)) $((ping - message)) D C && jq -e .early out >/dev/null &&
        trips rtt_ms "$(cost early round_trips_percent)"
}
datagram() {
    costs datagram 0 $((ping - 4 - message)) B A --datagram && trips rtt_ms "$(cost datagram round_trips_percent)"
}
holds() { # some try is as the table has it
    local try
    for ((try = 0; try < TRIES; try++)); do
        ! "$@" || return 0
    done
    fail "$*: not what the table says"
}
near 1000 1100 && ! near 1000 1110 && ! near 1110 1000 || fail "what is 11 % off is not refused"
holds cold
holds datagram
on D ping "$(cat C.path)" -q >/dev/null # for the ticket
holds early
for name in A B C D; do
    stop "$name"
done

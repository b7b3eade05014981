#!/bin/bash
# Peer exchange alone, no LAN, no DHT: twenty daemons that each know the first one come to know all others, and a
# get that names no source finds what one of them has. What is forged or of another site is not dialled.
. "$(dirname "$0")/lib.sh"
liar=$STOQ_BUILD/tests/exchange_liar
begin() { # begin NAME [LINE]...
    on "$1" init -q >/dev/null
    printf '%s\n' "${@:2}" '[discovery]' 'lan = off' 'dht = off' >"$(home "$1")/stoq.conf"
    start "$1"
}
exchange() { on "$1" status --json | jq ".exchange.$2"; }
met() { [ "$(exchange "$1" met)" = "$2" ]; }
peer_of() { jq -r .peer "$TMP/$1.ready"; }

# One knows the first; so do the others; nobody is told of anybody else.
begin A
all=19
for n in $(seq $all); do
    begin "B$n" "bootstrap = $(contact A)"
done
for n in $(seq $all); do
    wait_for met "B$n" $all || fail "B$n has met $(exchange "B$n" met) of $all: $(on "B$n" status --json | jq -c .exchange)"
done
wait_for met A $all || fail "A has met $(exchange A met)"
[ "$(exchange "B$all" records_foreign)" = 0 ] || fail "records of this host were taken for foreign ones"

mkdir in && echo data >in/file
id=$(on B3 publish in --name data --version 1 -q)
on B7 get "$id" -o got --json >get.json
same_tree in got
[ "$(jq -r '[.sources[] | select(.bytes > 0) | .peer] | join(" ")' get.json)" = "$(peer_of B3)" ] ||
    fail "fetched from $(jq -c .sources get.json)"
# Who starts again without a word of whom to ask remembers them; so does a get without a daemon.
stop B5
printf '%s\n' '[discovery]' 'lan = off' 'dht = off' >B5/stoq.conf
start B5
wait_for met B5 $all || fail "B5 has met $(exchange B5 met) after a restart"
stop B5
on B5 get "$id" -o again -q
same_tree in again
for n in $(seq $all); do
    [ $n != 5 ] || continue
    stop "B$n" KILL 2>/dev/null
done

# Switched off: who is asked has no such message, and nobody is told of.
begin C 'discovery.exchange = off' "bootstrap = $(contact A)"
[ "$(exchange C on)" = false ] || fail "it is not off"
begin D "bootstrap = $(contact C)"
wait_for eval '[ "$(on D peers --json | jq "[.peers[] | select(.agent != \"\")] | length")" = 1 ]' || fail "D has not met C"
[ "$(exchange D known)" = 0 ] || fail "D was told of somebody: $(on D status --json | jq -c .exchange)"
stop C
stop D
stop A

# A liar tells of a peer at a port where somebody listens. E takes it for one of another site, F knows nothing of it.
listen() { # listen NAME: a UDP port; every datagram is a line in NAME.heard, the port it comes from: others may come astray
    python3 - "$TMP/$1" <<'PY' &
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::1", 0))
heard = open(sys.argv[1] + ".heard", "w", buffering=1)
open(sys.argv[1] + ".port.new", "w").write(str(s.getsockname()[1]))
import os
os.rename(sys.argv[1] + ".port.new", sys.argv[1] + ".port")
while True:
    heard.write("%d\n" % s.recvfrom(65536)[1][1])
PY
    daemon[listener-$1]=$!
    wait_for test -s "$TMP/$1.port" || fail "nobody listens"
}
tells() { # tells DAEMON LISTENER WHAT ANSWER...; what the daemon would dial from is left in LISTENER.from
    jq -r '.listen[0]' "$1.ready" | sed 's/.*://' >"$2.from"
    "$liar" tell "$(jq -r '.listen[0]' "$TMP/$1.ready")" "$(cat "$TMP/$2.port")" "$3" >said || fail "the liar: $(cat said)"
    [ "$(tr '\n' ' ' <said)" = "$4" ] || fail "$3: answered $(cat said)"
}
begin E 'site = home' "peer = $("$liar" id)@[::1]:9 site=elsewhere"
begin F
for what in forged stolen expired other; do
    listen $what
done
listen honest
tells E other honest 'PeerExchange Busy ' # well signed, and yet
[ "$(exchange E records_foreign)" = 1 ] || fail "not foreign: $(on E status --json | jq -c .exchange)"
[ "$(exchange E too_soon)" = 1 ] || fail "the second request was not refused"
tells F honest honest 'PeerExchange Busy '
dialled() { grep -qxFf "$1.from" "$1.heard"; }
wait_for dialled honest || fail "an honest record is not dialled: the others prove nothing"
stop F
for what in expired forged stolen; do # one that has forged is not believed again: each to a daemon that knows it not
    begin "F-$what"
    tells "F-$what" $what $what 'PeerExchange Busy '
    [ "$(exchange "F-$what" known)" = 0 ] || fail "$what: kept"
    [ "$(exchange "F-$what" records_taken)" = 0 ] || fail "$what: taken"
    key=records_forged
    [ $what != expired ] || key=records_expired
    [ "$(exchange "F-$what" $key)" = 1 ] || fail "$what: $(on "F-$what" status --json | jq -c .exchange)"
    [ "$(exchange "F-$what" dialled)" = 0 ] || fail "$what: dialled"
    stop "F-$what"
done
stop E
for what in other forged stolen expired; do
    ! dialled $what || fail "$what: dialled"
done

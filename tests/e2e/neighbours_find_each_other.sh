#!/bin/bash
# Two machines on one wire, no router, no configuration: they see each other, and a get names no source.
. "$(dirname "$0")/wire.sh"

mkdir in && head -c 3000000 /dev/urandom >in/a && head -c 5000 /dev/urandom >in/b

wire v6
begin "$left" A
begin "$right" B
wait_for sees B A || fail "B does not see A"
wait_for sees A B || fail "A does not see B"
on B peers --json | jq -e '.neighbours[0].addr | startswith("[fe80::")' >/dev/null || fail "not by its link-local address"
id=$(on A publish in --name x --version 1)
on B get "$id" -o tree1 --json >got
same_tree in tree1
jq -e '.sources | length == 1 and .[0].connected' got >/dev/null || fail "the source is not the neighbour"

# Without a daemon: it asks, announces nothing and fetches.
wait_for ip netns exec "$right" "$STOQ" --home "$(home C)" get "$id" -o tree2 || fail "nobody answers C" # within a second and a half
same_tree in tree2
[ "$(on A peers --json | jq '.neighbours | length')" = 1 ] || fail "one that only asks was announced"

# A second daemon on the same machine.
begin "$left" D --listen '[::]:0'
wait_for sees B D || fail "B does not see the second daemon of A's machine"
wait_for sees A D || fail "A does not see the daemon beside it"

# What is no beacon counts as refused and harms nobody.
before=$(on B status --json | jq .lan.beacons_refused)
ip netns exec "$left" python3 - <<'PY'
import os, socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
to = ("ff12::7374:6f71", 4478, 0, socket.if_nametoindex("eth0"))
for n in (1, 100, 300, 512, 513, 1400):
    s.sendto(os.urandom(n), to)
PY
refused_more() { [ "$(on B status --json | jq .lan.beacons_refused)" -ge $((before + 6)) ]; }
wait_for refused_more || fail "garbage was not counted as refused"

# One that leaves is forgotten at once, by B too, and not when its beacons have failed to come for 70 s.
stop D
wait_at_most 30 sees_not B D || fail "B still sees D, which said goodbye"
sees B A || fail "B lost A"

# Off by one switch: neither heard nor hearing.
mkdir -p E && printf '[discovery]\nlan = off\n' >E/stoq.conf
begin "$right" E --listen '[::]:0'
[ "$(on E status --json | jq .lan.on)" = false ] || fail "it is not off"
exits 5 on E get "$id" --json
says NoSource
[ "$(on E peers --json | jq '.neighbours | length')" = 0 ] || fail "E has neighbours"
sees_not A E || fail "A sees E"
stop E

# A private network, by key or by a list of peers: its members see each other and nobody else, others see none of them. What goes
# over the wire is of one length and has nothing of a member's key; a question of a member's that somebody recorded and asks
# again is not answered.
cat >listen.py <<'PY'
# listen.py SECONDS OUT: record what goes to the beacons' group, one datagram a line; listen.py - OUT: send it again
import socket, sys, time
link = socket.if_nametoindex("eth0")
group = socket.inet_pton(socket.AF_INET6, "ff12::7374:6f71")
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
if sys.argv[1] == "-":
    for line in open(sys.argv[2]):
        s.sendto(bytes.fromhex(line), ("ff12::7374:6f71", 4478, 0, link))
    sys.exit()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", 4478))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + link.to_bytes(4, "little"))
end = time.monotonic() + float(sys.argv[1])
with open(sys.argv[2], "w") as out:
    open(sys.argv[2] + ".ready", "w").close()
    while (left := end - time.monotonic()) > 0:
        s.settimeout(left)
        try:
            print(s.recv(2000).hex(), file=out, flush=True)
        except socket.timeout:
            pass
PY
secret=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
sent_of() { on "$1" status --json | jq .lan.beacons_sent; }
stop A # the open beacons are not in the record
stop B
for kind in key list; do
    for name in P Q; do
        rm -rf "$name" && on $name init -q >/dev/null
        [ $kind = list ] || printf 'network.key = %s\n' "$secret" >$name/stoq.conf
    done
    if [ $kind = list ]; then
        on Q key --json | jq -r '"allow = " + .peer' >P/stoq.conf
        on P key --json | jq -r '"allow = " + .peer' >Q/stoq.conf
    fi
    begin "$right" Q --listen '[::]:0'
    rm -f tape.ready
    ip netns exec "$left" python3 listen.py 600 tape &
    listener=$!
    wait_for [ -e tape.ready ] || fail "nobody records"
    begin "$left" P --listen '[::]:0'
    wait_for sees Q P || fail "members by $kind do not see each other"
    wait_for sees P Q || fail "members by $kind do not see each other"
    private=$(on P publish in --name private --version "$kind" -q)
    on Q get "$private" -o "tree-$kind" -q
    same_tree in "tree-$kind"
    enough() { [ "$(wc -l <tape)" -ge 4 ]; } # the three questions of P and Q's answer
    wait_for enough || fail "only $(wc -l <tape) beacons were recorded"
    stop P
    kill $listener && wait $listener || true
    awk '{print length($0)}' tape | sort -u >lengths
    [ "$(cat lengths)" = 512 ] || fail "by their lengths beacons are told apart: $(cat lengths)"
    for name in P Q; do
        shown=$(on $name key --json | jq -r .spki | base64 -d | tail -c 32 | od -An -tx1 | tr -d ' \n')
        ! grep -q "$shown" tape || fail "a beacon shows a key"
    done
    # A beacon of Q's own falls due every 20 to 24 s: of three tries within 6 s one shows what the record does.
    for try in 1 2 3; do
        before=$(sent_of Q)
        refused=$(on Q status --json | jq .lan.beacons_refused)
        ip netns exec "$left" python3 listen.py - tape
        refused_all() { [ "$(on Q status --json | jq '.lan.beacons_refused + .lan.beacons_throttled')" -gt "$refused" ]; }
        wait_for refused_all || fail "the record did not come to Q"
        sleep 0.5 # an answer comes within 80 ms of a question
        [ "$(sent_of Q)" != "$before" ] || break
        [ $try -lt 3 ] || fail "Q answers a question that somebody recorded ($kind)"
    done
    # Strangers who come later, with an open network of their own.
    begin "$left" A
    begin "$right" B
    wait_for sees B A || fail "B does not see A"
    sees_not Q A || fail "a member by $kind sees an outsider"
    sees_not A Q || fail "an outsider sees a member by $kind"
    sees_not B Q || fail "an outsider sees a member by $kind"
    stop Q
    stop A
    stop B
done
begin "$left" A
begin "$right" B

stop A
stop B

# Nobody there: it says so, soon.
exits 5 ip netns exec "$right" "$STOQ" --home "$(home F)" get "$id"
says "nobody on this network answers"

# A wire that has just come up: its IPv6 address is checked for duplicates, here for 2 s, and can send nothing. Who asks
# meanwhile waits for it instead of saying that nobody is there.
wire bare
begin "$left" A
ip netns exec "$right" sysctl -qw net.ipv6.conf.eth0.dad_transmits=2 net.ipv6.conf.eth0.router_solicitation_delay=0
ip -n "$left" link set eth0 up && ip -n "$right" link set eth0 up
carrier() { ip -n "$right" link show eth0 | grep -q LOWER_UP && ip -n "$right" -6 addr show eth0 | grep -q fe80; }
wait_for carrier || fail "the wire does not come up"
on G init -q >/dev/null
ip netns exec "$right" "$STOQ" --home "$(home G)" get "$(on A key --json | jq -r .key)/x@1" -o tree5 -q
same_tree in tree5
stop A

# The same wire without IPv6.
wire v4
begin "$left" A
begin "$right" B
wait_for sees B A || fail "B does not see A over IPv4"
on B rm "$id" && on B get "$id" -o tree3
same_tree in tree3

#!/bin/bash
# A daemon on a link is seen by programs that know DNS-SD and nothing of stoq: a browser written from the RFCs, and
# zeroconf and avahi where they are installed; beside another responder on the same machine; not by its switch, not
# in a private network; and gone when it ends.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/wire.sh"
browser=$here/../tools/mdns_browse.py
browse() { ip netns exec "$right" "$browser" browse eth0 "$1" 180 "$2"; } # FAMILY COUNT

check_seen() { # NAME: what the browser printed is daemon NAME
    local name=$1
    on "$name" key --json >key
    jq -e --slurpfile key key --argjson port "$(jq '.listen[0] | capture(":(?<p>[0-9]+)$").p | tonumber' "$name.ready")" \
        --arg name "$(on "$name" status --json | jq -r .lan.dns_sd.name)" '
        .services == ["_stoq._udp.local."] and (.instances | length == 1) and (.instances | to_entries[0] |
        .key == $name + "._stoq._udp.local." and .value.port == $port and .value.txt.key == $key[0].spki and
        .value.txt.peer == $key[0].peer and .value.txt.alpn == "stoq/1" and (.value.host | startswith("stoq-")))' seen >/dev/null ||
        fail "the browser sees something else: $(cat seen)"
}
announced() { [ "$(on "$1" status --json | jq .lan.dns_sd.links)" = 1 ]; }

wire v4
mkdir A && echo 'listen = [::]:4480' >A/stoq.conf
begin "$left" A
wait_for announced A || fail "not announced: $(on A status --json | jq .lan)"
browse 4 1 >seen
check_seen A
jq -e '[.instances[].addresses[]] == ["10.9.8.1"]' seen >/dev/null || fail "another address: $(cat seen)"
ip netns exec "$right" "$browser" legacy eth0 4 180 | jq -e '
    .id == 4711 and (.questions | length == 1) and .records[0].type == "PTR" and
    all(.records[]; .ttl <= 10 and (.flush | not))' >/dev/null ||
    fail "a plain resolver's question"

# A second daemon of the machine, and the goodbye of one that ends; the other stays.
ip netns exec "$right" "$browser" listen eth0 4 600 >heard &
listener=$!
wait_for [ -s heard ] || fail "the listener does not listen"
begin "$left" D --listen '[::]:0'
wait_for announced D || fail "the second daemon is not announced"
browse 4 2 | jq -e '.instances | length == 2' >/dev/null || fail "not both are seen"
gone=$(on D status --json | jq -r .lan.dns_sd.name)
stop D
bye() { grep '"ttl": 0' heard | grep -qF "\"$gone._stoq._udp.local.\""; }
wait_for bye || fail "no goodbye"
kill $listener && wait $listener 2>/dev/null || true
tail -n +2 heard | jq -s -e 'map(select(.type == "PTR")) | length > 0 and all(.[]; .flush | not)' >/dev/null ||
    fail "a shared record replaces others"
browse 4 1 >seen
check_seen A

# Somebody has the name already: the next one.
stop A
name=$(jq -r '.instances | keys[0]' seen)
ip netns exec "$right" "$browser" claim eth0 4 "$name" 60 >claims &
claimer=$!
wait_for [ -s claims ] || fail "nobody claims the name"
begin "$left" A
wait_for announced A || fail "not announced under another name"
kill $claimer && wait $claimer 2>/dev/null || true
on A status --json | jq -e '.lan.dns_sd | .renamed >= 1 and (.name | test(" \\([0-9]+\\)$"))' >/dev/null || fail "not renamed"
stop A

# Garbage is counted, and harms nobody.
begin "$left" A
wait_for announced A || fail "not announced again"
ip netns exec "$right" python3 - <<'PY'
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.9.8.2"))
for n in (1, 11, 12, 40, 1400):
    s.sendto(b"\0\0\0\0\0\1\0\0\0\0\0\0\xc0\x0c"[:n].ljust(n, b"\xff"), ("224.0.0.251", 5353))
PY
refused() { [ "$(on A status --json | jq .lan.dns_sd.refused)" -ge 3 ]; }
wait_for refused || fail "garbage was not counted"

# zeroconf, a library of others (Debian's package, so Debian's python3).
if /usr/bin/python3 -c 'import zeroconf' 2>/dev/null; then
    ip netns exec "$right" /usr/bin/python3 - "$(on A key --json | jq -r .spki)" <<'PY' || fail "zeroconf does not see us"
import sys, time
from zeroconf import IPVersion, ServiceBrowser, ServiceListener, Zeroconf, ZeroconfServiceTypes

class Seen(ServiceListener):
    def __init__(self):
        self.names = []
    def add_service(self, zc, kind, name):
        self.names.append(name)
    def remove_service(self, zc, kind, name):
        pass
    def update_service(self, zc, kind, name):
        pass

zc, seen = Zeroconf(interfaces=["10.9.8.2"], ip_version=IPVersion.V4Only), Seen()
browser = ServiceBrowser(zc, "_stoq._udp.local.", seen)
end = time.monotonic() + 180
info = None
while info is None and time.monotonic() < end:
    time.sleep(0.05)
    info = zc.get_service_info("_stoq._udp.local.", seen.names[0], 5000) if seen.names else None
assert info is not None, "no service"
assert info.port == 4480 and info.parsed_addresses() == ["10.9.8.1"], (info.port, info.parsed_addresses())
assert info.properties[b"key"].decode() == sys.argv[1], info.properties
while "_stoq._udp.local." not in ZeroconfServiceTypes.find(zc=zc, timeout=0.5):
    assert time.monotonic() < end, "the type is not listed"
zc.close()
PY
else
    echo "python3-zeroconf is not installed: not tried"
fi

# avahi beside us on the same machine: both are seen, neither is in the other's way.
if command -v avahi-daemon >/dev/null && command -v avahi-browse >/dev/null && command -v dbus-daemon >/dev/null; then
    # It ends when it takes what it has heard for all: on a busy machine it is asked again.
    cat >browse_avahi <<'SH'
for _ in $(seq 20); do avahi-browse -rpt _stoq._udp >avahi && grep -q '^=;eth0;IPv4;stoq' avahi && exit; done
exit 1
SH
    ip netns exec "$left" "$here/../tools/with_avahi.sh" "$TMP" bash browse_avahi || fail "avahi-browse does not see us: $(cat avahi)"
else
    echo "avahi is not installed: not tried"
fi
stop A

# Off: by its own switch, by the LAN's, in private networks.
ip netns exec "$right" "$browser" listen eth0 4 600 >heard &
listener=$!
wait_for [ -s heard ] || fail "the listener does not listen"
silent=(E1 E2 E3 E4)
configs=('discovery.dns_sd = off' 'discovery.lan = off' "network.key = $(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    "allow = ${peer[A]}")
for i in "${!silent[@]}"; do
    mkdir "${silent[i]}" && echo "${configs[i]}" >"${silent[i]}/stoq.conf"
    begin "$left" "${silent[i]}" --listen '[::]:0'
done
ip netns exec "$right" "$browser" legacy eth0 4 1 >/dev/null 2>&1 && fail "one of them answers"
for i in "${!silent[@]}"; do
    on "${silent[i]}" status --json | jq -e '.lan.dns_sd | .on == false and .sent == 0' >/dev/null || fail "announced with ${configs[i]}"
    stop "${silent[i]}"
done
kill $listener && wait $listener 2>/dev/null || true
tail -n +2 heard | jq -s -e 'all(.[]; .from != "10.9.8.1")' >/dev/null || fail "a private daemon said something: $(cat heard)"

# The same over IPv6 alone.
wire v6
begin "$left" A
wait_for announced A || fail "not announced over IPv6"
browse 6 1 >seen
check_seen A
jq -e '[.instances[].addresses[]] | length >= 1 and all(.[]; startswith("fe80:"))' seen >/dev/null || fail "not its address: $(cat seen)"
stop A

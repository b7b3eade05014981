# shellcheck shell=bash
#
# Sourced by the scripts that need two machines on one wire: a network namespace each, "$left" and "$right",
# joined by a pair of veth devices, both called eth0. Skips where namespaces may not be made.
#
#   wire v6|v4|bare   both machines anew, with an address each (bare: the links stay down)
#   begin SIDE NAME [OPTION]...   daemon NAME on that side, listening everywhere; peer[NAME] is its id
#   sees A B, sees_not A B        by LAN discovery
. "$(dirname "$0")/lib.sh"
unset STOQ_LAN
left=stoq-l-$$ right=stoq-r-$$
ip netns add "$left" 2>/dev/null && ip -n "$left" link add eth0 type veth peer name eth1 2>/dev/null ||
    { ip netns del "$left" 2>/dev/null || true; echo "needs the right to make network namespaces and wires"; exit 77; }
wire() {
    ip netns del "$left" 2>/dev/null || true
    ip netns del "$right" 2>/dev/null || true
    ip netns add "$left" && ip netns add "$right"
    ip -n "$left" link add eth0 type veth peer name eth0 netns "$right"
    if [ "$1" = v4 ]; then
        ip netns exec "$left" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
        ip netns exec "$right" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
        ip -n "$left" addr add 10.9.8.1/24 dev eth0
        ip -n "$right" addr add 10.9.8.2/24 dev eth0
    fi
    [ "$1" = bare ] || { ip -n "$left" link set eth0 up && ip -n "$right" link set eth0 up; }
}
unwire() {
    local code=$?
    set +e
    (exit $code)
    at_end
    ip netns del "$left" 2>/dev/null || true
    ip netns del "$right" 2>/dev/null || true
    return $code
}
trap unwire EXIT

begin() {
    local side=$1 name=$2
    shift 2
    rm -f "$TMP/$name.ready"
    ip netns exec "$side" "$STOQ" --home "$(home "$name")" daemon --ready-file "$TMP/$name.ready" "$@" \
        >>"$TMP/$name.log" 2>&1 &
    daemon[$name]=$!
    wait_for served "$name" || fail "daemon $name did not say that it serves"
    [ -s "$TMP/$name.ready" ] || fail "daemon $name ended"
    peer[$name]=$(jq -r .peer "$TMP/$name.ready")
}
declare -A peer=()
sees() { on "$1" peers --json | jq -e --arg p "${peer[$2]}" '.neighbours | map(.peer) | index($p) != null' >/dev/null; }
# shellcheck disable=SC2317
sees_not() { ! sees "$@"; }

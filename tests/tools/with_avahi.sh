#!/bin/bash
# usage: with_avahi.sh FOLDER COMMAND...   run COMMAND beside an avahi daemon of its own, with a system bus of its own, both in FOLDER and
#                                          a /run of their own; in the network namespace it is called in. As root.
set -euo pipefail
folder=$1
shift
if [ -z "${WITH_AVAHI_INSIDE:-}" ]; then
    WITH_AVAHI_INSIDE=1 exec unshare -m "$0" "$folder" "$@"
fi
mount --make-rprivate /
mount -t tmpfs none /run
cat >"$folder/bus.conf" <<CONF
<busconfig>
  <type>system</type>
  <listen>unix:path=$folder/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow user="*"/><allow own="*"/><allow send_type="*"/><allow receive_type="*"/></policy>
</busconfig>
CONF
printf '[server]\nuse-ipv4=yes\nuse-ipv6=yes\n[publish]\n' >"$folder/avahi.conf"
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$folder/bus
dbus-daemon --config-file="$folder/bus.conf" --nofork --nopidfile >"$folder/bus.log" 2>&1 &
bus=$!
avahi=
trap 'kill $avahi $bus 2>/dev/null || true' EXIT
for _ in $(seq 1200); do [ -S "$folder/bus" ] && break || sleep 0.05; done
mkdir -p /run/avahi-daemon
avahi-daemon -f "$folder/avahi.conf" --no-drop-root --no-chroot --no-rlimits --no-proc-title >"$folder/avahi.log" 2>&1 &
avahi=$!
for _ in $(seq 1200); do grep -q 'Server startup complete' "$folder/avahi.log" && break || sleep 0.05; done
"$@"

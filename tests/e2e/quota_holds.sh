#!/bin/bash
# A store with a quota never takes a byte more: what nothing keeps goes, the oldest first; when all of it is kept,
# new content is refused with the reason and everything here is served on. With and without a daemon.
. "$(dirname "$0")/lib.sh"
"$STOQ" help gc >/dev/null 2>&1 || exit 77 # built without a node

quota=$((8 << 20))
bytes_of() { find "$(home "$1")/store/segments" -name '*.seg' -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'; }
within() { [ "$(bytes_of "$1")" -le $quota ] || fail "$1: $(bytes_of "$1") bytes are over the quota"; }
add() { # NAME NUMBER: fetches a package of 1.2 MB; prints its id
    local id
    head -c 1200000 /dev/urandom >"part.$2"
    id=$(on S publish "part.$2" --name part --version "$2" -q)
    on "$1" get "$id" --from "$(contact S)" -q >/dev/null && echo "$id"
}

fill() { # NAME
    local name=$1 first own last id i
    first=$(add "$name" 1)
    on "$name" pin "$first" -q
    echo own >own
    own=$(on "$name" publish own --name own --version 1 -q)
    for i in 2 3 4 5 6 7 8 9; do
        last=$(add "$name" $i)
        within "$name"
    done
    on "$name" verify "$first" -q || fail "$name: what is pinned is gone"
    on "$name" verify "$last" -q || fail "$name: the youngest is gone"
    on "$name" verify "$own" -q || fail "$name: what was published here is gone, and nobody else has it"
    [ "$(on "$name" ls --json | jq '.packages | length')" -lt 10 ] || fail "$name: nothing was given up"
    on "$name" store stats --json >out
    jq -e --argjson q $quota '.quota_bytes == $q and .quota_used_bytes <= $q and .quota_high_bytes > .quota_low_bytes' \
        out >/dev/null || fail "$name: $(cat out)"

    # All of it is kept, and the disk's share is used up: refused, and served on.
    for i in 11 12 13 14 15 16; do
        for id in $(on "$name" ls --json | jq -r '.packages[].id'); do on "$name" pin "$id" -q; done
        id=$(add "$name" $i 2>err) || break
    done
    [ $i -lt 16 ] || fail "$name: it was never full"
    exits 1 on "$name" publish part.$i --name part --version $i --json
    jq -e '.error.code == "QuotaReached"' out >/dev/null || fail "$name: $(cat out)"
    exits 1 on "$name" store put part.$i
    says 'raise store.quota'
    within "$name"
    for id in $(on "$name" ls --json | jq -r '.packages[].id'); do
        on "$name" verify "$id" -q || fail "$name: $id is not served on"
    done
    on "$name" unpin "$last" -q
    id=$(add "$name" 20) || fail "$name: there is no room after an unpin"
    exits 3 on "$name" info "$last"
    on "$name" verify "$id" -q
    within "$name"
}

start S
for name in A B; do
    mkdir $name
    printf '[store]\nquota = 8MiB\nquota_high = 90%%\nquota_low = 60%%\n' >$name/stoq.conf
done
echo 'gc_rate = 1KiB' >>B/stoq.conf # an hour for a package: what needs the room does not wait for the background
fill A
start B
fill B
on B status --json >out
jq -e --argjson q $quota '.room.quota_bytes == $q and .room.used_bytes <= $q and .room.packages_given_up > 0' out >/dev/null ||
    fail "status: $(jq -c .room out)"
for id in $(on B pins --json | jq -r '.pins[].id'); do on B unpin "$id" -q; done
stop B
sed -i '/gc_rate/d' B/stoq.conf
start B
add B 30 >/dev/null
is_low() { on B status --json | jq -e '.room.used_bytes <= .room.high_bytes' >/dev/null; }
wait_for is_low || fail "the background leaves it over the high watermark: $(on B status --json | jq -c .room)"
stop B
printf '[store]\nquota = 1\n' >A/stoq.conf
exits 1 on A ls
says 'store.quota'

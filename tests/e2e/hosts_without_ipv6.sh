#!/bin/bash
# Where the kernel has no IPv6 a daemon serves and fetches by IPv4, and doctor finds nothing wrong with that; an address of
# IPv6 is refused with what to do.
. "$(dirname "$0")/lib.sh"
without=$STOQ_SRC/tests/tools/without_ipv6.py

"$without" true || exit $?
for name in A B; do
    on "$name" init -q >/dev/null
    printf 'listen = [::]:0\n[discovery]\nlan = off\n' >"$name/stoq.conf"
    "$without" "$STOQ" --home "$(home "$name")" daemon --ready-file "$name.ready" >"$name.log" 2>&1 &
    daemon[$name]=$!
    wait_for served "$name"
    jq -e '.listen | length == 1 and (.[0] | startswith("0.0.0.0:"))' "$name.ready" >/dev/null || fail "listens: $(cat "$name.ready")"
done
there=$(jq -r '.peer + "@127.0.0.1:" + (.listen[0] | split(":")[1])' A.ready)
on B ping "$there" -q
on B ping --datagram "$there" -q
head -c 300000 /dev/urandom >in
id=$(on A publish in --name without --version 1 -q)
on B get "$id" --from "$there" -o out.d -q
cmp in out.d/in || fail "not what was published"
stop A
stop B

"$without" "$STOQ" --home A doctor --json >doctor || fail "problems: $(cat doctor)"
printf 'listen = [::1]:0\n' >A/stoq.conf
exits 1 "$without" "$STOQ" --home A doctor
says 'problem: ports: [::1]:0'
says 'name an IPv4 address'
exits 1 "$without" "$STOQ" --home A daemon
says 'cannot listen on [::1]:0: Address family not supported'

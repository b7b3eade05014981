#!/bin/bash
# What is pinned, named as a root or leased cannot be removed, with and without a daemon; a lease ends by
# itself, and all of it is known again after a kill and after the index was made anew.
. "$(dirname "$0")/lib.sh"
"$STOQ" help pin >/dev/null 2>&1 || exit 77 # built without a node

head -c 300000 /dev/urandom >one
head -c 200000 /dev/urandom >two

keep_and_let_go() { # NAME
    local name=$1 id address
    id=$(on "$name" publish one --name one --version 1 -q)
    address=$(on "$name" store put two -q)
    on "$name" pin "$id" --json >out
    jq -e --arg id "$id" '.id == $id and .existed == false and .since > 0' out >/dev/null || fail "pin: $(cat out)"
    on "$name" pin "$id" --json >out
    jq -e '.existed' out >/dev/null || fail "a second pin: $(cat out)"
    on "$name" pin "$address" -q
    [ "$(on "$name" pins --json | jq -r '[.pins[] | .id // .address] | sort | join(" ")')" = \
        "$(printf '%s\n' "$address" "$id" | sort | paste -sd ' ')" ] || fail "$name: pins"
    exits 1 on "$name" rm "$id" --json
    jq -e '.error.code == "ContentKept"' out >/dev/null || fail "rm of a pinned package: $(cat out)"
    exits 1 on "$name" store rm "$address"
    says 'is pinned'
    exits 3 on "$name" pin stoq1qquqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlek395
    exits 2 on "$name" pin nonsense
    on "$name" unpin "$address" -q
    exits 3 on "$name" unpin "$address"
    on "$name" unpin "$id" -q

    on "$name" root set Debian/stable "$id" -q
    on "$name" root set other "$address" -q
    exits 1 on "$name" rm "$id"
    says "is the root Debian/stable"
    on "$name" root set Debian/stable "$address" -q # it means something else now
    [ "$(on "$name" root ls --json | jq -r --arg a "$address" '[.roots[] | select(.address == $a) | .name] | join(" ")')" = \
        'Debian/stable other' ] || fail "$name: roots: $(on "$name" root ls)"
    exits 2 on "$name" root set .hidden "$id"
    exits 2 on "$name" root set
    on "$name" root rm other -q
    exits 3 on "$name" root rm other
    on "$name" root rm Debian/stable -q

    on "$name" lease "$id" --for 2h --json >out
    jq -e '.seconds_left > 7100 and .expires_at - .since == 7200' out >/dev/null || fail "lease: $(cat out)"
    on "$name" lease "$id" --for 5m --json >out # never shorter
    jq -e '.existed and .seconds_left > 7100' out >/dev/null || fail "lease again: $(cat out)"
    exits 1 on "$name" rm "$id"
    says 'is leased'
    exits 2 on "$name" lease "$id" --for 2x
    exits 2 on "$name" lease "$id"
    on "$name" lease "$id" --end -q
    exits 3 on "$name" lease "$id" --end
    on "$name" lease "$address" --for 1s -q
    wait_for on "$name" store rm "$address" -q 2>/dev/null || fail "$name: a lease did not end"
    on "$name" rm "$id" -q
    [ "$(on "$name" pins)$(on "$name" root ls)" = '' ] || fail "$name: something is left"
}

keep_and_let_go A
start B
keep_and_let_go B
id=$(on B publish one --name one --version 1 -q)
on B pin "$id" -q
on B root set a "$id" -q
on B lease "$id" --for 1d -q
before=$(on B pins --json && on B root ls --json && on B leases --json | jq -c '[.leases[] | [.id, .expires_at]]')
stop B KILL
on B store rebuild -q
after=$(on B pins --json && on B root ls --json && on B leases --json | jq -c '[.leases[] | [.id, .expires_at]]')
[ "$before" = "$after" ] || fail "after a kill and a rebuild: $after instead of $before"

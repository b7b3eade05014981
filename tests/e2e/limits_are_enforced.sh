#!/bin/bash
# What one limit each refuses: connections and memory to a dialler, who is told; open files beyond what the system
# allows at the start; a value that cannot be.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

limited() { # LINE...
    rm -rf A && on A init -q >/dev/null
    printf '%s\n' '[limits]' "$@" >A/stoq.conf
    start A
}
limited 'connections = 1'
start B
on B ping "$(contact A)" -q >/dev/null || fail "the first connection"
exits 5 on C ping "$(contact A)" --json
jq -e '.error.code == "PeerUnreachable" and (.error.message | contains("takes no more connections"))' out >/dev/null || fail "$(cat out)"
on A status --json | jq -e '.limits.connections == {"used": 1, "max": 1}' >/dev/null || fail "the count"
on B ping "$(contact A)" --json | jq -e .connected_before >/dev/null || fail "the one that was let in was cut"
stop A
stop B

# One prefix cannot take all places: its third is refused with the reason, which the log has too.
limited 'connections = 100' 'connections_prefix = 2'
for home in B C D; do start "$home"; done
for home in B C; do on "$home" ping "$(contact A)" -q >/dev/null || fail "$home"; done
exits 5 on D ping "$(contact A)" --json
jq -e '.error.code == "PeerUnreachable" and (.error.message | contains("too many connections from its prefix"))' out >/dev/null ||
    fail "$(cat out)"
on A status --json >status
jq -e '.limits.connections_prefix == {"used": 2, "max": 2} and .limits.connections == {"used": 2, "max": 100} and
    .rejected.crowded >= 1' status >/dev/null || fail "$(jq '.limits, .rejected' status)"
grep -q 'refused .*: too many connections from its prefix' A.log || fail "the log does not say so"
on B ping "$(contact A)" --json | jq -e .connected_before >/dev/null || fail "one that was let in was cut"
stop B
wait_for on D ping "$(contact A)" -q || fail "a place that is free again"
for home in A C D; do stop "$home"; done

# The smallest memory and one stream at a time serve all the same.
limited 'memory = 16MiB' 'memory_peer = 4MiB' 'streams = 1'
head -c 3000000 /dev/urandom >in
id=$(on A publish in --name in --version 1 -q)
on B get "$id" --from "$(contact A)" -q >/dev/null || fail "a small memory does not serve"
on A status --json | jq -e '.limits | [.memory.max, .memory_peer.max, .streams.max] == [16777216, 4194304, 1]' >/dev/null ||
    fail "limits"
stop A

rm -rf A && on A init -q >/dev/null
printf 'limits.open_files = 1000000\n' >A/stoq.conf
(
    ulimit -n 200
    exits 1 on A daemon --listen '[::1]:0'
    says 'the system allows this process 200'
)

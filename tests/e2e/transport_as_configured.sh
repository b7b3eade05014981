#!/bin/bash
# The transport's keys do what they say: static peers and bootstrap, a client that serves nobody, chunks that
# travel packed or not, and `status` shows mode, group, congestion control, compression, round trip and loss
# of every connection, and every limit beside its use.
. "$(dirname "$0")/lib.sh"
"$STOQ" help publish >/dev/null 2>&1 || exit 77 # built without a node

seq 1 400000 >in # some 2.7 MB that pack well
start A
id=$(on A publish in --name numbers --version 1 -q)
source=$(contact A)

# B knows A by its configuration alone.
on B init -q >/dev/null
cat >B/stoq.conf <<END
peer = $source host=a1 site=lab rack=3 region=eu
bootstrap = $source
[limits]
handshakes = 11
streams = 12
memory = 64MiB
memory_peer = 8MiB
open_files = 200
END
start B
wait_for grep -q 'connected to' B.log || fail "the bootstrap peer was not dialled: $(cat B.log)"
met() { on B status --json | jq -e '.net.peers_known == 1' >/dev/null; }
wait_for met || fail "the bootstrap peer's Hello is not remembered: $(on B status --json | jq -c .net)"
# What it said in its Hello is remembered: a datagram needs no connection to learn the key.
on B ping "$source" --datagram --json | jq -e '.key_learned == false' >/dev/null || fail "the bootstrap peer was not met"
on B get "$id" --json >out 2>err || fail "no static source: $(cat out)"
wire=$(jq .bytes_wire out)
[ "$wire" -lt 1500000 ] || fail "packed chunks took $wire bytes"
on B status --json >status
jq -e '.mode == "p2p" and .encryption == "kyber1024" and .compression == "zstd" and .congestion == "auto"' status >/dev/null ||
    fail "status: $(cat status)"
jq -e '.connections | length == 1 and (.[0] | .connected and .mode == "kyber1024" and .group == "SecP384r1MLKEM1024" and
    .congestion == "cubic" and .compression == "zstd" and .rtt_ms > 0 and .min_rtt_ms > 0 and .loss >= 0 and .packets_sent > 0)' \
    status >/dev/null || fail "connections: $(jq .connections status)"
jq -e '.limits | .handshakes.max == 11 and .streams.max == 12 and .memory.max == 67108864 and .memory_peer.max == 8388608 and
    .open_files.max == 200 and .connections == {"used": 1, "max": 4096} and .memory.used > 0 and .memory_peer.used > 0 and
    .open_files.used > 5' status >/dev/null || fail "limits: $(jq .limits status)"
jq -e --arg s "$source" '.static_peers == [{"peer": ($s / "@")[0], "addr": ($s / "@")[1], "host": "a1", "site": "lab", "rack": "3",
    "region": "eu"}] and (.bootstrap | length == 1)' status >/dev/null || fail "peers: $(jq .static_peers,.bootstrap status)"
on B status >out || fail "status for people"
says 'memory_peer'
says ' of 8388608'
# What it learned of A outlives it.
stop B
[ "$(stat -c %a B/peers)" = 600 ] || fail "the file of known peers"
start B
on B status --json | jq -e '.net.peers_known == 1' >/dev/null || fail "A was forgotten"
stop B

# Unpacked, in both directions.
on R init -q >/dev/null
printf '[transport]\ncompression = none\n' >R/stoq.conf
start R
on R get "$id" --from "$source" --json >out 2>err || fail "$(cat out)"
[ "$(jq .bytes_wire out)" -gt 2600000 ] || fail "it came packed: $(jq .bytes_wire out)"
on R status --json | jq -e '.compression == "none" and .connections[0].compression == "none"' >/dev/null || fail "status of R"
on S get "$id" --from "$(contact R)" --json >out 2>err || fail "$(cat out)"
[ "$(jq .bytes_wire out)" -gt 2600000 ] || fail "R sent it packed: $(jq .bytes_wire out)"
stop R

# A client fetches, listens on nothing, and refuses those it has dialled.
on C init -q >/dev/null
printf '[transport]\nmode = client\n' >C/stoq.conf
start C
jq -e '.listen == []' C.ready >/dev/null || fail "a client listens: $(cat C.ready)"
on C get "$id" --from "$source" -q >/dev/null || fail "a client cannot fetch"
echo mine >mine
own=$(on C publish mine --name mine --version 1 -q)
on C status --json | jq -e '.mode == "client" and .listen == []' >/dev/null || fail "status of C"
exits 5 on A get "$own" --from "$(jq -r .peer C.ready)@[::1]:9"
says 'a client: it serves nobody'
on C status --json | jq -e '.net.requests_refused >= 1 and .net.bytes_served == 0' >/dev/null || fail "not counted"
stop C

# A line that cannot be is named, with file, line and key.
printf '\n[transport]\nmode = server\n' >C/stoq.conf
exits 1 on C daemon --listen '[::1]:0'
says "stoq.conf:3: transport.mode: 'server' is not p2p or client"

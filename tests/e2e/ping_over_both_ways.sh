#!/bin/bash
# `stoq ping` over a connection and in a datagram: the datagram's key is learned once, by a signed Hello, and
# remembered; the datagram makes no connection. A wrong peer, nobody there, and a client that answers nobody
# are told apart.
. "$(dirname "$0")/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

start A
a=$(contact A)
start B

# The first datagram needs a Hello, the second nothing: the count of connections says so.
on B ping "$a" --datagram --json >out || fail "$(cat out)"
jq -e '.over == "datagram" and .key_learned and .rtt_ms > 0 and .connect_ms > 0' out >/dev/null || fail "$(cat out)"
before=$(on A status --json | jq .net.opened_inbound)
on B ping "$a" --datagram --json >out || fail "$(cat out)"
jq -e '.key_learned == false and .connect_ms == null and .group == null and .rtt_ms > 0' out >/dev/null || fail "$(cat out)"
[ "$(on A status --json | jq .net.opened_inbound)" = "$before" ] || fail "a datagram made a connection"
on A status --json | jq -e '.net.rpc_answered >= 2' >/dev/null || fail "not counted"

# Where there is a connection it is asked over that, and the address told is that one's, not another that was named.
on B ping "$a" -q >/dev/null || fail "a connection"
on B ping "${a%@*}@[::1]:9" --json >out || fail "$(cat out)"
jq -e --arg at "${a#*@}" '.connected_before and .addr == $at' out >/dev/null || fail "not where it answered: $(cat out)"

# Remembered over a restart, also by a command without a daemon.
stop B
on B ping "$a" --datagram --json | jq -e '.key_learned == false' >/dev/null || fail "the key was forgotten"
on B ping "$a" --json >out || fail "$(cat out)"
jq -e '.over == "connection" and .connected_before == false and .group == "SecP384r1MLKEM1024" and .rtt_ms > 0' out >/dev/null ||
    fail "$(cat out)"
on B ping "$a" >out
says ' ms  connection  SecP384r1MLKEM1024  connected in '

# Another key at that address; nobody; no address.
on X init -q >/dev/null
wrong=$(on X key --json | jq -r .peer)@${a#*@}
exits 5 on B ping "$wrong" --json
jq -e '.error.code == "KeyMismatch"' out >/dev/null || fail "$(cat out)"
says "${a#*@}: another key answered: expected ${wrong%@*}, got ${a%@*}"
exits 5 on B ping "$wrong" --datagram --json
jq -e '.error.code == "KeyMismatch"' out >/dev/null || fail "$(cat out)"
exits 5 on B ping "${a%@*}@[::1]:9" --datagram --timeout 1
says '[::1]:9: no reply'
exits 5 on B ping "${a%@*}@[::1]:9" --timeout 1
says '[::1]:9: no answer'
id=$(echo x | on X publish - --name n --version 1 -q)
exits 5 on C get "$id" --from "${a%@*}@[::1]:9" --timeout 1
says 'not complete within 1.0 s: nobody answered at [::1]:9; what is verified stays'
exits 2 on B ping here
exits 2 on B ping

# Switched off, on either side.
on E init -q >/dev/null
printf '[transport]\ndatagrams = off\n' >E/stoq.conf
start E
exits 3 on C ping "$(contact E)" --datagram
says 'takes no datagrams'
exits 3 on E ping "$a" --datagram
says 'transport.datagrams is off here'
on E ping "$a" -q >/dev/null || fail "not even a connection"
stop E

# A fresh home learns the key.
on C ping "$a" --datagram --json | jq -e .key_learned >/dev/null || fail "a fresh home"
stop A

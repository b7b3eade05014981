#!/bin/bash
# Who is asked nothing asks the DHT all the same: a daemon without datagrams over connections, whose packages are
# found by others too; a daemon that serves nobody; a command without a daemon, by its bootstrap peer.
. "$(dirname "$0")/lib.sh"

begin() { # begin NAME [CONFIG]: a daemon of a network of ours
    on "$1" init >/dev/null 2>&1
    printf '%s\nlisten = [::1]:0\n[discovery]\nlan = off\nexchange = off\n[dht]\nbits = 4\n%s\n' "${3:-}" "${2:-}" >"$(home "$1")/stoq.conf"
    start "$1"
}
status() { on "$1" dht status --json | jq -r "$2"; }
has_contacts() { [ "$(status "$1" .contacts)" -ge "$2" ]; }

mkdir one two
head -c 40000 /dev/urandom >one/file
head -c 40000 /dev/urandom >two/file
begin A
begin B
on B join "$(contact A)" >/dev/null
wait_for has_contacts A 1 || fail "A does not know B"
wait_for has_contacts B 1 || fail "B does not know A"
first=$(on A publish one --name one --version 1 --quiet)
took() { # FROM ID WANTED: what of it was announced; who was too busy to answer in time is told the next time
    on "$1" announce "$2" --json >announced.json && jq -e --argjson n "$3" '.wanted == $n and .got == $n' announced.json >/dev/null
}
wait_for took A "$first" 2 || fail "A and B hold it: $(cat announced.json)"

# Connections alone. It looks, fetches, announces; it is no node that others ask.
begin C $'[transport]\ndatagrams = off'
on C join "$(contact B)" >/dev/null
wait_for has_contacts C 2 || fail "C knows $(status C .)"
[ "$(status C '[.client, .id] | tostring')" = '[true,null]' ] || fail "C is a client: $(status C .)"
# shellcheck disable=SC2317
finds_A() { on C find "$first" --json | jq -e --arg p "$(jq -r .peer A.ready)" '.providers[0].peer == $p' >/dev/null; }
wait_for finds_A || fail "C does not find A"
wait_for on C get "$first" -o got1 -q || fail "C gets nothing" # each time the DHT has three seconds
same_tree one got1
second=$(on C publish two --name two --version 1 --quiet)
wait_for took C "$second" 2 || fail "A and B hold it: $(cat announced.json)"
[ "$(status A .contacts)" = 1 ] || fail "A takes C for a node"

# A daemon that serves nobody.
begin D $'[transport]\nmode = client'
on D join "$(contact A)" >/dev/null
wait_for has_contacts D 2 || fail "D knows $(status D .)"
wait_for on D get "$second" -o got2 -q || fail "D gets nothing"
same_tree two got2

# No daemon.
on E init >/dev/null 2>&1
printf 'bootstrap = %s\n[discovery]\nlan = off\nexchange = off\n[dht]\nbits = 4\n' "$(contact B)" >"$(home E)/stoq.conf"
wait_for on E get "$second" -o got3 -q || fail "E gets nothing"
same_tree two got3
for name in A B C D; do
    stop $name
done

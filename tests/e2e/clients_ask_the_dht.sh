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
wait_for 30 has_contacts A 1 || fail "A does not know B"
wait_for 30 has_contacts B 1 || fail "B does not know A"
first=$(on A publish one --name one --version 1 --quiet)
on A announce "$first" >/dev/null

# Connections alone. It looks, fetches, announces; it is no node that others ask.
begin C $'[transport]\ndatagrams = off'
on C join "$(contact B)" >/dev/null
wait_for 30 has_contacts C 2 || fail "C knows $(status C .)"
[ "$(status C '[.client, .id] | tostring')" = '[true,null]' ] || fail "C is a client: $(status C .)"
on C find "$first" --json | jq -e --arg p "$(jq -r .peer A.ready)" '.providers[0].peer == $p' >/dev/null ||
    fail "C does not find A"
on C get "$first" -o got1 >/dev/null
same_tree one got1
second=$(on C publish two --name two --version 1 --quiet)
on C announce "$second" --json >announced.json
jq -e '.wanted == 2 and .got == 2' announced.json >/dev/null || fail "A and B hold it: $(cat announced.json)"
[ "$(status A .contacts)" = 1 ] || fail "A takes C for a node"

# A daemon that serves nobody.
begin D $'[transport]\nmode = client'
on D join "$(contact A)" >/dev/null
wait_for 30 has_contacts D 2 || fail "D knows $(status D .)"
on D get "$second" -o got2 >/dev/null
same_tree two got2

# No daemon.
on E init >/dev/null 2>&1
printf 'bootstrap = %s\n[discovery]\nlan = off\nexchange = off\n[dht]\nbits = 4\n' "$(contact B)" >"$(home E)/stoq.conf"
on E get "$second" -o got3 >/dev/null
same_tree two got3
for name in A B C D; do
    stop $name
done

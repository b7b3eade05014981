#!/bin/bash
# What a daemon publishes or has fetched is announced to the peers that are connected, and to those that come
# soon after: without LAN and DHT they know who has it. Taken back with the package; off with the exchange.
. "$(dirname "$0")/lib.sh"
begin() { # begin NAME [LINE]...
    on "$1" init -q >/dev/null
    printf '%s\n' "${@:2}" '[discovery]' 'lan = off' 'dht = off' >"$(home "$1")/stoq.conf"
    start "$1"
}
kept() { on "$1" status --json | jq .announcements.kept; }
keeps() { [ "$(kept "$1")" = "$2" ]; }
met() { [ "$(on "$1" status --json | jq .exchange.met)" = "$2" ]; }
publish() { # publish NAME FILE
    mkdir -p "in.$2" && echo "$2" >"in.$2/file"
    on "$1" publish "in.$2" --name "$2" --version 1 -q
}

begin A
begin B "bootstrap = $(contact A)"
begin D 'discovery.exchange = off' "bootstrap = $(contact A)"
wait_for met B 1 || fail "B has not met A"
keeps B 0 || fail "B was told of something that is not there"

one=$(publish A one)
wait_for keeps B 1 || fail "B keeps $(kept B) announcements: $(on A status --json | jq -c .announcements)"
on B find "$one" >found
grep -qF "$(contact A)  announced on its connection" found || fail "find says: $(cat found)"
[ "$(on B find "$one" --json | jq -r '.announced[0].peer')" = "$(jq -r .peer A.ready)" ] || fail "find --json names somebody else"
on B get "$one" -o got -q
same_tree in.one got
# B has it now, and says so to A; who comes later is told as well.
wait_for keeps A 1 || fail "A was not told that B has it"
begin C "bootstrap = $(contact A)"
wait_for eval '[ "$(kept C)" -ge 1 ]' || fail "C, who came later, was told nothing"

# It is gone: so is the announcement, and nobody is named any more.
on A rm "$one" -q >/dev/null
wait_for keeps B 0 || fail "B still keeps it"
exits 3 on B find "$one"

# With the exchange off nothing is told and nothing taken.
[ "$(on D status --json | jq .announcements.on)" = false ] || fail "it is not off"
publish D two >/dev/null
three=$(publish A three)
wait_for eval 'on B find "$three" >/dev/null 2>&1' || fail "B was not told of the third"
keeps D 0 || fail "D took an announcement"
[ "$(on D status --json | jq .announcements.sent)" = 0 ] || fail "D announced something"

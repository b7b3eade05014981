#!/bin/bash
# Networks of one, two and three daemons that know no source: what one announces every other finds and fetches,
# the number of holders told is the true one, rm takes a record back, and a restart remembers who is there.
. "$(dirname "$0")/lib.sh"

begin() { # a daemon of a network of ours
    on "$1" init >/dev/null 2>&1
    printf 'listen = [::1]:0\n[discovery]\nlan = off\nexchange = off\n[dht]\nbits = 4\n%s\n' "${2:-}" >"$(home "$1")/stoq.conf"
    start "$1"
}
status() { on "$1" dht status "${@:3}" --json | jq -r "$2"; }
has_contacts() { [ "$(status "$1" .contacts)" = "$2" ]; }
holders() { # of package $1, in the daemons that run
    local n=0 name
    for name in "${!daemon[@]}"; do
        n=$((n + $(status "$name" .held "$1")))
    done
    echo "$n"
}
providers() { on "$1" find "$2" --json 2>/dev/null | jq -r '.providers[].peer' | sort | tr '\n' ' '; }
are_providers() { [ "$(providers "$1" "$2")" = "$3" ]; }
# On a machine that has no time a peer may be silent for longer than it is waited for: it is told the next time.
# shellcheck disable=SC2317
tells() { # FROM ID WANTED: and as many took it
    on "$1" announce "$2" --json >a.json && [ "$(jq -c '[.wanted, .got]' a.json)" = "[$3,$3]" ]
}
peer_of() { jq -r .peer "$TMP/$1.ready"; }

mkdir one two
head -c 100000 /dev/urandom >one/file
head -c 50000 /dev/urandom >two/file

# One.
begin A
id=$(on A publish one --name one --version 1 --quiet)
tells A "$id" 1 || fail "alone: $(cat a.json)"
[ "$(holders "$id")" = 1 ] || fail "alone it holds its own record"
[ "$(providers A "$id")" = "$(peer_of A) " ] || fail "it finds itself"

# Two; what is published is announced by itself.
begin B "announce = on"
on B join "$(contact A)" >/dev/null
wait_for has_contacts A 1 || fail "A does not know B: $(on A dht status)"
wait_for has_contacts B 1 || fail "B does not know A"
second=$(on B publish two --name two --version 1 --quiet)
wait_for are_providers A "$second" "$(peer_of B) " || fail "A does not find what B published"
on B announce "$id" >out 2>err && fail "B announced what it does not have"
grep -q 'complete here' err || fail "why not: $(cat err)"
wait_for tells A "$id" 2 || fail "two: $(cat a.json)"
[ "$(holders "$id")" = 2 ] || fail "two hold it, not $(holders "$id")"

# Three, the third by the second.
begin C
on C join "$(contact B)" >/dev/null
for name in A B C; do
    wait_for has_contacts $name 2 || fail "$name knows $(status $name .contacts) others"
done
wait_for tells A "$id" 3 || fail "three: $(cat a.json)"
[ "$(holders "$id")" = 3 ] || fail "three hold it, not $(holders "$id")"
wait_for eval 'on C get "$id" -o got --json >get.json' || fail "C: $(cat get.json)" # the DHT has three seconds each time
same_tree one got
[ "$(jq -r '.sources[0].peer' get.json)" = "$(peer_of A)" ] || fail "fetched from $(jq -c .sources get.json)"
both=$(printf '%s\n' "$(peer_of A)" "$(peer_of C)" | sort | tr '\n' ' ')
wait_for are_providers B "$id" "$both" || fail "who fetched it provides it: $(providers B "$id")"
traced() { on B find "$id" --trace >trace && grep -q '^hop 1 path [01]  ok' trace; }
wait_for traced || fail "the trace shows no hop: $(cat trace)"
on A dht status "$id" >out 2>err
grep -q "^package .* announced, [0-9]* of [0-9]* hold it" out || fail "the package's line: $(cat out)"
exits 2 on B dht lookup 12
says 'neither a key, 64 hexadecimal digits, nor a package id'
wait_for eval 'on B dht lookup "$id" --json | jq -e ".nearest | length == 2" >/dev/null' || fail "the nearest are two"
on B dht table | grep "$(peer_of A)" >/dev/null || fail "the table lacks A"

# Taken back, and nobody left.
on A rm "$id" >/dev/null
wait_for are_providers B "$id" "$(peer_of C) " || fail "still: $(providers B "$id")"
missing=$(on A publish two --name other --version 1 --quiet)
on A rm "$missing" >/dev/null
exits 3 on B find "$missing"
says 'nobody in the DHT'

# Killed and started again without a word of whom to ask.
stop B KILL
stop A
[ -s "$(home A)/dht" ] || fail "A remembers nothing"
start A
wait_for has_contacts A 1 || fail "A knows $(status A .contacts) after a restart: C alone is there"

# Switched off.
stop A
sed -i 's/^lan = off/lan = off\ndht = off/' "$(home A)/stoq.conf"
start A
exits 3 on A join "$(contact C)"
says 'takes no part'
stop A
stop C

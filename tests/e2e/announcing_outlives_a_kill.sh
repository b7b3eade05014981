#!/bin/bash
# A daemon says how far it is with announcing what it has; killed before anybody else holds a record, it goes on
# when it starts again, with those it remembers, and says when it is done.
. "$(dirname "$0")/lib.sh"

COUNT=20
KEYS=$((3 * COUNT)) # each package, and the two of its name
begin() {
    on "$1" init >/dev/null 2>&1
    printf 'listen = [::1]:0\n[discovery]\nlan = off\nexchange = off\n[dht]\nbits = 4\n%s\n' "${2:-}" >"$(home "$1")/stoq.conf"
    start "$1"
}
status() { on "$1" dht status --json | jq -r "$2"; }
says_of() { [ "$(status "$1" "$2")" = "$3" ]; }
remembers_somebody() { [ -s "$(home A)/dht" ]; }

begin A "announce = on"
begin B
on A join "$(contact B)" >/dev/null
wait_for says_of A .contacts 1 || fail "A does not know B"
wait_for says_of A .announced_percent 100 || fail "with nothing to announce all is announced"
stop A # it remembers B
remembers_somebody || fail "A remembers nobody"
start A
wait_for says_of A .contacts 1 || fail "A has forgotten B"

# Who should hold the records has no time before A is killed.
kill -STOP "${daemon[B]}"
for i in $(seq $COUNT); do
    echo "$i" >"file$i"
    on A publish "file$i" --name "p$i" --version 1 --quiet >>ids
done
wait_for says_of A .announced "$KEYS" || fail "A announces $(status A .announced)"
stop A KILL
kill -CONT "${daemon[B]}"

start A
wait_for says_of A .announced_percent 100 || fail "after a kill: $(on A dht status)"
wait_for says_of B .records "$KEYS" || fail "B holds $(status B .records) of $KEYS: $(on A dht status)"
wait_for says_of A .announced_percent 100 || fail "all are held: $(on A dht status)"
says_of A .announced_held "$KEYS" || fail "of $KEYS are held: $(status A .announced_held)"
on A dht status | grep ': 100 % done' >/dev/null || fail "$(on A dht status)"
lookups=$(status A .lookups)
[ "$lookups" -lt "$COUNT" ] || fail "$lookups lookups for $COUNT packages"
# shellcheck disable=SC2317
finds() { [ "$(on B find "$(tail -1 ids)" --json | jq -r '.providers[0].peer')" = "$(jq -r .peer "$TMP/A.ready")" ]; }
wait_for finds || fail "B does not find the last one"
stop A
stop B

#!/bin/bash
# A publisher's key, a name and a version are enough: from a peer, from a neighbour of neighbours by the DHT, the
# newest release when no version is named; nobody can take a home back to an older one, and rm takes the name back.
. "$(dirname "$0")/lib.sh"

mkdir one two
head -c 30000 /dev/urandom >one/file
head -c 30000 /dev/urandom >two/file
begin() { # a daemon that knows nobody, in a network of ours
    on "$1" init >/dev/null 2>&1
    printf 'listen = [::1]:0\n[discovery]\nlan = off\nexchange = off\n[dht]\nbits = 4\n' >"$(home "$1")/stoq.conf"
    start "$1"
}
announced() { [ "$(on "$1" dht status --json | jq .announced)" = "$2" ]; }
held() { [ "$(on "$1" dht status --json | jq .announced_held)" = "$2" ]; }

# One release; a home without a daemon asks the publisher itself.
begin A
first=$(on A publish one --name tool --version 1 --json)
key=$(jq -r .signed_by <<<"$first")
on C get "$key/tool@1" --from "$(contact A)" -o got1 --json >get.json
same_tree one got1
[ "$(jq -r .id get.json)" = "$(jq -r .id <<<"$first")" ] || fail "another package: $(cat get.json)"
exits 3 on C get "$key/tool@2" --from "$(contact A)"
says 'release pointer'
exits 3 on C get "$key/other" --from "$(contact A)"
exits 2 on C get "$key/Tool" --from "$(contact A)"
says 'the name'
exits 2 on C get "${key%?????}qqqqq/tool" --from "$(contact A)"
says 'KEY/NAME'

# A second one. Then the publisher's home as it was before, under its own key: who knows better is not taken in.
stop A
cp -r "$(home A)" "$(home Old)"
start A
second=$(on A publish two --name tool --version 2 --json | jq -r .id)
on C get "$key/tool" --from "$(contact A)" -o got2 --json >get.json
same_tree two got2
[ "$(jq -r .version get.json)" = 2 ] || fail "not the newest: $(cat get.json)"
[ "$(on C get "$key/tool@1" --from "$(contact A)" --json | jq -r .version)" = 1 ] || fail "the first one is still there"
stop A
start Old
[ "$(on D get "$key/tool" --from "$(contact Old)" --json | jq -r .version)" = 1 ] || fail "the old home says what it said"
[ "$(on C get "$key/tool" --from "$(contact Old)" --json | jq -r .version)" = 2 ] || fail "taken back to an older release"
stop Old

# A correction of an older branch is a release of its own and not the newest, unless that is asked for. A later
# version than all is.
begin H
publish() { head -c 5000 /dev/urandom >h/file && on H publish h --name lib --json --version "$@" | jq -c '[.id, .newest]'; }
is() { [ "$(on "$1" get "$branch$2" --from "$(contact H)" --json | jq -r .version)" = "$3" ] || fail "$1: lib$2 is not $3"; }
mkdir h
branch=$(on H key --json | jq -r .key)/lib
[ "$(publish 1.9 | jq '.[1]')" = true ] || fail "the first release is the newest"
[ "$(publish 1.10 | jq '.[1]')" = true ] || fail "1.10 comes after 1.9"
[ "$(publish 1.9.1 | jq '.[1]')" = false ] || fail "a correction of 1.9 became the newest"
[ "$(publish 1.9.1 | jq '.[1]')" = false ] || fail "and once more"
[ "$(publish 1.10-rc2 | jq '.[1]')" = false ] || fail "a release candidate came after its release"
is I @1.9.1 1.9.1
is I '' 1.10
is I @1.9 1.9
sequence() { on H find "$branch$1" --json | jq .sequence; }
[ "$(sequence @1.9.1)" -lt "$(sequence '')" ] || fail "whoever shows 1.9.1 as the newest would be believed"
[ "$(publish 1.9.2 --newest | jq '.[1]')" = true ] || fail "--newest"
is I '' 1.9.2
[ "$(publish 2 | jq '.[1]')" = true ] || fail "2 comes after 1.9.2"
is I '' 2
[ "$(on H publish h --name lib --version 3 --no-sign --json | jq .newest)" = null ] || fail "nothing signed says so"
stop H

# Another publisher's package of that name is another release.
begin F
on F publish one --name tool --version 9 >/dev/null
exits 3 on G get "$key/tool" --from "$(contact F)"
stop F

# By the DHT, over somebody who has nothing of it.
start A
begin B
begin E
on B join "$(contact A)" >/dev/null
on E join "$(contact B)" >/dev/null
contacts() { [ "$(on "$1" dht status --json | jq .contacts)" = 2 ]; }
for name in A B E; do
    wait_for contacts $name || fail "$name knows $(on $name dht status)"
done
wait_for held A 5 || fail "two packages and three names: $(on A dht status)"
wait_for eval 'on E find "$key/tool" --json >find.json' || fail "nothing is found: $(cat find.json)" # the DHT has three seconds each time
[ "$(jq -r '[.id, .version, .publisher] | join(" ")' find.json)" = "$second 2 $key" ] || fail "found $(cat find.json)"
[ "$(jq -r '.providers[0].peer' find.json)" = "$(jq -r .peer A.ready)" ] || fail "provided by $(cat find.json)"
wait_for on E get "$key/tool" -o got3 -q || fail "E gets nothing"
same_tree two got3
first_found() { on E find "$key/tool@1" | grep ' tool 1$' >/dev/null; }
wait_for first_found || fail "the first by its version"

# Taken back by those who had it; who never heard of it finds nothing.
wait_for announced E 2 || fail "who fetched it passes it and its name on: $(on E dht status)"
on E rm "$second" >/dev/null
on A rm "$second" >/dev/null
on A rm "$(jq -r .id <<<"$first")" >/dev/null
for name in A E; do
    wait_for announced $name 0 || fail "$name still announces: $(on $name dht status)"
done
exits 3 on B find "$key/tool"
says 'release pointer'
stop A
stop B
stop E

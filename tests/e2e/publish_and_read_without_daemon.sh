#!/bin/bash
# Without a daemon: publish, ls, info, cat, verify, get -o and rm work on the home's store, and the id is
# stable and verifiable.
. "$(dirname "$0")/lib.sh"

mkdir -p in/sub/empty
printf 'hello\n' >in/a.txt
: >in/none
printf '#!/bin/sh\n' >in/run && chmod 0755 in/run
head -c 3000000 /dev/urandom >in/sub/random
ln -s ../a.txt in/sub/link
printf 'x' >in/$'odd \n\xff name'

id=$(on A publish in --name demo --version 1.0 --description 'a text' --license MIT \
    --annotation k=v --depends other@'>=2' 2>err)
[[ $id == stoq1q* && ${#id} == 64 ]] || fail "no id: $id"
grep -q signed err || fail "not signed"

on A publish in --name demo --version 1.0 --description 'a text' --license MIT \
    --annotation k=v --depends other@'>=2' --json >out
jq -e --arg id "$id" '.id == $id and .existed and .bytes_new == 0 and .files == 5 and .entries == 8 and
    .bytes > 3000000 and .chunks > 10 and .shards >= 1 and (.signed_by | startswith("key1"))' out >/dev/null ||
    fail "publish again: $(cat out)"
other=$(on B publish in --name demo --version 1.0 --description 'a text' --license MIT \
    --annotation k=v --depends other@'>=2' --threads 1 --read-bytes 4097 -q)
[ "$other" = "$id" ] || fail "another home, another id"
[ "$(on A publish in --name demo --version 1.1 -q --no-sign)" != "$id" ] || fail "another version, the same id"

on A ls --json >out
jq -e --arg id "$id" '.packages | length == 2 and (map(select(.id == $id)) | .[0].complete)' out >/dev/null ||
    fail "ls: $(cat out)"
on A ls | grep "^$id  demo 1.0" || fail "ls for people"

on A info "$id" --files --json >out
jq -e '.name == "demo" and .description == "a text" and .license == "MIT" and .annotations.k == "v" and
    .dependencies[0].name == "other" and .dependencies[0].requirement == ">=2" and (.root | length == 64) and
    (.files | map(.path // "?") == ["a.txt","none","?","run","sub","sub/empty","sub/link","sub/random"]) and
    (.files[2].path_b64 | length > 0) and .files[6].target == "../a.txt"' out >/dev/null || fail "info: $(cat out)"
on A info "$id" --files | grep 'l            0  sub/link -> ../a.txt' || fail "info for people"

on A cat "$id" sub/random | cmp - in/sub/random || fail "cat"
[ "$(on A cat "$id" a.txt)" = hello ] || fail "cat of a small file"
on A cat "$id" none >out && [ ! -s out ] || fail "cat of an empty file"
on A cat "$id" $'odd \n\xff name' | cmp - <(printf x) || fail "cat of an odd name"
exits 3 on A cat "$id" nosuch
exits 2 on A cat "$id" sub

on A verify "$id" --json >out
jq -e '.merkle_valid and .signature_valid and (.consensus_valid | not) and .overall_valid and .chunks_bad == 0' \
    out >/dev/null || fail "verify: $(cat out)"

on A get "$id" -o tree --json >out # no network: it is complete here
jq -e '.complete_before and .bytes_from_peers == 0 and .sources == [] and .files == 5' out >/dev/null || fail "get: $(cat out)"
same_tree in tree
exits 1 on A get "$id" -o tree
says 'tree is there already'

on A manifest raw "$id" >manifest
[ "$(on A manifest id manifest)" = "$id" ] || fail "the id of its manifest"
on A manifest show manifest | jq -e '.name == "demo"' >/dev/null || fail "manifest show"

single=$(on A publish in/sub/random --name one --version 1 -q)
on A get "$single" -o - | cmp - in/sub/random || fail "get -o -"
exits 2 on A get "$id" -o -

on A rm "$id" -q
exits 3 on A info "$id"
on A verify "$single" -q || fail "removal hurt another package"
[ "$(on A publish in --name demo --version 1.0 --description 'a text' --license MIT \
    --annotation k=v --depends other@'>=2' -q)" = "$id" ] || fail "published anew, another id"
on A verify "$id" -q

#!/bin/bash
# publish --in-place stores no second copy; the package is served, read and exported from the user's own
# files; a file that changes gives nothing wrong to anybody, and every command says which file it was.
. "$(dirname "$0")/lib.sh"
"$STOQ" help publish 2>/dev/null | grep -- --in-place || exit 77

mkdir -p tree/sub
head -c 20000000 /dev/urandom >tree/large
for i in $(seq 100); do head -c 3000 /dev/urandom >tree/sub/$i; done
cp -a tree kept
id=$(on A publish tree --in-place --name t --version 1 --json | tee out | jq -r .id)
jq -e '.bytes_in_place > 20000000 and .bytes_stored < 100000 and .bytes_new == .bytes' out >/dev/null || fail "$(cat out)"
[ "$(du -sb A/store/segments | cut -f1)" -lt 300000 ] || fail "a second copy: $(du -sb A/store/segments)"
[ "$(on S publish tree --name t --version 1 --no-sign -q)" = "$id" ] || fail "another id in place"
on A verify "$id" -q
on A get "$id" -o got -q
same_tree got tree
on A export "$id" -o bundle -q
on I import bundle -q
on I verify "$id" -q

# Served to a peer from where it is.
start A
on B get "$id" --from "$(contact A)" -o from-a -q
same_tree from-a tree

# Changed while it is being served, and hidden from stat: not one wrong byte, and the reason is told.
printf 'XX' | dd of=tree/large bs=1 seek=10000000 conv=notrunc status=none
touch -r kept/large tree/large
exits 4 on A cat "$id" large --json
jq -e '.error.code == "SourceChanged" and (.error.message | contains("tree/large changed"))' err >/dev/null || fail "$(cat err)"
cmp -n "$(stat -c %s out)" out kept/large || fail "wrong bytes left"
[ "$(stat -c %s out)" -le 10000000 ] || fail "bytes behind the change left"
exits 4 on A verify "$id"
says 'tree/large changed'
code=0
on C get "$id" --from "$(contact A)" -q >out 2>err || code=$?
[ $code != 0 ] || fail "a get of a changed file succeeded"
[ "$(on C ls --json | jq '.packages | length')" = 0 ] || fail "a changed package was taken for whole"
grep -q 'tree/large changed' A.log || fail "the daemon's log says nothing: $(tail -n 3 A.log)"

# The change taken back and published again, it is whole, and the other get goes on.
cp kept/large tree/large
[ "$(on A publish tree --in-place --name t --version 1 -q)" = "$id" ] || fail "another id"
on A verify "$id" -q
on C get "$id" --from "$(contact A)" -o from-c --json >out
same_tree from-c kept
rm tree/sub/50
exits 4 on A verify "$id"
says 'tree/sub/50'
stop A

# A stored copy depends on nobody's files.
on A publish kept --name t --version 1 -q >/dev/null
rm -r tree
on A verify "$id" -q
on A rm "$id" -q
[ "$(ls kept | wc -l)" = 2 ] || fail "rm took the user's files"

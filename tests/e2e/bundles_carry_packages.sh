#!/bin/bash
# export and import: packages go from store to store without a network, whole or as a difference, through
# files and pipes, with and without a daemon; a kill loses nothing, damage is told by its place.
. "$(dirname "$0")/lib.sh"
"$STOQ" help export >/dev/null 2>&1 || exit 77 # built without a node

mkdir one two
head -c 30000000 /dev/urandom >one/large
seq 200000 >one/text
for i in $(seq 300); do echo "small $i" >one/small-$i; done
ln -s large one/link
cp -a one/. two/
printf 'xy' | dd of=two/large bs=1 seek=17000000 conv=notrunc status=none
v1=$(on A publish one --name carried --version 1 -q)
v2=$(on A publish two --name carried --version 2 -q)

check() { # HOME ID DIR
    on "$1" verify "$2" -q >/dev/null || fail "$1: $2 does not verify"
    rm -rf out.d
    on "$1" get "$2" -o out.d -q
    same_tree out.d "$3"
}

# One file with both, into a store without a daemon; again, nothing is new.
on A export "$v1" "$v2" -o both --json >out
jq -e '.packages == 2 and .chunks_assumed == 0 and .bytes == $n' --argjson n "$(stat -c %s both)" out >/dev/null ||
    fail "export: $(cat out)"
on B import both --json >out
jq -e '(.packages | map(.version) | sort == ["1", "2"]) and (.packages | all(.complete and (.existed | not))) and .chunks_had == 0' \
    out >/dev/null || fail "import: $(cat out)"
check B "$v1" one
check B "$v2" two
[ "$(on B info "$v1" --json | jq -r .signed_by)" = "$(on A key --json | jq -r .key)" ] || fail "the signature was left behind"
on B import both --json >out
jq -e '.bytes_new == 0 and (.packages | all(.existed))' out >/dev/null || fail "a second import: $(cat out)"
on B import --list both >out
[ "$(wc -l <out)" = 2 ] || fail "import --list: $(cat out)"
exits 1 on A export "$v1" -o both
says 'both is there already'
exits 2 on A export "$v1"
exits 3 on A export "$(on N publish one/text --name other --version 1 -q)" -o none
exits 2 on A export "$v1" -o none --have stoq1x
[ ! -e none ] || fail "a file of a failed export"
exits 3 on N import nosuch
! compgen -G '.*.stoq-*' >/dev/null || fail "left a temporary file"

# Through a pipe between daemons, as a difference: by the receiver's own word and by an older version.
start A
start C
on A export "$v1" -o - | on C import - -q
check C "$v1" one
on C have >have
[ "$(stat -c %s have)" -lt 20000 ] || fail "a have-list of $(stat -c %s have) bytes for 30 MB"
on A export "$v2" --have have -o diff.1 -q
on A export "$v2" --have "$v1" -o diff.2 --json >out
cmp diff.1 diff.2 || fail "two words for the same difference"
# One chunk, or two where the bytes that differ move a cut.
jq -e '.chunks <= 2 and .chunks_assumed > 300' out >/dev/null || fail "difference: $(cat out)"
[ $(($(stat -c %s diff.1) - $(jq .bytes_stored out))) -lt 2000 ] || fail "the difference is $(stat -c %s diff.1) bytes"
exits 3 on D import diff.1 --json
jq -e '.error.code == "ChunkNotFound"' out >/dev/null || fail "a difference alone: $(cat out)"
[ "$(on D ls --json | jq '.packages | length')" = 0 ] || fail "half a package"
on C import diff.1 -q
check C "$v2" two
stop A
stop C

# Killed in the middle: the import goes on from there.
head -c 200000000 /dev/urandom >huge
big=$(on A publish huge --name huge --version 1 -q)
on A export "$big" -o huge.bundle -q
for bytes in 60000000 120000000; do
    mkfifo pipe
    "$STOQ" --home "$(home E)" import - <pipe >/dev/null 2>&1 &
    importer=$!
    { head -c $bytes huge.bundle && exec sleep 600; } >pipe &
    feeder=$!
    wait_for grep -q sleep "/proc/$feeder/comm" || fail "the bundle was not read"
    grew() { [ "$(du -sb E/store/segments | cut -f1)" -ge $((bytes - 40000000)) ]; }
    wait_for grew || fail "nothing was stored"
    kill -KILL $importer $feeder
    wait $importer $feeder || true
    rm pipe
done
on E import huge.bundle --json >out
jq -e '.chunks_had > 0 and .bytes_new > 0 and .packages[0].complete' out >/dev/null || fail "after a kill: $(cat out)"
[ "$(jq .bytes_new out)" -lt 150000000 ] || fail "what was there was taken again: $(cat out)"
on E get "$big" -o - | cmp - huge || fail "not what went in"

# Cut, damaged, no bundle at all: refused, with the place.
head -c 10000000 huge.bundle >cut
exits 1 on F import cut
says 'it has 10000000 of'
exits 1 on F import - <cut
says 'the bundle ends after 10000000 of'
cp both bad
printf '\377' | dd of=bad bs=1 seek=20000000 conv=notrunc status=none
exits 4 on F import bad
says 'the bundle is refused at byte'
(cat both && echo) >long
exits 1 on F import long
says '1 bytes follow'
exits 1 on F import one/text
says 'this is not a bundle'
[ "$(on F ls --json | jq '.packages | length')" -le 1 ] || fail "a damaged bundle's packages"

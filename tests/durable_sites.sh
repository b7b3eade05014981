#!/bin/sh
#
# The places where the store makes things durable, as strace sees them in real commands (publish, a torn
# end, a lost index, rm, rebuild, scrub, gc), are the places that the crash campaign leaves out, tears and
# fails: no call goes past it, and it makes up none. Names are those of files below the store's folder,
# a segment's is SEG.
set -eu

[ "$STOQ_FLAVOUR" = debug ] || { echo "the recorder stands where a sanitizer would"; exit 77; }
"$STOQ" help fsck >/dev/null 2>&1 || exit 77 # built without a node
command -v strace >/dev/null || { echo "no strace"; exit 77; }
strace -o /dev/null true 2>/dev/null || { echo "strace may not trace here"; exit 77; }
cd "$TMP"
unset STOQ_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR

calls=fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,truncate,ftruncate,msync,sync,syncfs
traced() {
    strace -f -y -o one -e trace=$calls "$STOQ" --home "$TMP/A" "$@" >out 2>err || { cat err; exit 1; }
    cat one >>trace
}
mkdir tree
head -c 200000 /dev/urandom >tree/a
traced publish tree --name a --version 1 -q
id=$(cat out)
head -c 3000 /dev/urandom >>A/store/segments/00000001.seg # a torn end
head -c 20000 /dev/urandom >tree/b
traced publish tree --name a --version 2 -q
rm A/store/index/data.mdb
traced rm "$id" -q
traced store rebuild -q
traced scrub -q
traced gc -q

# What succeeded below A/store, as lines of "call name". A scrub's cursor may be lost at any time.
sed -n -E 's/^[0-9]+ +(fsync|fdatasync|ftruncate)\([0-9]+<[^>]*\/A\/(store(\/[^>]*)?)>.* = 0$/\1 \2/p
    s/^[0-9]+ +rename(at2?)?\([^"]*"([^"]*)".* = 0$/rename \2/p
    s/^[0-9]+ +unlink(at)?\([^"]*"([^"]*)".* = 0$/unlink \2/p
    s/^[0-9]+ +(truncate|msync|sync|syncfs)\(.*/\1 anything/p' trace |
    grep -v -E '/A/(key\.pem|stoq\.conf)|scrub\.tmp|input-' |
    sed -E 's/ftruncate/truncate/; s/ .*\// /; s/[0-9a-f]{8}\.seg/SEG/' | sort -u >real

for work in life killed torn rebuilt faulty collected; do
    "$STOQ_BUILD/tests/crash/crash" -t -w $work
done >ops
awk '$2 == "sync" && $3 != "0+0" { print "fsync", $3 }
    $2 == "datasync" { print "fdatasync", $3 }
    $2 == "rename" || $2 == "unlink" || $2 == "truncate" { print $2, $3 }' ops |
    sed -E 's/[0-9a-f]{8}\.seg/SEG/' | sort -u >campaign

# The campaign's own: it cuts an index to damage it, and lets a sync fail, after which a segment goes.
printf 'truncate data.mdb\nunlink SEG\n' | sort - real | sort -u >allowed
comm -23 real campaign >past
comm -13 allowed campaign >made_up
[ ! -s past ] || { echo "no crash state has these:"; cat past; }
[ ! -s made_up ] || { echo "no real command has these:"; cat made_up; }
[ "$(wc -l <real)" -ge 12 ] || { echo "only these were seen:"; cat real; exit 1; }
echo "$(wc -l <real) kinds of calls in real commands, all of them the campaign's"
[ ! -s past ] && [ ! -s made_up ]

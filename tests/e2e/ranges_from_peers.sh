#!/bin/bash
# cat and get -o - stream what is not here from peers: in order, verified, no more than the bytes need, no
# further ahead than the reader; what came stays, and a get brings the rest.
. "$STOQ_SRC/tests/e2e/lib.sh"
"$STOQ" help cat >/dev/null 2>&1 || exit 77 # built without a node

mkdir tree
head -c 24000000 /dev/urandom >tree/large
echo small >tree/small
ln -s small tree/link
start A
id=$(on A publish tree --name t --version 1 -q)
file=$(on A publish tree/large --name f --version 1 -q)
a=$(contact A)

wire() { on A status --json | jq '.net.wire_bytes_sent + .net.wire_bytes_received'; }
sent() { on A status --json | jq .net.bytes_served; }

# A mebibyte out of it moves no more than two, handshake and all; without a daemon and with one.
for name in B C; do
    [ $name = B ] || start C
    before=$(wire)
    on $name cat "$id" large --range 20000000-21048575 --from "$a" |
        cmp - <(tail -c +20000001 tree/large | head -c 1048576) || fail "$name: a range"
    moved=$(($(wire) - before))
    [ $moved -le 2097152 ] || fail "$name: $moved bytes moved for a mebibyte"
    # Once more, and nobody is asked.
    before=$(sent)
    on $name cat "$id" large --range 20000000-21048575 --from "$a" | cmp - <(tail -c +20000001 tree/large | head -c 1048576)
    [ "$(sent)" = "$before" ] || fail "$name: what is here was asked for"
    [ "$(on $name cat "$id" small --from "$a")" = small ] || fail "$name: a small file"
    [ "$(on $name cat "$id" link --from "$a")" = small ] || fail "$name: a link's target"
    on $name cat "$id" large --range=-5 --from "$a" | cmp - <(tail -c 5 tree/large) || fail "$name: the end"
    [ $(($(sent) - before)) -lt 2000000 ] || fail "$name: small pieces moved much"
    exits 3 on $name cat "$id" nothing --from "$a"
    says 'the package has no nothing'
    exits 2 on $name cat "$id" large --range 24000000- --from "$a"
    # It is no package here yet; a get brings the rest alone.
    exits 3 on $name cat "$id" large --range 0-10
    [ "$(on $name ls --json | jq '.packages | length')" = 0 ] || fail "$name: a part counts as a package"
    report=$(on $name get "$id" --from "$a" --json)
    [ "$(jq '.bytes_had >= 1048576 and .bytes_from_peers <= .bytes - 1048576' <<<"$report")" = true ] ||
        fail "$name: what came before came again: $report"
    [ "$(on $name verify "$id" --json | jq .merkle_valid)" = true ] || fail "$name: verify"
done
stop C

# A reader that stops makes the fetch wait; it goes on with it, and all of it is a package then.
for name in D E; do
    [ $name = D ] || start E
    mkfifo pipe
    before=$(sent)
    on $name get "$file" -o - --from "$a" >pipe &
    pid=$!
    exec 3<pipe
    head -c 1000000 <&3 >first
    sleep 0.3 # for what may come too early
    [ $(($(sent) - before)) -lt 16000000 ] || fail "$name: the fetch did not wait for its reader"
    cat <&3 >rest
    exec 3<&-
    wait $pid || fail "$name: get -o - exited with $?"
    cat first rest | cmp - tree/large || fail "$name: other bytes"
    [ "$(on $name ls --json | jq '.packages[0].complete')" = true ] || fail "$name: not recorded"
    on $name get "$file" -o - | cmp - tree/large || fail "$name: from the store"
    rm pipe
done
stop E

# A range of the only file, and what is no single file.
on F get "$file" -o - --range 1000000-1000009 --from "$a" | cmp - <(tail -c +1000001 tree/large | head -c 10)
exits 2 on F get "$id" -o - --from "$a"
says 'entries; -o - needs exactly one file'
[ "$(on F ls --json | jq '.packages | length')" = 0 ] || fail "a refused get fetched"

# Without a source there is nothing to be had, with a wrong key neither.
exits 3 on G cat "$id" large
exits 5 on G cat "$id" large --from "$("$STOQ" --home "$TMP/other" init)@${a#*@}"
[ ! -s out ] || fail "bytes from a peer that is not the named one"

# A digest in the manifest is right before the first byte leaves.
digest=$(on A publish tree/large --name s --version 1 --secondary sha256 -q)
on F get "$digest" -o - --from "$a" | cmp - tree/large || fail "with a secondary digest"

# A chunk that is damaged here is brought anew, and nothing else; without a source its damage is told.
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" B/store >flipped
before=$(sent)
on B cat "$id" large --from "$a" | cmp - tree/large || fail "a damaged chunk"
[ $(($(sent) - before)) -lt 2000000 ] || fail "more than the damaged chunk was brought"
on B cat "$id" large | cmp - tree/large || fail "what was brought anew"
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" D/store >flipped
exits 4 on D cat "$file" large
stop A
exits 4 on D cat "$file" large --from "$a"
says 'damaged'

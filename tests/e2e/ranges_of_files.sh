#!/bin/bash
# cat --range and get -o - --range give exactly the bytes asked for, with and without a daemon, and read
# no chunk that does not hold them.
. "$(dirname "$0")/lib.sh"
"$STOQ" help cat >/dev/null 2>&1 || exit 77 # built without a node

mkdir tree
head -c 5000000 /dev/urandom >tree/large
echo small >tree/small

ranges() { # HOME ID COMMAND...: of tree/large
    local name=$1
    shift
    on "$name" "$@" --range 0-0 | cmp - <(head -c 1 tree/large) || fail "$name: 0-0"
    on "$name" "$@" --range 1234567-2345678 | cmp - <(tail -c +1234568 tree/large | head -c 1111112) || fail "$name: inside"
    on "$name" "$@" --range 4999990- | cmp - <(tail -c 10 tree/large) || fail "$name: to the end"
    on "$name" "$@" --range=-77777 | cmp - <(tail -c 77777 tree/large) || fail "$name: from the end"
    on "$name" "$@" --range 4000000-9999999 | cmp - <(tail -c 1000000 tree/large) || fail "$name: past the end"
    exits 2 on "$name" "$@" --range 5000000-
    says 'the file has 5000000 bytes'
    [ ! -s out ] || fail "$name: bytes of a range that is none"
    exits 2 on "$name" "$@" --range 2-1
    exits 2 on "$name" "$@" --range x
}

id=$(on A publish tree --name t --version 1 -q)
file=$(on A publish tree/large --name f --version 1 -q)
ranges A cat "$id" large
ranges A get "$file" -o -
exits 2 on A get "$file" -o dir --range 0-1
exits 2 on A cat --sha256 "$(sha256sum <tree/large | cut -d' ' -f1)" --range 0-1
start A
ranges A cat "$id" large
ranges A get "$file" -o -
stop A

# A damaged chunk is in nobody's way who does not ask for it, and no byte of it leaves.
python3 - A/store/segments/00000001.seg tree/large <<'P'
import sys
path, large = sys.argv[1:]
data = bytearray(open(path, "rb").read())
at = data.index(open(large, "rb").read()[2500000:2500100])
data[at] ^= 1
open(path, "wb").write(data)
P
on A cat "$id" large --range 0-999999 | cmp - <(head -c 1000000 tree/large) || fail "before the damage"
on A cat "$id" large --range 4000000- | cmp - <(tail -c 1000000 tree/large) || fail "behind the damage"
exits 4 on A cat "$id" large --range 2500000-2500010
[ ! -s out ] || fail "damaged bytes left"

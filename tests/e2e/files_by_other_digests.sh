#!/bin/bash
# publish --alias makes files findable by the digests other programs print; find, get and cat by digest,
# with and without a daemon; a digest that does not match is refused; rm takes the aliases along.
. "$(dirname "$0")/lib.sh"
"$STOQ" help find >/dev/null 2>&1 || exit 77 # built without a node

mkdir -p in/sub
head -c 2000000 /dev/urandom >in/big
printf 'hello\n' >in/a
printf 'hello\n' >in/sub/b
: >in/none
sha256() { sha256sum <"$1" | cut -d' ' -f1; }
sha512() { sha512sum <"$1" | cut -d' ' -f1; }
b3() { b3sum --no-names "$1"; }

aliases() { # NAME
    local name=$1 id second
    on "$name" publish in --name one --version 1 --alias b3sum,sha256 --alias sha512 --json >out
    jq -e '.aliases == 9' out >/dev/null || fail "$name: $(cat out)"
    id=$(jq -r .id out)
    [ "$(on "$name" publish in --name one --version 1 -q)" = "$id" ] || fail "$name: aliases change the id"
    on "$name" find --sha256 "$(sha256 in/a)" --json >out
    jq -e --arg id "$id" '.alg == "sha256" and .address == null and (.matches | map(.path) == ["a", "sub/b"]) and
        all(.matches[]; .id == $id and .name == "one" and .version == "1")' out >/dev/null || fail "$name: find: $(cat out)"
    [ "$(on "$name" find --sha512 "$(sha512 in/big)")" = "$id  one 1  big" ] || fail "$name: find for people"
    on "$name" cat --b3sum "$(b3 in/big)" | cmp - in/big || fail "$name: cat by digest"
    on "$name" cat --sha256 "$(sha256 in/none)" >out && [ ! -s out ] || fail "$name: an empty file"
    on "$name" get --sha512 "$(sha512 in/big)" -o "$TMP/big.$name" --json >out
    jq -e --arg id "$id" '.id == $id and .path == "big" and .bytes == 2000000' out >/dev/null || fail "$name: $(cat out)"
    cmp in/big "big.$name" || fail "$name: get by digest"
    on "$name" get --sha256 "$(sha256 in/a)" -o - | cmp - in/a || fail "$name: get -o - by digest"
    on "$name" get --sha256 "$(sha256 in/big)" | grep "^$id  big  " || fail "$name: get without -o"
    exits 1 on "$name" get --sha256 "$(sha256 in/a)" -o "$TMP/big.$name"
    says 'is there already'
    exits 3 on "$name" find --sha3-256 "$(openssl dgst -sha3-256 -r in/a | cut -d' ' -f1)"
    exits 3 on "$name" find --sha256 "$(printf other | sha256sum | cut -d' ' -f1)" --json
    jq -e '.error.code == "ContentNotFound"' out >/dev/null || fail "$name: $(cat out)"
    exits 3 on "$name" get --sha256 "$(printf other | sha256sum | cut -d' ' -f1)" -o "$TMP/other"
    [ ! -e other ] || fail "$name: an output of nothing"
    exits 2 on "$name" find --sha256 123
    exits 2 on "$name" find
    exits 2 on "$name" find --sha256 "$(sha256 in/a)" --sha512 "$(sha512 in/a)"
    exits 2 on "$name" get "$id" --sha256 "$(sha256 in/a)"
    exits 2 on "$name" publish in --name one --version 1 --alias md5
    exits 2 on "$name" publish in --name one --version 1 --alias xxh3-128
    exits 2 on "$name" publish in --name one --version 1 --alias sha256,sha256

    # The same file in two packages; each takes its own aliases with it.
    second=$(on "$name" publish in --name two --version 1 --alias sha256 -q)
    [ "$(on "$name" find --sha256 "$(sha256 in/a)" --json | jq '.matches | length')" = 4 ] || fail "$name: two packages"
    on "$name" rm "$id" -q
    on "$name" find --sha256 "$(sha256 in/a)" --json | jq -e --arg id "$second" 'all(.matches[]; .id == $id)' >/dev/null ||
        fail "$name: rm left an alias"
    exits 3 on "$name" find --sha512 "$(sha512 in/a)"
    on "$name" cat --sha256 "$(sha256 in/big)" | cmp - in/big || fail "$name: the other package's file"
    on "$name" rm "$second" -q
    exits 3 on "$name" find --sha256 "$(sha256 in/a)"

    # Content has an address that is such a digest.
    address=$(on "$name" store put in/a -q)
    [ "$(on "$name" find --b3sum "$(b3 in/a)")" = "$address" ] || fail "$name: content by its digest"
    on "$name" cat --b3sum "$(b3 in/a)" | cmp - in/a || fail "$name: cat of content"
    on "$name" info "$(on "$name" publish in --name three --version 1 -q)" --json |
        jq -e --argjson began "$began" '.added_at >= $began and .added_at < $began + 600' >/dev/null || fail "$name: added_at"
}

began=$(date +%s)
aliases A
start B
aliases B
stop B

# A package that was fetched, or published without aliases, gets them when asked.
start D
id=$(on D publish in --name one --version 1 -q)
exits 3 on E find --sha512 "$(sha512 in/big)"
on E get "$id" --from "$(contact D)" -q
exits 3 on E find --sha512 "$(sha512 in/big)"
on E alias "$id" sha512,b3sum --json >out
jq -e '.aliases == 6' out >/dev/null || fail "alias: $(cat out)"
[ "$(on E find --sha512 "$(sha512 in/big)")" = "$id  one 1  big" ] || fail "find of a fetched file"
on E find --b3sum "$(b3 in/a)" --json | jq -e '.matches | map(.path) == ["a", "sub/b"]' >/dev/null || fail "find of two"
on D alias "$id" sha256 -q
on D cat --sha256 "$(sha256 in/big)" | cmp - in/big || fail "alias through the daemon"
exits 2 on E alias "$id" md5
exits 3 on E alias stoq1qquqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlek395 sha256
stop D

# One flipped byte in the stored file: exit 4, and no output.
on C publish in --name one --version 1 --alias sha256 -q >id
python3 - C/store/segments/00000001.seg in/big <<'P'
import sys
path, big = sys.argv[1:]
data = bytearray(open(path, "rb").read())
data[data.index(open(big, "rb").read()[1000:1100])] ^= 1
open(path, "wb").write(data)
P
exits 4 on C get --sha256 "$(sha256 in/big)" -o bad --json
jq -e '.error.code == "IntegrityCheckFailed"' out >/dev/null || fail "no code: $(cat out)"
[ ! -e bad ] || fail "a damaged file was written"
exits 4 on C cat --sha256 "$(sha256 in/big)"

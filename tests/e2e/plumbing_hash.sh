#!/bin/bash
# `stoq hash` prints what b3sum, openssl and xxhsum print, for sizes around a BLAKE3 chunk and past
# every buffer, from files and from standard input.
. "$(dirname "$0")/lib.sh"

sizes="0 1 1023 1024 1025 $((65 << 20))"
head -c $((65 << 20)) /dev/urandom >all
for size in $sizes; do
    head -c "$size" all >"f$size"
done
rm all
# shellcheck disable=SC2046,SC2086
set -- $(printf 'f%s ' $sizes)

b3sum "$@" >want
"$STOQ" hash "$@" >out
cmp want out || fail "blake3 is not b3sum's"
"$STOQ" hash --alg blake3 "$@" >out
cmp want out || fail "--alg blake3 is not the default"
sha256sum "$@" >want
"$STOQ" hash --alg sha256 "$@" >out
cmp want out || fail "sha256 is not sha256sum's"
sha512sum "$@" >want
"$STOQ" hash --alg sha512 "$@" >out
cmp want out || fail "sha512 is not sha512sum's"
openssl dgst -sha3-256 -r "$@" | sed 's/ \*/  /' >want
"$STOQ" hash --alg sha3-256 "$@" >out
cmp want out || fail "sha3-256 is not openssl's"
xxhsum -H2 "$@" >want
"$STOQ" hash --alg xxh3-128 "$@" >out
cmp want out || fail "xxh3-128 is not xxhsum's"

# A pipe in odd pieces.
for size in 0 1025 $((65 << 20)); do
    want=$(b3sum --no-names "f$size")
    got=$(dd if="f$size" bs=70001 status=none | "$STOQ" hash -)
    [ "$got" = "$want  -" ] || fail "from standard input: $got"
done

# Names that would break a line are escaped, as b3sum does.
cp f1025 $'a\nb\\c'
[ "$("$STOQ" hash $'a\nb\\c')" = "$(b3sum $'a\nb\\c')" ] || fail "the name is not escaped as b3sum does"

"$STOQ" hash --json f1 f1024 >out
jq -e --arg h "$(b3sum --no-names f1024)" '.alg == "blake3" and .hashes[1] == {hash: $h, name: "f1024"}' out >/dev/null ||
    fail "--json: $(cat out)"

# What cannot be read is told, the rest is still hashed; what cannot be meant is refused.
exits 3 "$STOQ" hash f1 nosuchfile f0
says nosuchfile
[ "$(wc -l <out)" = 2 ] || fail "the other files were not hashed"
exits 1 "$STOQ" hash .
says directory
exits 3 "$STOQ" hash --json nosuchfile f0
jq -e '.error.code == "NotFound"' out >/dev/null || fail "the error in JSON: $(cat out)"
exits 2 "$STOQ" hash --alg md5 f1
says md5
exits 2 "$STOQ" hash

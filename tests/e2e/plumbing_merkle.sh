#!/bin/bash
# `stoq merkle`: roots and proofs equal those of the independent encoder of tests/vectors; proofs verify
# with their offset from streams of every interesting number of chunks; changed ones do not.
# (Every index of all these streams is proved in src/merkle/proof_test.c; here only some of the long ones.)
. "$(dirname "$0")/lib.sh"

# With all three sizes equal every chunk has 1024 bytes: n chunks are easily had.
how=(--min 1024 --avg 1024 --max 1024)
head -c $((4097 * 1024)) /dev/urandom >data
merkle() { "$STOQ" merkle "$@" "${how[@]}"; }

model() { # model N PYTHON-EXPRESSION: with p the encoder's tree over the first N chunks of ./data
    PYTHONPATH=$STOQ_SRC/tests/vectors PYTHONDONTWRITEBYTECODE=1 python3 -c "
import encoder.common as c, encoder.merkle as m
d = open('data', 'rb').read()[: 1024 * $1]
parts = [d[i : i + 1024] for i in range(0, len(d), 1024)]
p = m.Package([(h, len(part)) for h, part in zip(c.blake3_many(parts), parts)])
print($2)"
}

for n in 0 1 2 3 31 32 33 511 512 513 4097; do
    head -c $((n * 1024)) data >"s$n"
    merkle root --json "s$n" >"root$n"
    [ "$(merkle root "s$n")" = "$(jq -r .root "root$n")" ] || fail "$n chunks: two roots"
    merkle verify "s$n" --root "$(jq -r .root "root$n")" >out || fail "$n chunks: the whole does not verify"
    if [ "$n" -le 33 ] || [ "$n" = 513 ]; then
        model "$n" "'%d %d %d %d blake3 %s' % (p.chunks, len(p.shards), p.bytes, p.height(), p.root.hex())" >want
        jq -r '"\(.chunks) \(.shards) \(.bytes) \(.height) \(.hasher) \(.root)"' "root$n" >got
        cmp want got || fail "$n chunks: $(cat got) is not the model's $(cat want)"
    fi
    step=$((n < 40 ? 1 : n / 9))
    for ((i = 0; i < n; i += i + step < n || i == n - 1 ? step : n - 1 - i)); do
        rm -f proof
        merkle prove "s$n" --index "$i" -o proof --json >nodes
        jq -e --argjson i "$i" '.index == $i and .offset == 1024 * $i and .length == 1024 and
            all(.nodes[]; (.hash | length) == 64 and (.position == "left" or .position == "right"))' nodes \
            >/dev/null || fail "$n chunks, index $i: $(cat nodes)"
        merkle verify "s$n" --root "$(jq -r .root "root$n")" --index "$i" --proof proof --json >out ||
            fail "$n chunks: index $i does not verify"
        jq -e --argjson i "$i" '.valid and .index == $i and .offset == 1024 * $i' out >/dev/null ||
            fail "$n chunks, index $i: $(cat out)"
    done
    exits 2 merkle prove "s$n" --index "$n"
    says "no chunk $n"
    exits 2 merkle prove "s$n" --index "$n" --json
    [ "$(jq -r .error.code out)" = InvalidChunkIndex ] || fail "no InvalidChunkIndex"
done

# The proof itself is the model's, byte for byte.
for i in 0 100 512; do
    [ "$(merkle prove s513 --index $i -o - | od -An -tx1 -v | tr -d ' \n')" = "$(model 513 "p.proof($i).hex()")" ] ||
        fail "the proof of chunk $i is not the model's"
done

# The left siblings that the proof does not carry are shown too: all nodes lead from the leaf to the root.
merkle prove s33 --index 31 --json >nodes
[ "$(jq -r '[.nodes[].position] | join(" ")' nodes)" = 'left left left left left right' ] || fail "$(cat nodes)"

# --- what must fail ---
n=33 i=5
root=$(jq -r .root root$n)
rm -f proof
merkle prove s$n --index $i -o proof
check() { merkle verify s$n --root "$root" --index $i --proof "$1"; }
exits 0 check proof
dd if=s$n of=chunk bs=1024 skip=$i count=1 status=none
exits 0 merkle verify chunk --chunk --root "$root" --index $i --proof proof
dd if=s$n bs=999 status=none | exits 0 merkle verify - --root "$root" --index $i --proof proof

bytes=$(stat -c %s proof)
# Every bit would take minutes of starting processes (proof_test.c does that): one bit of each byte.
python3 - "$bytes" <<'PY'
import sys
good = open('proof', 'rb').read()
for i in range(int(sys.argv[1])):
    bad = bytearray(good)
    bad[i] ^= 1 << i % 8
    open('flip%d' % i, 'wb').write(bad)
PY
for ((b = 0; b < bytes; b++)); do
    code=0
    check "flip$b" >out 2>err || code=$?
    # Only the format version, byte 2, is answered otherwise: not known here.
    [ $code = 4 ] || [ "$b:$code" = 2:1 ] || fail "a flipped bit in byte $b exits with $code: $(cat err)"
done
for cut in 0 1 17 $((bytes / 2)) $((bytes - 1)); do
    head -c "$cut" proof >short
    exits 4 check short
done
{ cat proof && printf x; } >long
exits 4 check long
{ cat proof && head -c 40000 /dev/zero; } >long
exits 4 check long
exits 3 check nosuchproof

for other in 0 4 6 32 33 99999; do
    exits 4 merkle verify s$n --root "$root" --index $other --proof proof
done
exits 4 merkle verify s$n --root "$(jq -r .root root32)" --index $i --proof proof
cp s$n changed
printf 'X' | dd of=changed bs=1 seek=$((i * 1024 + 77)) conv=notrunc status=none
cmp -s s$n changed && printf 'Y' | dd of=changed bs=1 seek=$((i * 1024 + 77)) conv=notrunc status=none
exits 4 merkle verify changed --root "$root" --index $i --proof proof
exits 4 merkle verify changed --root "$root"
head -c 1023 chunk >other
exits 4 merkle verify other --chunk --root "$root" --index $i --proof proof
{ cat chunk && printf x; } >other
exits 4 merkle verify other --chunk --root "$root" --index $i --proof proof
head -c 3000 s$n >other
exits 4 merkle verify other --root "$root" --index $i --proof proof

# A shard root is no package root, even of a package of that one shard.
model 5 "p.shard_roots[0].hex()" >shard
head -c 5120 data >s5
rm -f proof5
merkle prove s5 --index 2 -o proof5
exits 0 merkle verify s5 --root "$(merkle root s5)" --index 2 --proof proof5
exits 4 merkle verify s5 --root "$(cat shard)" --index 2 --proof proof5
exits 4 merkle verify s5 --root "$(cat shard)"

# What exists is not overwritten; what cannot be meant is refused.
exits 1 merkle prove s5 --index 1 -o proof5
says 'proof5'
merkle verify s5 --root "$(merkle root s5)" --index 2 --proof proof5 >/dev/null || fail "proof5 was overwritten"
exits 2 merkle prove s5
exits 2 merkle verify s5 --root abc
exits 2 merkle verify s5 --root "$root" --index 3
exits 2 merkle verify s5 --root "$root" --proof proof5
exits 2 merkle sing s5
exits 2 merkle root
exits 3 merkle root nosuchfile

#!/bin/bash
# Proof files of a chunk, a run, a shard, of bytes and of the file table are checked by `stoq check-proof`
# and by tests/proofs/check_proof.py, which was written from docs/FORMATS.md alone; both say the same of
# every proof, and nothing of a changed one.
. "$(dirname "$0")/lib.sh"
"$STOQ" help prove >/dev/null 2>&1 || exit 77 # built without a node
checker=$STOQ_SRC/tests/proofs/check_proof.py
export PYTHONPATH=$STOQ_SRC/tests/vectors:$STOQ_SRC/tests/proofs PYTHONDONTWRITEBYTECODE=1

# The same bytes each time, so that there are several shards each time.
python3 - <<'PY'
import os, random
r = random.Random(6)
os.makedirs("tree/sub")
for name, n in (("large", 6000000), ("sub/middle", 100000), ("sub/small", 5), ("x", 3000)):
    with open("tree/" + name, "wb") as f:
        f.write(r.randbytes(n))
open("tree/empty", "wb").close()
PY
id=$(on A publish tree --name proved --version 1 -q)
other=$(on A publish tree/x --name other --version 1 -q)
on A info "$id" --json >info
chunks=$(jq .chunks info) shards=$(jq .shards info)
[ "$shards" -ge 3 ] || fail "only $shards shards: nothing is shown"

# Both checkers say the same, and the reporter too; the proof's data are the stream's.
proves() { # proves NAME OPTION...: the file NAME, whole and without data
    local name=$1
    shift
    on A prove "$id" "$@" -o "$name" --json >made
    on A prove "$id" "$@" --data -o "$name.data" --json >made.data
    local fields='{kind, first, count, shard, offset, bytes}' bytes
    bytes=$(jq .bytes made)
    [ "$(jq -c "$fields" made)" = "$(jq -c "$fields" made.data)" ] || fail "$name: two reports"
    [ "$(jq .file_bytes made.data)" = "$(stat -c %s "$name.data")" ] || fail "$name: another size than reported"
    tail -c "$bytes" "$name.data" >"$name.bytes"
    for file in "$name" "$name.data"; do
        "$STOQ" check-proof "$file" --id "$id" --json >said || fail "$file: refused"
        [ "$(jq -c "$fields" said)" = "$(jq -c "$fields" made)" ] || fail "$file: $(cat said) is not $(cat made)"
        "$STOQ" check-proof "$file" --id "$id" --data "$name.bytes" --first "$(jq .first made)" --count "$(jq .count made)" \
            --shard "$(jq .shard made)" -q || fail "$file: refused with its data"
    done
    [ "$(jq .data_checked said)" = true ] || fail "$name: the data in the file were not checked"
    if [ "$bytes" -lt 120000 ]; then
        "$checker" "$name.data" --id "$id" >said || fail "$name: the independent checker refuses it"
    else
        "$checker" "$name" --id "$id" >said || fail "$name: the independent checker refuses it"
    fi
    [ "$(jq -c "$fields" said)" = "$(jq -c "$fields" made)" ] || fail "$name: the independent checker says $(cat said)"
    exits 4 "$STOQ" check-proof "$name.data" --id "$other"
    exits 4 "$checker" "$name.data" --id "$other"
}
kind() { [ "$(jq -r .kind made)" = "$1" ] || fail "not a $1: $(cat made)"; }
proves chunk0 --chunk 0
kind chunk
proves chunk --chunk $((chunks / 2))
proves last --chunk $((chunks - 1))
proves two --chunks 20-21
kind run
proves run --chunks $((chunks / 4))-$((chunks * 3 / 4))
[ "$(jq .count made)" = $((chunks * 3 / 4 - chunks / 4 + 1)) ] || fail "a run of another length"
proves all --chunks 0-$((chunks - 1))
for k in 0 1 $((shards - 1)); do
    proves "shard$k" --shard "$k"
    kind shard
    [ "$(jq .shard made)" = "$k" ] || fail "another shard than $k"
done
proves table --table
[ "$(jq .offset made)" = 0 ] || fail "the table is not at the start"
proves range --range 3000000-3100000

# The bytes of a file, found where the table, itself proved, says that they are.
proves file --path sub/middle --range 5000-6000
at=$(on A info "$id" --files --json | jq '.files[] | select(.path == "sub/middle") | .offset')
[ "$(jq .asked_offset made)" = $((at + 5000)) ] && [ "$(jq .asked_bytes made)" = 1001 ] || fail "asked of: $(cat made)"
tail -c +$((at + 5000 - $(jq .offset made) + 1)) file.bytes >rest
cmp -n 1001 rest <(tail -c +5001 tree/sub/middle) || fail "other bytes than the file's"

# What is wanted is compared with what is proved.
exits 4 "$STOQ" check-proof run --id "$id" --first 0
exits 4 "$STOQ" check-proof run --id "$id" --first $((chunks / 4)) --count 1 --json
jq -e '.error.code == "InvalidProof"' out >/dev/null || fail "$(cat out)"
exits 4 "$STOQ" check-proof shard1 --id "$id" --shard 0
exits 4 "$checker" run --id "$id" --first $((chunks / 4 + 1))
exits 4 "$checker" run --id "$id" --count 1
exits 4 "$STOQ" check-proof two --id "$id" --data chunk.bytes
exits 4 "$checker" two --id "$id" --data chunk.bytes
{ cat two.bytes && printf x; } >long
exits 4 "$STOQ" check-proof two --id "$id" --data long
exits 4 "$checker" two --id "$id" --data long

# Any flipped bit, any end too early or too late: the independent checker all of them, ours a part of them
# here (all of them in package/proof_file_test.c).
python3 - "$id" <<'PY'
import functools, sys
import check_proof as c
from encoder.cbor import cbor
c.blake3 = functools.lru_cache(maxsize=100000)(c.blake3)
wanted = c.package_id(sys.argv[1])

def refused(raw):
    try:
        c.check_file(raw, wanted)
    except c.Bad:
        return True
    return False

tried = 0
for name in ("chunk", "two", "shard1", "table", "chunk.data"):
    good = open(name, "rb").read()
    assert not refused(good), name
    head = len(good) if len(good) < 12000 else 3000
    places = list(range(0, head, 17)) + list(range(head, len(good), 9973)) + list(range(0, 130))
    for i in sorted(set(places)):
        bad = bytearray(good)
        bad[i] ^= 1 << i % 8
        assert refused(bytes(bad)), (name, i)
        tried += 1
        if i < 130 or i % 50 == 0:
            assert refused(good[:i]), (name, i, "cut")
        if tried % 37 == 0:
            open("flip%d" % tried, "wb").write(bad)
    # A manifest of the true root and other counts has an id too, and proves nothing.
    n = int.from_bytes(good[12:16], "little")
    fields = c.cbor_map(good[32 : 32 + n])
    for key in (12, 13, 14):
        forged = cbor({**fields, key: fields[key] + 1})
        raw = good[:12] + len(forged).to_bytes(4, "little") + good[16:32] + forged + good[32 + n :]
        try:
            c.check_file(raw, c.blake3(forged))
            sys.exit("%s: a manifest that contradicts its root is believed" % name)
        except c.Bad:
            pass
    for more in (b"\0", bytes(40000), good):
        assert refused(good + more), (name, "longer")
print(tried)
PY
for file in flip*; do
    code=0
    "$STOQ" check-proof "$file" --id "$id" >out 2>err || code=$?
    # Only another format version is answered otherwise: not known here.
    [ $code = 4 ] || { [ $code = 1 ] && grep -q version err; } || fail "$file exits with $code: $(cat err)"
done
for n in 0 31 32 100 $(($(stat -c %s two) - 1)); do
    head -c "$n" two >short
    exits 4 "$STOQ" check-proof short --id "$id"
done
{ cat two && printf x; } >long
exits 4 "$STOQ" check-proof long --id "$id"
{ cat two.data && printf x; } >long
exits 4 "$STOQ" check-proof long --id "$id"
head -c $(($(stat -c %s two.data) - 1)) two.data >short
exits 4 "$STOQ" check-proof short --id "$id"
exits 4 "$STOQ" check-proof tree/x --id "$id"
exits 3 "$STOQ" check-proof nosuchfile --id "$id"
exits 2 "$STOQ" check-proof two
exits 2 "$STOQ" check-proof two --id stoq1x

# Proofs that lie about their place, a node that poses as a chunk, a shard root as a package's.
python3 - <<'PY'
import check_proof as c
from encoder.cbor import cbor
from encoder.merkle import Package, make_chunk_list

def refused(raw, root):
    try:
        c.check_proof(raw, root)
    except c.Bad:
        return True
    return False

p = Package(make_chunk_list("random", 4197, 4097))
proofs = [(2300, 100, p.run_proof(2300, 100)), (70, 1, p.proof(70)), (2322, 82, p.run_proof(2322, 82))]
for first, count, raw in proofs:
    told, _ = c.check_proof(raw, p.root)
    assert (told["first"], told["count"]) == (first, count)
    fields = c.cbor_map(raw)
    for key in fields:
        for change in (1, -1, 32, 1 << 20):
            if isinstance(fields[key], int) and fields[key] + change >= 0:
                assert refused(cbor({**fields, key: fields[key] + change}), p.root), (first, key, change)
        if isinstance(fields[key], bytes) and fields[key]:
            for size in (32, 36, 48, 1):
                assert refused(cbor({**fields, key: fields[key][:-size]}), p.root), (first, key, "short")
                assert refused(cbor({**fields, key: fields[key] + fields[key][-size:]}), p.root), (first, key, "long")
    assert refused(raw, p.shard_roots[told["shard"]])
    assert refused(raw, p.outer[-1][0][0])

# Two chunks; their node as one chunk of a smaller package, under its own root and under the true one.
chunks = [(bytes([i]) * 32, 100 + i) for i in range(2)]
two = Package(chunks)
node = two.shard_roots[0]
u64 = c.u64
for root in (two.root, node, c.blake3(b"\2" + node + u64(1) + u64(201))):
    assert refused(cbor({1: 1, 2: 1, 3: 1, 4: 1, 5: 201, 6: 0, 7: 0, 8: 1, 9: 201, 10: b"", 11: node, 12: 201, 13: b"", 14: b""}), root)
    assert refused(cbor({1: 1, 2: 3, 3: 1, 4: 1, 5: 201, 6: 0, 7: 0, 10: node + (201).to_bytes(4, "little"), 13: b"", 14: b"",
                         15: 1, 16: node + u64(1) + u64(201)}), root)
PY

# A stream's chunk proofs are checked by the same program.
"$STOQ" merkle prove tree/large --index 7 -o stream.proof
"$checker" stream.proof --root "$("$STOQ" merkle root tree/large)" --first 7 >said
[ "$(jq .offset said)" = "$("$STOQ" merkle prove tree/large --index 7 --json | jq .offset)" ] || fail "$(cat said)"

# The daemon writes the same; what cannot be proved is refused, and no file is left.
start A
on A prove "$id" --chunks 20-21 --data -o - | cmp - two.data || fail "the daemon proves otherwise"
stop A
refuses() {
    local code=$1
    shift
    exits "$code" on A prove "$id" "$@" -o refused
    [ ! -e refused ] || fail "a file was left: $*"
}
refuses 2 --chunk "$chunks"
says "no chunk $chunks"
refuses 2 --chunks "5-$chunks"
refuses 2 --chunks 5
refuses 2 --chunks 6-5
refuses 2 --shard "$shards"
refuses 2 --range 99999999-
refuses 2
refuses 2 --chunk 1 --shard 1
refuses 2 --chunk 1 --chunks 1-2
refuses 2 --path sub
refuses 2 --path empty
refuses 3 --path nosuch
refuses 2 --path x --range 3000-
exits 2 on A prove "$id" --chunk 1
exits 1 on A prove "$id" --chunk 1 -o two
exits 3 on B prove "$id" --chunk 1 -o refused
exits 2 on A prove "$(on A publish "$(mktemp -d "$TMP/none.XXXXXX")" --name none --version 1 -q)" --table -o refused

# A damaged chunk is not handed out as proved; lists alone still are.
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" A/store all
refuses 4 --chunks 20-21 --data
on A prove "$id" --chunks 20-21 -o lists -q
cmp lists two || fail "lists prove otherwise now"

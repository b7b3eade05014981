#!/usr/bin/env python3
"""Check a proof of stoq without stoq: written from docs/FORMATS.md sections 1, 2, 5, 6 and 7 and the BLAKE3
paper alone, to show that they suffice. Python 3 and nothing else.

usage: check_proof.py FILE --id ID      [--first N] [--count N] [--data DATA]   a proof file (section 6.2)
       check_proof.py FILE --root HEX   [--first N] [--count N] [--data DATA]   a bare proof (sections 6, 6.1)

Prints what is proved as one JSON object; exit code 4 with a sentence when nothing is. DATA are the bytes of the
chunks, where the proof file does not hold them. --first and --count are what the caller wants proved.
"""
import argparse
import json
import struct
import sys


class Bad(Exception):
    """Nothing is proved."""


def need(condition, sentence):
    if not condition:
        raise Bad(sentence)


# --- BLAKE3: paper section 2, hash mode, 32 bytes of output ---

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIXED = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
M, CHUNK_START, CHUNK_END, PARENT, ROOT = 0xFFFFFFFF, 1, 2, 4, 8


def compress(cv, block, counter, flags):
    m = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    v = [*cv, *IV[:4], counter & M, counter >> 32, len(block), flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(MIXED):
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            for word, r1, r2 in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                va = (va + vb + word) & M
                vd ^= va
                vd = (vd >> r1 | vd << 32 - r1) & M
                vc = (vc + vd) & M
                vb ^= vc
                vb = (vb >> r2 | vb << 32 - r2) & M
            v[a], v[b], v[c], v[d] = va, vb, vc, vd
        m = [m[i] for i in PERMUTATION]
    return tuple(x ^ y for x, y in zip(v[:8], v[8:]))


def tree_value(data, counter, root):
    if len(data) > 1024:
        left = split(-(-len(data) // 1024)) * 1024
        values = tree_value(data[:left], counter, 0) + tree_value(data[left:], counter + left // 1024, 0)
        return compress(IV, struct.pack("<16I", *values), 0, PARENT | root)
    cv, last = IV, max(0, len(data) - 1) // 64
    for i in range(last + 1):
        flags = (CHUNK_START if i == 0 else 0) | (CHUNK_END | root if i == last else 0)
        cv = compress(cv, data[64 * i : 64 * i + 64], counter, flags)
    return cv


def blake3(data):
    return struct.pack("<8I", *tree_value(data, 0, ROOT))


# --- section 1: CBOR, as much of it as proofs and manifests use ---


def cbor_item(data, at, depth=0):
    need(at < len(data) and depth <= 8, "CBOR ends too early or is nested too deeply")
    kind, n = data[at] >> 5, data[at] & 31
    at += 1
    if n >= 24:
        need(n <= 27, "CBOR of a kind that is refused")
        size = 1 << n - 24
        need(at + size <= len(data), "CBOR ends too early")
        n = int.from_bytes(data[at : at + size], "big")
        need(n >= (24, 256, 65536, 1 << 32)[size.bit_length() - 1], "a CBOR number is longer than it needs to be")
        at += size
    if kind == 0:
        return n, at
    if kind in (2, 3):
        need(n <= len(data) - at, "a CBOR string ends too early")
        raw = data[at : at + n]
        try:
            return (raw if kind == 2 else raw.decode("utf-8")), at + n
        except UnicodeDecodeError:
            raise Bad("a CBOR text is not UTF-8") from None
    need(kind in (4, 5) and n <= len(data) - at, "CBOR of a kind that is refused")
    items, pairs, last = [], {}, b""
    for _ in range(n):
        begin = at
        item, at = cbor_item(data, at, depth + 1)
        items.append(item)
        if kind == 5:
            need(isinstance(item, (int, str)) and data[begin:at] > last, "CBOR map keys do not ascend")
            last, (pairs[item], at) = data[begin:at], cbor_item(data, at, depth + 1)
    return (items if kind == 4 else pairs), at


def cbor_map(data):
    item, at = cbor_item(data, 0)
    need(isinstance(item, dict) and at == len(data), "not one CBOR map")
    return item


# --- section 2: text ids ---


def package_id(text):
    charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    need(text.startswith("stoq1") and len(text) == 64 and all(c in charset for c in text[5:]), "not a package id")
    symbols = [charset.index(c) for c in text[5:]]
    check = 1
    for v in [ord(c) >> 5 for c in "stoq"] + [0] + [ord(c) & 31 for c in "stoq"] + symbols:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ v
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= g if top >> i & 1 else 0
    need(check == 0x2BC830A3 and symbols[0] == 0, "a package id with a wrong checksum or version")
    bits = "".join(format(s, "05b") for s in symbols[1:-6])
    need(int(bits[256:], 2) == 0, "a package id with padding that is not zero")
    return int(bits[:256], 2).to_bytes(32, "big")


# --- section 5: leaves, nodes, shape. A node is (hash, chunks, bytes). ---

CHUNK_MAX = 262144


def u64(n):
    return struct.pack("<Q", n)


def split(n):
    """The largest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def inside_node(left, right):
    return blake3(b"\1" + left[0] + right[0]), 0, 0


def above_node(left, right):
    counts = u64(left[1]) + u64(left[2]) + u64(right[1]) + u64(right[2])
    return blake3(b"\4" + left[0] + right[0] + counts), left[1] + right[1], left[2] + right[2]


def top_of(n, a, leaves, siblings, join):
    """The top over n leaves, of which those from a on are known, with the siblings of section 6.1 in order."""
    siblings, b = list(siblings), a + len(leaves)
    before = []

    def walk(lo, hi):
        if hi <= a or lo >= b:
            need(siblings, "a list of siblings is too short")
            if hi <= a:
                before.append(siblings[0])
            return siblings.pop(0)
        if hi - lo == 1:
            return leaves[lo - a]
        middle = lo + split(hi - lo)
        return join(walk(lo, middle), walk(middle, hi))

    top = walk(0, n)
    need(not siblings, "a list of siblings is too long")
    return top, before


# --- section 6 and 6.1 ---


def entries(raw, form):
    size = struct.calcsize(form)
    need(isinstance(raw, bytes) and len(raw) % size == 0, "a list is not made of whole entries")
    return [struct.unpack_from(form, raw, at) for at in range(0, len(raw), size)]


def as_run(p):
    """A chunk proof in the words of section 6.1: one run of one chunk. Its siblings above are bottom up."""
    before = entries(p[10], "<32sI")
    need(isinstance(p[11], bytes) and len(p[11]) == 32 and 1 <= p[12] < 1 << 32, "a chunk that cannot be")
    need(p[7] < p[3], "a shard that the package does not have")
    lo, hi, down = 0, p[3], []
    while hi - lo > 1:
        middle = lo + split(hi - lo)
        down.append(p[7] >= middle)  # the sibling is on the left
        lo, hi = (middle, hi) if down[-1] else (lo, middle)
    above = entries(p[14], "<32sQQ")
    need(len(above) == len(down), "a list of siblings does not have the length that the shape asks for")
    left = [node for is_left, node in zip(down, reversed(above)) if is_left]
    right = [node for is_left, node in zip(reversed(down), above) if not is_left]
    return before + [(p[11], p[12])], left + right


def check_proof(raw, root, counts_wanted=None):
    """What a proof says, once it is known to lead to the root (and to have the manifest's counts)."""
    need(len(raw) <= 6 << 20, "longer than any proof")
    p = cbor_map(raw)
    need(p.get(1) == 1 and p.get(2) in (1, 2, 3), "not a proof of format version 1")
    keys = (1, 2, 3, 4, 5, 6, 7) + ((8, 9, 10, 11, 12, 13, 14) if p[2] == 1 else (10, 13, 14, 15, 16))
    need(tuple(p) == keys, "a key is missing or unknown")
    numbers = set(keys) - {10, 11, 13, 14, 16}
    need(all(isinstance(p[k], int) and p[k] <= 1 << 48 for k in numbers), "a number that cannot be")
    shards, chunks, size, first, shard = (p[k] for k in range(3, 8))
    if p[2] == 1:
        need(len(raw) <= 32768, "longer than any chunk proof")
        (kept, above), count, touched = as_run(p), 1, None
    else:
        kept, above, count, touched = entries(p[10], "<32sI"), entries(p[14], "<32sQQ"), p[15], entries(p[16], "<32sQQ")
        need(1 <= count <= 65536 and touched, "a run of no chunks, or of too many")
    counts = [(p[8], p[9])] if touched is None else [(c, b) for _, c, b in touched]
    need(shard + len(counts) <= shards, "more shards than the package has")
    need(all(1 <= c <= 512 for c, _ in counts), "a shard of too few or too many chunks")
    full = sum(c for c, _ in counts[:-1])
    need(full < len(kept) <= full + counts[-1][0], "entries do not fall into the shards")
    skipped = len(kept) - count
    need(0 <= skipped < counts[0][0], "the run does not begin in its first shard")
    if touched:
        need((p[2] == 3) == (len(counts) == 1 and count == len(kept) == counts[0][0]), "a run is no shard")
    need(all(1 <= length <= CHUNK_MAX for _, length in kept), "a chunk that is too short or too long")
    leaves, at = [], 0
    for i, (c, b) in enumerate(counts):
        here = kept[at : at + c]
        right = [] if i + 1 < len(counts) else [(h, 0, 0) for h, in entries(p[13], "<32s")]
        has, rest = sum(length for _, length in here), c - len(here)
        need(b == has if rest == 0 else rest <= b - has <= rest * CHUNK_MAX, "lengths do not add up to the shard's")
        made = [(blake3(b"\0" + digest + u64(length)), 0, 0) for digest, length in here]
        top = top_of(c, 0, made, right, inside_node)[0]
        need(touched is None or top[0] == touched[i][0], "a shard is not made of its chunks")
        leaves.append((blake3(b"\2" + top[0] + u64(c) + u64(b)), c, b))
        at += c
    need(all(c <= b <= c * CHUNK_MAX for _, c, b in above), "a sibling's counts cannot be")
    top, before = top_of(shards, shard, leaves, above, above_node)
    need(top[1:] == (chunks, size), "the counts do not add up to the package's")
    need(counts_wanted in (None, (shards, chunks, size)), "the manifest's counts are not those of its root")
    need(sum(node[1] for node in before) + skipped == first, "the run has another index than it says")
    need(blake3(b"\3" + u64(shards) + u64(chunks) + u64(size) + top[0]) == root, "it does not lead to the root")
    offset = sum(node[2] for node in before) + sum(length for _, length in kept[:skipped])
    return {"kind": ("chunk", "run", "shard")[p[2] - 1], "first": first, "count": count, "shard": shard,
            "offset": offset, "bytes": sum(length for _, length in kept[skipped:])}, kept[skipped:]


def check_data(run, data):
    at = 0
    for digest, length in run:
        need(blake3(data[at : at + length]) == digest, "the data are not the bytes that are proved")
        at += length
    need(at == len(data), "the data are longer or shorter than what is proved")


# --- section 6.2 ---


def check_file(raw, wanted_id):
    """What a proof file says, the chunks, and the data that it holds."""
    need(len(raw) >= 32, "no whole header")
    magic, version, manifest_n, proof_n, zero, data_n = struct.unpack_from("<8sIIIIQ", raw)
    need(magic == b"stoqprf1" and version == 1 and zero == 0, "not a proof file of format version 1")
    need(1 <= manifest_n <= 65536 and 1 <= proof_n <= 6 << 20, "a part that is too short or too long")
    need(len(raw) == 32 + manifest_n + proof_n + data_n, "longer or shorter than it says")
    end = 32 + manifest_n
    manifest, proof, data = raw[32:end], raw[end : end + proof_n], raw[end + proof_n :]
    need(blake3(manifest) == wanted_id, "the manifest is not that package's")
    fields = cbor_map(manifest)
    told, run = check_proof(proof, fields.get(15), tuple(fields.get(k) for k in (12, 13, 14)))
    if data:
        check_data(run, data)
    return told, run, data


def main():
    ap = argparse.ArgumentParser(usage=__doc__)
    ap.add_argument("file")
    trusted = ap.add_mutually_exclusive_group(required=True)
    trusted.add_argument("--id")
    trusted.add_argument("--root")
    ap.add_argument("--first", type=int)
    ap.add_argument("--count", type=int)
    ap.add_argument("--data")
    opt = ap.parse_args()
    try:
        with open(opt.file, "rb") as f:
            raw = f.read()
        told, run = (check_file(raw, package_id(opt.id)) if opt.id else check_proof(raw, bytes.fromhex(opt.root)))[:2]
        need(opt.first in (None, told["first"]), "it is about another chunk")
        need(opt.count in (None, told["count"]), "it is about another number of chunks")
        if opt.data is not None:
            with open(opt.data, "rb") as f:
                check_data(run, f.read())
    except Bad as bad:
        print("%s: %s" % (opt.file, bad), file=sys.stderr)
        sys.exit(4)
    print(json.dumps(told))


if __name__ == "__main__":
    main()

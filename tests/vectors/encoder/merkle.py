"""docs/FORMATS.md sections 5 and 6: shards, tree and proofs."""
import struct

from encoder.cbor import cbor
from encoder.common import blake3, blake3_many, hx, random_bytes, u32, u64


def make_chunk_list(kind, seed, n):
    """Invented chunks: the hashes are random bytes, lengths 1 + (first four bytes, u32le) % 262144; kind `full` sets
    bit 0 of every first byte, so that only the count closes a shard."""
    raw = bytearray(random_bytes(seed, 32 * n))
    chunks = []
    for i in range(n):
        if kind == "full":
            raw[32 * i] |= 1
        digest = bytes(raw[32 * i : 32 * i + 32])
        chunks.append((digest, 1 + struct.unpack("<I", digest[:4])[0] % 262144))
    return chunks


def cut_shards(chunks):
    shards = []
    open_shard = []
    for chunk in chunks:
        open_shard.append(chunk)
        n = len(open_shard)
        if n == 512 or n >= 32 and chunk[0][0] & 0x7F == 0:
            shards.append(open_shard)
            open_shard = []
    return shards + [open_shard] if open_shard else shards


def build_trees(trees, join):
    """All levels of many trees, bottom up; join turns a list of pairs into a list of parents."""
    levels = [[leaves] for leaves in trees]
    while any(len(tree[-1]) > 1 for tree in levels):
        pairs = []
        for tree in levels:
            row = tree[-1]
            pairs += [(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        parents = iter(join(pairs))
        for tree in levels:
            row = tree[-1]
            if len(row) > 1:
                odd = row[-1:] if len(row) % 2 else []
                tree.append([next(parents) for _ in range(len(row) // 2)] + odd)
    return levels


def siblings(levels, index):
    """(is it the left one, node) bottom up; a node without a sibling moves up and adds nothing."""
    out = []
    for row in levels[:-1]:
        other = index ^ 1
        if other < len(row):
            out.append((other < index, row[other]))
        index //= 2
    return out


def outline(levels, a, b):
    """The siblings of the leaves a .. b - 1 (section 6.1), left to right."""

    def walk(lo, hi):
        if hi <= a or lo >= b:
            height = (hi - lo - 1).bit_length()
            return [levels[height][lo >> height]]
        if hi - lo == 1:
            return []
        middle = lo + (1 << (hi - lo - 1).bit_length() - 1)
        return walk(lo, middle) + walk(middle, hi)

    return walk(0, len(levels[0]))


class Package:
    """Everything sections 5 and 6 say about a list of chunks."""

    def __init__(self, chunks):
        self.shards = cut_shards(chunks)
        self.chunks = len(chunks)
        self.bytes = sum(length for _, length in chunks)
        leaves = blake3_many([b"\0" + digest + u64(length) for digest, length in chunks])
        at = 0
        rows = []
        for shard in self.shards:
            rows.append(leaves[at : at + len(shard)])
            at += len(shard)
        self.inner = build_trees(rows, lambda pairs: blake3_many([b"\1" + a + b for a, b in pairs]))
        self.shard_roots = [levels[-1][0] for levels in self.inner]
        counts = [(len(shard), sum(length for _, length in shard)) for shard in self.shards]
        tops = blake3_many([b"\2" + root + u64(c) + u64(b) for root, (c, b) in zip(self.shard_roots, counts)])
        nodes = [(top, c, b) for top, (c, b) in zip(tops, counts)]
        self.shard_counts = counts
        self.outer = build_trees([nodes], self.join)[0] if nodes else []
        top = self.outer[-1][0][0] if nodes else blake3(b"")
        self.root = blake3(b"\3" + u64(len(self.shards)) + u64(self.chunks) + u64(self.bytes) + top)

    @staticmethod
    def join(pairs):
        hashes = blake3_many(
            [b"\4" + l[0] + r[0] + u64(l[1]) + u64(l[2]) + u64(r[1]) + u64(r[2]) for l, r in pairs]
        )
        return [(h, l[1] + r[1], l[2] + r[2]) for h, (l, r) in zip(hashes, pairs)]

    def height(self):
        if not self.shards:
            return 0
        return (max(len(s) for s in self.shards) - 1).bit_length() + (len(self.shards) - 1).bit_length()

    def shard_list(self):
        return b"".join(root + u64(c) + u64(b) for root, (c, b) in zip(self.shard_roots, self.shard_counts))

    def place(self, index):
        """Shard, position in it, byte offset."""
        offset = 0
        for k, shard in enumerate(self.shards):
            if index < len(shard):
                return k, index, offset + sum(length for _, length in shard[:index])
            index -= len(shard)
            offset += self.shard_counts[k][1]
        raise IndexError(index)

    def proof(self, index):
        k, at, _ = self.place(index)
        shard = self.shards[k]
        return cbor({
            1: 1, 2: 1, 3: len(self.shards), 4: self.chunks, 5: self.bytes, 6: index, 7: k,
            8: self.shard_counts[k][0], 9: self.shard_counts[k][1],
            10: chunk_list(shard[:at]),
            11: shard[at][0], 12: shard[at][1],
            13: b"".join(node for is_left, node in siblings(self.inner[k], at) if not is_left),
            14: b"".join(h + u64(c) + u64(b) for _, (h, c, b) in siblings(self.outer, k)),
        })


    def run_proof(self, first, count):
        k, at, _ = self.place(first)
        last, last_at, _ = self.place(first + count - 1)
        entries = [chunk for shard in self.shards[k:last] for chunk in shard] + self.shards[last][: last_at + 1]
        assert len(entries) == at + count
        is_shard = k == last and len(entries) == count == len(self.shards[k])
        return cbor({
            1: 1, 2: 3 if is_shard else 2, 3: len(self.shards), 4: self.chunks, 5: self.bytes, 6: first, 7: k,
            10: chunk_list(entries),
            13: b"".join(outline(self.inner[last], 0, last_at + 1)),
            14: b"".join(h + u64(c) + u64(b) for h, c, b in outline(self.outer, k, last + 1)),
            15: count,
            16: self.shard_list()[48 * k : 48 * (last + 1)],
        })


def chunk_list(chunks):
    return b"".join(digest + u32(length) for digest, length in chunks)


TREES = [("random", 100 + n, n) for n in (0, 1, 2, 3, 31, 32, 33, 511, 512, 513, 4097)]
TREES += [("full", 200 + n, n) for n in (513, 1024, 1025, 3000)]


def make_merkle():
    lines = [
        "# Section 5. tree KIND SEED N SHARDS BYTES HEIGHT ROOT; shard KIND SEED N K CHUNKS BYTES SHARD_ROOT;",
        "# list KIND SEED N SHARD_LIST. Chunk i of N has hash bytes 32i .. 32i+31 of `random SEED 32N` (KIND full:",
        "# bit 0 of its first byte set) and length 1 + (u32le of the hash's first four bytes) % 262144.",
    ]
    for kind, seed, n in TREES:
        p = Package(make_chunk_list(kind, seed, n))
        lines.append("tree %s %d %d %d %d %d %s" % (kind, seed, n, len(p.shards), p.bytes, p.height(), p.root.hex()))
        for k, (root, (chunks, size)) in enumerate(zip(p.shard_roots, p.shard_counts)):
            lines.append("shard %s %d %d %d %d %d %s" % (kind, seed, n, k, chunks, size, root.hex()))
        lines.append("list %s %d %d %s" % (kind, seed, n, hx(p.shard_list())))
    return lines


def make_proofs():
    lines = [
        "# Section 6. proof KIND SEED N INDEX OFFSET HASH LENGTH ROOT PROOF: of chunk INDEX; trees as in merkle.txt.",
        "# Section 6.1. run KIND SEED N FIRST COUNT OFFSET BYTES ROOT PROOF, and shard (FIRST and COUNT are one shard's).",
        "# Section 6.2. file ID FIRST COUNT OFFSET BYTES FILE: a proof file; nodata: the same without the data.",
    ]
    wanted = [
        ("random", 1, [0]), ("random", 2, [0, 1]), ("random", 3, [0, 1, 2]), ("random", 33, [0, 16, 31, 32]),
        ("random", 513, [0, 100, 511, 512]), ("random", 4097, [0, 1, 2048, 3000, 4095, 4096]),
        ("full", 1025, [511, 512, 1024]),
    ]
    for kind, n, indices in wanted:
        seed = (200 if kind == "full" else 100) + n
        chunks = make_chunk_list(kind, seed, n)
        p = Package(chunks)
        for index in indices:
            digest, length = chunks[index]
            offset = p.place(index)[2]
            assert offset == sum(size for _, size in chunks[:index])
            proof = p.proof(index)
            assert len(proof) <= 32768
            lines.append(
                "proof %s %d %d %d %d %s %d %s %s"
                % (kind, seed, n, index, offset, digest.hex(), length, p.root.hex(), proof.hex())
            )
    return lines + make_runs() + make_proof_files()


def make_runs():
    lines = []
    wanted = [
        ("random", 1, [(0, 1)]), ("random", 3, [(0, 3), (0, 2), (1, 2), (1, 1)]), ("random", 33, [(5, 20), (30, 3)]),
        ("random", 513, [(100, 200), (450, 63)]), ("full", 1025, [(500, 40), (1024, 1)]),
        ("random", 4097, [(0, 1), (4096, 1), (2000, 400)]),
    ]
    for kind, n, runs in wanted:
        seed = (200 if kind == "full" else 100) + n
        chunks = make_chunk_list(kind, seed, n)
        p = Package(chunks)
        size = lambda some: sum(length for _, length in some)
        row = lambda word, first, count, proof: "%s %s %d %d %d %d %d %d %s %s" % (
            word, kind, seed, n, first, count, size(chunks[:first]), size(chunks[first : first + count]), p.root.hex(),
            proof.hex())
        whole = [(sum(map(len, p.shards[:k])), len(shard)) for k, shard in enumerate(p.shards)]
        for first, count in dict.fromkeys(runs + [whole[len(whole) // 2]]):
            word = "shard" if (first, count) in whole else "run"
            lines.append(row(word, first, count, p.run_proof(first, count)))
    return lines


def proof_file(manifest, proof, data=b""):
    return b"stoqprf1" + u32(1) + u32(len(manifest)) + u32(len(proof)) + u32(0) + u64(len(data)) + manifest + proof + data


def make_proof_files():
    """A package of invented bytes: 110 chunks of 1 to 40 bytes, the first one standing for the table."""
    from encoder.manifests import base_manifest

    parts, at, raw = [], 0, random_bytes(68, 3000)
    for i in range(110):
        size = 1 + (i * 29) % 40
        parts.append(raw[at : at + size])
        at += size
    chunks = [(digest, len(part)) for digest, part in zip(blake3_many(parts), parts)]
    p = Package(chunks)
    manifest = cbor(base_manifest(
        k2="proved", k9=len(parts[0]), k11=1, k12=len(p.shards), k13=len(parts), k14=p.bytes, k15=p.root))
    lines = []
    shard = p.place(60)[0]
    shard_first = sum(map(len, p.shards[:shard]))
    for first, count, proof in [
        (0, 1, p.proof(0)), (60, 1, p.proof(60)), (20, 75, p.run_proof(20, 75)), (50, 9, p.run_proof(50, 9)),
        (shard_first, len(p.shards[shard]), p.run_proof(shard_first, len(p.shards[shard]))),
    ]:
        data = b"".join(parts[first : first + count])
        head = "%s %d %d %d %d" % (blake3(manifest).hex(), first, count, sum(map(len, parts[:first])), len(data))
        lines.append("file %s %s" % (head, proof_file(manifest, proof, data).hex()))
        lines.append("nodata %s %s" % (head, proof_file(manifest, proof).hex()))
    return lines

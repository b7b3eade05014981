#!/usr/bin/env python3
"""Make the byte vectors of docs/FORMATS.md.

Written from that document and from the documents it cites, sharing no code with stoq, so that a
mistake has to be made twice to pass. Needs Python 3 alone, and on the path: b3sum, xxhsum.

    make_vectors.py            write tests/vectors/*.txt
    make_vectors.py --check    make them again and compare; exit 1 when one differs
    make_vectors.py --corpus   write seeds for the fuzz targets of src/wire and src/sign

Each file is lines of fields separated by single spaces; bytes are hexadecimal, `-` for none.
`random SEED N` inputs are outputs of SplitMix64 (Vigna's splitmix64.c), started at SEED, each
as 8 little-endian bytes, cut to N bytes.
"""
import base64
import hashlib
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MASK64 = (1 << 64) - 1


def random_bytes(seed, n):
    out = bytearray()
    state = seed
    while len(out) < n:
        state = (state + 0x9E3779B97F4A7C15) & MASK64
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
        z ^= z >> 31
        out += struct.pack("<Q", z)
    return bytes(out[:n])


def u64(x):
    return struct.pack("<Q", x)


def u32(x):
    return struct.pack("<I", x)


def hx(b):
    return b.hex() if b else "-"


# ---- Hashes, by programs that are not ours. --------------------------------------------------


def run_on_files(command, inputs, parse):
    """One process for many inputs: each is a small file in a scratch folder."""
    if not inputs:
        return []
    out = []
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        for start in range(0, len(inputs), 1000):
            batch = inputs[start : start + 1000]
            names = []
            for i, data in enumerate(batch):
                name = "%06d" % (start + i)
                with open(os.path.join(folder, name), "wb") as f:
                    f.write(data)
                names.append(name)
            text = subprocess.run(command + names, cwd=folder, check=True, capture_output=True).stdout
            rows = [parse(line) for line in text.decode().splitlines() if line.strip()]
            assert len(rows) == len(batch), (command, len(rows), len(batch))
            out += rows
    return out


KNOWN = {}  # trees are made once and looked at twice


def blake3_many(inputs):
    new = list(dict.fromkeys(data for data in inputs if data not in KNOWN))
    command = ["b3sum", "--no-names", "--num-threads", "1"]
    KNOWN.update(zip(new, run_on_files(command, new, lambda line: bytes.fromhex(line.strip()))))
    return [KNOWN[data] for data in inputs]


def blake3(data):
    return blake3_many([data])[0]


def xxh3_128_many(inputs):
    return run_on_files(["xxhsum", "-q", "-H2"], inputs, lambda line: bytes.fromhex(line.split()[0]))


def xxh3_64_many(inputs):
    """xxhsum writes `XXH3 (NAME) = HEX`; the number's usual, big-endian writing."""
    return run_on_files(
        ["xxhsum", "-q", "-H3"], inputs, lambda line: int(line.split("=")[1].strip().removeprefix("XXH3_"), 16)
    )


# ---- Section 1: CBOR. ---------------------------------------------------------------------------


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise ValueError(value)


def cbor(x):
    if x is False or x is True:
        return b"\xf5" if x else b"\xf4"
    if isinstance(x, int):
        return head(0, x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        raw = x.encode()
        return head(3, len(raw)) + raw
    if isinstance(x, list):
        return head(4, len(x)) + b"".join(cbor(item) for item in x)
    if isinstance(x, dict):
        pairs = sorted((cbor(k), cbor(v)) for k, v in x.items())
        return head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    raise TypeError(type(x))


# RFC 8949, Appendix A: the rows that our subset has, value beside encoding.
APPENDIX_A = [
    (0, "00"), (1, "01"), (10, "0a"), (23, "17"), (24, "1818"), (25, "1819"), (100, "1864"), (1000, "1903e8"),
    (1000000, "1a000f4240"), (1000000000000, "1b000000e8d4a51000"), (18446744073709551615, "1bffffffffffffffff"),
    (False, "f4"), (True, "f5"), (b"", "40"), (b"\x01\x02\x03\x04", "4401020304"), ("", "60"), ("a", "6161"),
    ("IETF", "6449455446"), ('"\\', "62225c"), ("\u00fc", "62c3bc"), ("\u6c34", "63e6b0b4"),
    ("\U00010151", "64f0908591"), ([], "80"), ([1, 2, 3], "83010203"), ([1, [2, 3], [4, 5]], "8301820203820405"),
    (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"), ({}, "a0"),
    ({1: 2, 3: 4}, "a201020304"), ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    (["a", {"b": "c"}], "826161a161626163"),
    ({"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}, "a56161614161626142616361436164614461656145"),
]

# The same appendix: rows outside our subset, and then other ways to be wrong.
APPENDIX_A_REFUSED = """
c249010000000000000000 3bffffffffffffffff c349010000000000000000 20 29 3863 3903e7 f90000 f98000 f93c00
fb3ff199999999999a f93e00 f97bff fa47c35000 fa7f7fffff fb7e37e43c8800759c f90001 f90400 f9c400 fbc010666666666666 f97c00
f97e00 f9fc00 fa7f800000 fa7fc00000 faff800000 fb7ff0000000000000 fb7ff8000000000000 fbfff0000000000000 f6 f7 f0 f8ff
c074323031332d30332d32315432303a30343a30305a c11a514b67b0 c1fb41d452d9e200000000 d74401020304 d818456449455446
d82076687474703a2f2f7777772e6578616d706c652e636f6d 5f42010243030405ff 7f657374726561646d696e67ff 9fff
9f018202039f0405ffff 9f01820203820405ff 83018202039f0405ff 83019f0203ff820405 bf61610161629f0203ffff
826161bf61626163ff bf6346756ef563416d7421ff
""".split()

OTHER_REFUSED = [
    ("1800", "0 in two bytes"), ("1817", "23 in two bytes"), ("1900ff", "255 in three bytes"),
    ("1a0000ffff", "65535 in five bytes"), ("1b00000000ffffffff", "2^32-1 in nine bytes"),
    ("580161", "length 1 in two bytes"), ("780161", "text length 1 in two bytes"), ("980100", "count 1 in two bytes"),
    ("b8010000", "pair count 1 in two bytes"), ("1c", "reserved argument"), ("1f", "reserved argument"),
    ("a201020102", "equal keys"), ("a203040102", "descending keys"), ("a2616201616102", "descending text keys"),
    ("a262616101616202", "longer key first"), ("a18000", "array as key"), ("a1a000", "map as key"),
    ("61ff", "not UTF-8"), ("62c080", "overlong UTF-8"), ("63eda080", "surrogate"), ("64f4908080", "past U+10FFFF"),
    ("61c3", "cut UTF-8"), ("818181818181818181" + "80", "nesting of 10"), ("8181818181818181" + "80", "nesting of 9"),
    ("a101a101a101a101a101a101a101a101a0", "maps nested 9 deep"), ("0000", "a byte after the item"),
    ("f8", "simple value of two bytes"), ("f814", "false in two bytes"), ("ff", "break alone"),
]


def make_cbor():
    lines = [
        "# Section 1. uint VALUE ITEM, bytes VALUE ITEM, text VALUE ITEM, bool VALUE ITEM; item ITEM: a container;",
        "# refused ITEM: malformed (after the appendix: RFC 8949 Appendix A); cut ITEM: every prefix of it is truncated.",
    ]
    extra = [255, 256, 65535, 65536, 4294967295, 4294967296, bytes(23), bytes(24), bytes(255), bytes(256), "x" * 300,
             "\ud7ff\ue000\U0010ffff\u0800\u007f\u0080\u07ff\uffff\U00010000",
             [[[[[[[[]]]]]]]], {0: {1: {2: {3: {4: {5: {6: {}}}}}}}},
             {"b": 1, "aa": 2, "a": 3, "": 4}, {23: False, 24: True, 255: b"", 256: "", 65536: [], 10: {}}]
    for value, want in APPENDIX_A:
        assert cbor(value) == bytes.fromhex(want), (value, want)
    for value in [v for v, _ in APPENDIX_A] + extra:
        if isinstance(value, bool):
            lines.append("bool %d %s" % (value, cbor(value).hex()))
        elif isinstance(value, int):
            lines.append("uint %d %s" % (value, cbor(value).hex()))
        elif isinstance(value, bytes):
            lines.append("bytes %s %s" % (hx(value), cbor(value).hex()))
        elif isinstance(value, str):
            lines.append("text %s %s" % (hx(value.encode()), cbor(value).hex()))
        else:
            lines.append("item %s" % cbor(value).hex())
    lines += ["refused %s" % item for item in APPENDIX_A_REFUSED]
    lines += ["refused %s" % item for item, _ in OTHER_REFUSED]
    cut = {1: "text", 2: b"bytes", 3: [1, 24, 256, 65536, 1 << 32, "\u6c34"], 4: {"a": True, "b": {}}}
    lines.append("cut %s" % cbor(cut).hex())
    return lines


# ---- Section 2: ids. ----------------------------------------------------------------------------

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def polymod(values):
    """As BIP 173 gives it."""
    chk = 1
    for value in values:
        top = chk >> 25
        chk = (chk & 0x1FFFFFF) << 5 ^ value
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            chk ^= g if top >> i & 1 else 0
    return chk


def bech32m(hrp, symbols, constant=0x2BC830A3):
    expanded = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    check = polymod(expanded + symbols + [0] * 6) ^ constant
    return hrp + "1" + "".join(CHARSET[s] for s in symbols + [check >> 5 * (5 - i) & 31 for i in range(6)])


def id_symbols(payload, version=0, padding=0):
    bits = "".join("{:08b}".format(byte) for byte in payload)
    missing = -len(bits) % 5
    bits += "{:0{}b}".format(padding, missing) if missing else ""
    return [version] + [int(bits[i : i + 5], 2) for i in range(0, len(bits), 5)]


def make_ids():
    lines = ["# Section 2. id PREFIX PAYLOAD TEXT; refused WHY TEXT (as a package id; `algorithm`: as a content address)."]
    payloads = [bytes(32), b"\xff" * 32, bytes(range(32)), b"\x80" + bytes(31), bytes(31) + b"\x01"]
    payloads += [random_bytes(seed, 32) for seed in range(3)]
    for hrp in ("stoq", "peer", "key"):
        for payload in payloads:
            lines.append("id %s %s %s" % (hrp, payload.hex(), bech32m(hrp, id_symbols(payload))))
    for i, payload in enumerate(payloads):
        payload = bytes([1 + i % 2]) + payload
        lines.append("id data %s %s" % (payload.hex(), bech32m("data", id_symbols(payload))))
    some = random_bytes(9, 32)
    good = bech32m("stoq", id_symbols(some))
    assert len(good) == 64 and good.startswith("stoq1q")
    refused = [
        ("version", bech32m("stoq", id_symbols(some, version=1))),
        ("version", bech32m("stoq", id_symbols(some, version=31))),
        ("padding", bech32m("stoq", id_symbols(some, padding=1))),
        ("padding", bech32m("stoq", id_symbols(some, padding=8))),
        ("length", bech32m("stoq", id_symbols(some[:31]))),
        ("length", bech32m("stoq", id_symbols(some + b"\0"))),
        ("length", bech32m("stoq", id_symbols(some) + [0])),
        ("length", bech32m("stoq", [0])),
        ("length", bech32m("stoq", [])),
        ("prefix", bech32m("peer", id_symbols(some))),
        ("prefix", bech32m("sto", id_symbols(some))),
        ("prefix", bech32m("stoqq", id_symbols(some))),
        ("prefix", good[5:]),
        ("checksum", bech32m("stoq", id_symbols(some), constant=1)),
        ("checksum", good[:-1] + ("q" if good[-1] != "q" else "p")),
        ("case", good[:10] + good[10:].upper()),
        ("case", "Stoq" + good[4:]),
        ("character", good[:20] + "b" + good[21:]),
        ("character", good[:20] + "i" + good[21:]),
        ("algorithm", bech32m("data", id_symbols(b"\0" + some))),
        ("algorithm", bech32m("data", id_symbols(b"\3" + some))),
        ("algorithm", bech32m("data", id_symbols(b"\4" + some))),
        ("algorithm", bech32m("data", id_symbols(b"\5" + some))),
    ]
    return lines + ["refused %s %s" % row for row in refused]


# ---- Section 4: chunks. --------------------------------------------------------------------------

GEAR = [int.from_bytes(hashlib.md5(bytes([i]) * 64).digest()[:8], "big") for i in range(256)]
MASKS = dict(
    zip(
        range(5, 26),
        [0x0000000001804110, 0x0000000001803110, 0x0000000018035100, 0x0000001800035300, 0x0000019000353000,
         0x0000590003530000, 0x0000D90003530000, 0x0000D90103530000, 0x0000D90303530000, 0x0000D90313530000,
         0x0000D90F03530000, 0x0000D90303537000, 0x0000D90703537000, 0x0000D90707537000, 0x0000D91707537000,
         0x0000D91747537000, 0x0000D91767537000, 0x0000D93767537000, 0x0000D93777537000, 0x0000D93777577000,
         0x0000DB3777577000],
    )
)
PROFILE_1 = (16384, 65536, 262144, 2)
RUN_BYTES_MIN = 16384


def log2_rounded(x):
    """round(log2(x)) in integers: no power of two is half way between two rows."""
    row = x.bit_length() - 1
    return row + (x * x >= 1 << 2 * row + 1)


def chunk_length(data, start, end, low, average, high, level):
    rest = end - start
    if rest <= low:
        return rest
    size = min(rest, high)
    centre = min(average, size)
    row = log2_rounded(average)
    value = 0
    for i in range(low // 2, size // 2):
        mask = MASKS[row + level] if i < centre // 2 else MASKS[row - level]
        value = (value << 2) + (GEAR[data[start + 2 * i]] << 1) & MASK64
        if value & mask << 1 & MASK64 == 0:
            return 2 * i
        value = value + GEAR[data[start + 2 * i + 1]] & MASK64
        if value & mask == 0:
            return 2 * i + 1
    return size


def chunk_run(data, start, end, parameters):
    lengths = []
    while start < end:
        lengths.append(chunk_length(data, start, end, *parameters))
        start += lengths[-1]
    return lengths


def chunk_package(data, table_bytes, sizes):
    """Profile 1: the table, every file of T bytes or more, and what lies between are runs of their own."""
    runs = [table_bytes]
    small = 0
    for size in sizes:
        if size >= RUN_BYTES_MIN:
            runs += [small, size]
            small = 0
        else:
            small += size
    runs.append(small)
    lengths = []
    start = 0
    for run in runs:
        lengths += chunk_run(data, start, start + run, PROFILE_1)
        start += run
    assert start == len(data)
    return lengths


def make_input(kind, seed, n):
    if kind == "zeros":
        return bytes(n)
    if kind == "words":  # few byte values, as text has: random bytes & 0x0f | 0x60
        return bytes(b & 15 | 96 for b in random_bytes(seed, n))
    return random_bytes(seed, n)


def joined(numbers):
    return ",".join(str(x) for x in numbers) if numbers else "-"


def make_chunks():
    lines = [
        "# Section 4. gear I VALUE (numbers in hexadecimal);",
        "# lengths MIN AVERAGE MAX LEVEL KIND SEED N LENGTHS: one run; KIND random, zeros, or words (each random",
        "# byte & 0x0f | 0x60); profile1 SEED TABLE_BYTES SIZES LENGTHS: a package stream of random bytes.",
    ]
    lines += ["gear %d %016x" % (i, GEAR[i]) for i in (0, 1, 2, 127, 128, 254, 255)]
    cases = []
    for level in range(4):
        cases += [((64, 256, 1024, level), "random", 1, 20000), ((4096, 16384, 65535, level), "random", 2, 300000)]
        cases += [((65, 257, 1025, level), "random", 3, 9999), ((4097, 16385, 65535, level), "words", 4, 200001)]
    for n in (0, 1, 2, 63, 64, 65, 66, 255, 256, 257, 1023, 1024, 1025, 1026, 2049):
        cases.append(((64, 256, 1024, 1), "random", 5, n))
        cases.append(((64, 256, 1024, 1), "zeros", 0, n))
    cases += [
        (PROFILE_1, "random", 6, 1500000), (PROFILE_1, "zeros", 0, 600000), (PROFILE_1, "words", 7, 500001),
        ((64, 64 * 4, 64 * 16, 2), "words", 8, 10001), ((64, 6000, 65536, 2), "random", 9, 60001),
        ((1000, 5792, 10001, 1), "random", 10, 50000), ((1000, 5793, 10001, 1), "random", 10, 50000),
        ((256, 256, 1024, 0), "random", 11, 5000), ((300, 1024, 1024, 3), "random", 12, 9000),
        ((1001, 1001, 1025, 0), "random", 13, 9001), ((1048576, 4194304, 16777216, 3), "random", 14, 1100000),
    ]
    for parameters, kind, seed, n in cases:
        lengths = chunk_run(make_input(kind, seed, n), 0, n, parameters)
        assert sum(lengths) == n
        lines.append("lengths %d %d %d %d %s %d %d %s" % (*parameters, kind, seed, n, joined(lengths)))
    packages = [
        (20, 0, []), (21, 3, []), (22, 100, [0]), (23, 100, [16383]), (24, 100, [16384]), (25, 16384, [1, 2, 3]),
        (26, 300, [10000, 10000, 10000, 20000, 5, 0, 16384, 16383, 7]), (27, 20000, [70000, 70000, 100, 50000, 30000]),
        (28, 500, [0, 0, 400000, 0, 12]), (29, 40000, [8000] * 30),
    ]
    for seed, table_bytes, sizes in packages:
        lengths = chunk_package(random_bytes(seed, table_bytes + sum(sizes)), table_bytes, sizes)
        lines.append("profile1 %d %d %s %s" % (seed, table_bytes, joined(sizes), joined(lengths)))
    return lines


# ---- Sections 5 and 6: tree and proofs. -----------------------------------------------------------


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


def chunk_list(chunks):
    return b"".join(digest + u32(length) for digest, length in chunks)


TREES = [("random", 100 + n, n) for n in (0, 1, 2, 3, 31, 32, 33, 511, 512, 513, 4097)]
TREES += [("full", 200 + n, n) for n in (513, 1024, 1025, 3000)]


def make_merkle():
    lines = [
        "# Section 5. tree KIND SEED N SHARDS BYTES HEIGHT ROOT; shard KIND SEED N K CHUNKS BYTES SHARD_ROOT; list KIND SEED N",
        "# SHARD_LIST. Chunk i of N has hash bytes 32i .. 32i+31 of `random SEED 32N` (KIND full: bit 0 of the hash's first",
        "# byte set) and length 1 + (u32le of the hash's first four bytes) % 262144.",
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
        "# Section 6. proof KIND SEED N INDEX OFFSET HASH LENGTH ROOT PROOF: of chunk INDEX of the tree made as in merkle.txt.",
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
    return lines




def counting(n):
    """The input of the official BLAKE3 vectors: 0, 1, ... 250, 0, ..."""
    return bytes(i % 251 for i in range(n))


def make_hash():
    lines = ["# Section 2. ALGORITHM N DIGEST: the input is n bytes 0, 1, ... 250, 0, ...; xxh3-64 as a number."]
    lengths = [0, 1, 3, 4, 8, 9, 16, 17, 63, 64, 65, 128, 129, 240, 241, 1023, 1024, 1025, 2048, 2049, 4096, 4097,
               31744, 102400]
    inputs = [counting(n) for n in lengths]
    digests = {
        "blake3": blake3_many(inputs),
        "sha3-256": [hashlib.sha3_256(d).digest() for d in inputs],
        "sha256": [hashlib.sha256(d).digest() for d in inputs],
        "xxh3-128": xxh3_128_many(inputs),
        "sha512": [hashlib.sha512(d).digest() for d in inputs],
    }
    for name, rows in digests.items():
        for n, digest in zip(lengths, rows):
            lines.append("%s %d %s" % (name, n, digest.hex()))
    for n, value in zip(lengths, xxh3_64_many(inputs)):
        lines.append("xxh3-64 %d %d" % (n, value))
    return lines


# ---- Section 3: file table. ------------------------------------------------------------------------


def entry(path, kind, last):
    return cbor([path, kind, last])


def table_of(entries):
    return b"".join(entry(*e) for e in sorted(entries, key=lambda e: e[0]))


TABLES = {
    "empty": [],
    "one": [(b"hello.txt", 0, 12)],
    "tree": [
        (b"bin", 2, 0), (b"bin/run", 1, 70000), (b"bin/sh", 3, b"run"), (b"doc", 2, 0), (b"doc/a", 0, 0),
        (b"doc/b", 0, 23), (b"doc/c", 0, 24), (b"doc/d", 0, 65536), (b"doc/e", 0, 1 << 32), (b"empty", 2, 0),
    ],
    # `-` and `.` sort before `/`, so what is below a directory need not follow it.
    "order": [
        (b"a", 2, 0), (b"a!", 2, 0), (b"a!/x", 0, 1), (b"a-b", 0, 2), (b"a.b", 2, 0), (b"a.b/x", 0, 3), (b"a/x", 0, 4),
        (b"a/x.y", 0, 5), (b"a0", 0, 6), (b"b", 2, 0), (b"b/c", 2, 0), (b"b/c/d", 2, 0), (b"b/c/d/e", 3, b"/etc/passwd"),
        (b"b/c/d/f", 3, b"../../../../outside"),
    ],
    "bytes": [
        (b"\x01", 0, 1), (b" ", 0, 1), (b"...", 0, 1), (b".hidden", 2, 0), (b".hidden/..x", 0, 1), (b"\\", 0, 1),
        (b"caf\xc3\xa9", 0, 1), (b"caf\xe9", 0, 1), (b"new\nline", 3, b"\xff"), (b"\xff" * 255, 0, 1),
    ],
    "long": [
        (b"/".join([b"d" * 255] * n), 2, 0) for n in range(1, 16)
    ] + [(b"/".join([b"d" * 255] * 15 + [b"e" * 255, b""])[:-1], 2, 0), (b"link", 3, b"t" * 4095)],
}


def make_tables():
    lines = [
        "# Section 3. table NAME ENTRIES CONTENT_BYTES TABLE; entry NAME PATH KIND SIZE TARGET: those of that table, in order;",
        "# refused WHY TABLE: malformed; cut TABLE: ends inside an entry.",
    ]
    for name, entries in TABLES.items():
        for path, kind, last in sorted(entries, key=lambda e: e[0]):
            size, target = (0, last) if kind == 3 else (last, b"")
            lines.append("entry %s %s %d %d %s" % (name, path.hex(), kind, size, hx(target)))
        content = sum(last for _, kind, last in entries if kind < 2)
        lines.append("table %s %d %d %s" % (name, len(entries), content, hx(table_of(entries))))
    d = entry(b"d", 2, 0)
    bad_paths = [b"", b"/", b"/a", b"d/", b"d//a", b".", b"..", b"d/.", b"d/..", b"d/../a", b"a\0", b"d/\0a", b"x" * 256]
    bad_paths += [b"d/" + b"x" * 256, b"../a", b"./a"]
    refused = [("path", (entry(path, 0, 1) if path < b"d" else d + entry(path, 0, 1))) for path in bad_paths]
    long = b"/".join([b"d" * 255] * 16)
    parents = b"".join(entry(b"/".join([b"d" * 255] * n), 2, 0) for n in range(1, 16))
    refused += [
        ("path", parents + entry(long, 2, 0) + entry(long + b"/x", 0, 1)),  # 4097 bytes
        ("kind", entry(b"a", 4, 0)),
        ("kind", entry(b"a", 1 << 40, 0)),
        ("size", entry(b"a", 2, 1)),
        ("size", entry(b"a", 0, b"1")),
        ("target", entry(b"a", 3, 0)),
        ("target", entry(b"a", 3, b"")),
        ("target", entry(b"a", 3, b"x\0y")),
        ("target", entry(b"a", 3, b"x" * 4096)),
        ("order", entry(b"a", 0, 1) + entry(b"a", 0, 1)),
        ("order", entry(b"b", 0, 1) + entry(b"a", 0, 1)),
        ("order", d + entry(b"d/a", 0, 1) + entry(b"d", 2, 0)),
        ("order", entry(b"ab", 0, 1) + entry(b"a", 0, 1)),
        ("parent", entry(b"d/a", 0, 1)),
        ("parent", entry(b"d", 0, 1) + entry(b"d/a", 0, 1)),
        ("parent", entry(b"d", 1, 1) + entry(b"d/a", 0, 1)),
        ("parent", entry(b"d", 3, b"/tmp") + entry(b"d/a", 0, 1)),
        ("parent", d + entry(b"d/e/f", 0, 1)),
        ("parent", entry(b"a", 2, 0) + entry(b"ab/c", 0, 1)),
        ("parent", entry(b"a", 2, 0) + entry(b"a-", 2, 0) + entry(b"a-/x", 0, 1) + entry(b"a0/x", 0, 1)),
        ("form", cbor([b"a", 0])),
        ("form", cbor([b"a", 0, 1, 1])),
        ("form", cbor(["a", 0, 1])),
        ("form", cbor({0: b"a", 1: 0, 2: 1})),
        ("form", cbor(b"a")),
        ("form", bytes.fromhex("9f41610001ff")),
        ("form", bytes.fromhex("834161001801")),
        ("form", bytes.fromhex("83416100f6")),
        ("form", bytes.fromhex("8341610020")),
    ]
    lines += ["refused %s %s" % (why, table.hex()) for why, table in refused]
    whole = table_of(TABLES["tree"])
    lines += ["cut %s" % whole[:n].hex() for n in (1, 2, 5, 6, 7, 16, len(whole) - 1)]
    return lines


# ---- Section 7: manifest. ------------------------------------------------------------------------


def base_manifest(**change):
    m = {1: 1, 2: "hello", 3: "1.0", 8: 1, 9: 13, 11: 1, 12: 1, 13: 2, 14: 25, 15: random_bytes(70, 32)}
    m.update({int(k[1:]): v for k, v in change.items()})
    return {k: v for k, v in m.items() if v is not None}


EMPTY_ROOT = blake3(b"\3" + u64(0) * 3 + blake3(b""))
MANIFESTS = {
    "least": base_manifest(),
    "empty": base_manifest(k9=0, k11=0, k12=0, k13=0, k14=0, k15=EMPTY_ROOT),
    "full": base_manifest(
        k2="lib+stuff_2.x-y", k3="2:1.0~rc1+dfsg-\u00fc", k4="A description.\nOf two lines: \u6c34.", k5="Apache-2.0",
        k6={"b": "2", "aa": "", "a": "1", "\u00fc": "x" * 4096},
        k7=[["a", ""], ["a", ">= 1"], ["b", "", random_bytes(71, 32)], ["b-c", "< 2~ & > 1"], ["b0", "= 1", bytes(32)]],
        k10=[3, random_bytes(72, 32)], k9=4242, k11=77, k12=3, k13=600, k14=54321000,
    ),
    "sha3": base_manifest(k10=[2, random_bytes(73, 32)]),
    "sha512": base_manifest(k10=[5, random_bytes(74, 64)]),
    "limits": base_manifest(
        k2="0" + "z" * 127, k3="v" * 128, k4="d" * 4096, k5="l" * 256, k6={"k%063d" % i: "v" for i in range(64)},
        k7=[["p%03d" % i, "r" * 128] for i in range(256)], k11=1 << 24, k12=1 << 21, k13=1 << 30, k14=1 << 48,
        k9=1 << 48,
    ),
    "edges": base_manifest(k9=25, k12=1, k13=512, k14=512 * 262144, k6={"k" * 128: ""}),
    "tight": base_manifest(k9=1, k12=25, k13=25, k14=25),
}


def make_manifests():
    lines = [
        "# Section 7. manifest NAME BYTES PACKAGE_ID TEXT; refused WHY BYTES: malformed, or with WHY version: of a version",
        "# or profile not spoken; cut BYTES: ends early. The values of each are in make_vectors.py, MANIFESTS.",
    ]
    for name, m in MANIFESTS.items():
        raw = cbor(m)
        assert len(raw) <= 65536, name
        digest = blake3(raw)
        lines.append("manifest %s %s %s %s" % (name, raw.hex(), digest.hex(), bech32m("stoq", id_symbols(digest))))
    refused = [("version", dict(k1=2)), ("version", dict(k1=0)), ("version", dict(k8=2)), ("version", dict(k8=17)),
               ("version", dict(k8=0))]
    for name in ("", "A", "-a", ".a", "+a", "_a", "a b", "a/b", "a@b", "\u00fc", "a" * 129, "aB", b"a"):
        refused.append(("name", dict(k2=name)))
    for version in ("", "1/2", "1@2", "1 2", "1\t2", "1\n", "\x7f", "\0", "v" * 129, b"1", 1):
        refused.append(("version-text", dict(k3=version)))
    refused += [("description", dict(k4=x)) for x in ("", "d" * 4097, b"d")]
    refused += [("license", dict(k5=x)) for x in ("", "l" * 257)]
    for notes in ({}, {"k%d" % i: "" for i in range(65)}, {"": "x"}, {"k" * 129: "x"}, {"k": "v" * 4097}, {"k": 1},
                  {1: "v"}, {"k": b"v"}, ["k", "v"]):
        refused.append(("annotations", dict(k6=notes)))
    for needs in ([], [["a", ""]] * 2, [["b", ""], ["a", ""]], [["a", "2"], ["a", "1"]], [["a"]], [["A", ""]], [["a", 1]],
                  [["a", "r" * 129]], [["a", "", b"x" * 31]], [["a", "", bytes(32), 0]], [["", ""]],
                  [["a", "", bytes(32)], ["a", "", b"\1" * 32]], [["p%03d" % i, ""] for i in range(257)], {}):
        refused.append(("dependencies", dict(k7=needs)))
    for second in ([], [3], [1, bytes(32)], [4, bytes(16)], [0, b""], [6, bytes(32)], [3, bytes(31)], [3, bytes(64)],
                   [5, bytes(32)], [2, bytes(33)], [3, bytes(32), 0], bytes(32)):
        refused.append(("secondary", dict(k10=second)))
    refused += [
        ("counts", dict(k9=26)),  # table_bytes > bytes
        ("counts", dict(k13=26)),  # chunks > bytes
        ("counts", dict(k12=3)),  # shards > chunks
        ("counts", dict(k13=0, k12=0)),  # bytes without chunks
        ("counts", dict(k14=0, k9=0)),  # chunks without bytes
        ("counts", dict(k14=2 * 262144 + 1)),  # chunks cannot hold the bytes
        ("counts", dict(k13=513, k14=513)),  # one shard cannot hold 513 chunks
        ("counts", dict(k12=0)),
        ("counts", dict(k14=(1 << 48) + 1, k13=1 << 31, k12=1 << 22)),
        ("counts", dict(k11=(1 << 24) + 1)),
        ("counts", dict(k14=-1 % (1 << 64), k13=-1 % (1 << 64), k12=-1 % (1 << 64))),
        ("root", dict(k15=bytes(31))), ("root", dict(k15=bytes(33))), ("root", dict(k15="r" * 32)),
    ]
    refused += [("missing", {"k%d" % key: None}) for key in (1, 2, 3, 8, 9, 11, 12, 13, 14, 15)]
    refused += [("unknown", {"k%d" % key: 0}) for key in (0, 16, 23, 24, 255)]
    for why, change in refused:
        lines.append("refused %s %s" % (why, cbor(base_manifest(**change)).hex()))
    good = cbor(base_manifest())
    for why, raw in [
        ("after", good + b"\0"), ("form", b"\x80"), ("form", cbor([base_manifest()])),
        ("form", b"\xb8" + bytes([good[0] & 31]) + good[1:]), ("form", b"\xbf" + good[1:] + b"\xff"),
        ("order", b"\xaa" + good[3:] + good[1:3]),
    ]:
        lines.append("refused %s %s" % (why, hx(raw)))
    lines += ["cut %s" % hx(good[:n]) for n in (0, 1, 2, len(good) - 1)]
    return lines


# ---- Section 8: signatures (RFC 8032, section 5.1 and its sample code). ------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e1, e2 = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = e2 - e1, d - c, d + c, e2 + e1
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_times(k, point):
    out = (0, 1, 1, 0)
    while k:
        if k & 1:
            out = point_add(out, point)
        point = point_add(point, point)
        k >>= 1
    return out


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def point_bytes(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519_expand(seed):
    h = hashlib.sha512(seed).digest()
    return int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254, h[32:]


def ed25519_public(seed):
    return point_bytes(point_times(ed25519_expand(seed)[0], BASE))


def ed25519_sign(seed, message):
    a, prefix = ed25519_expand(seed)
    public = point_bytes(point_times(a, BASE))
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    big_r = point_bytes(point_times(r, BASE))
    k = int.from_bytes(hashlib.sha512(big_r + public + message).digest(), "little") % L
    return big_r + ((r + k * a) % L).to_bytes(32, "little")


# RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
RFC_8032 = [
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]

SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")  # RFC 8410, section 4
PKCS8_HEAD = bytes.fromhex("302e020100300506032b657004220420")  # RFC 8410, section 7


def pem(der):
    text = base64.b64encode(der).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""]).encode()


def envelope(seed, context, object_hash, **change):
    public = ed25519_public(seed)
    message = b"stoq-sig-1" + bytes([len(context)]) + context.encode() + object_hash
    m = {1: 1, 2: SPKI_HEAD + public, 3: context, 4: object_hash, 5: ed25519_sign(seed, message)}
    m.update({int(k[1:]): v for k, v in change.items()})
    return {k: v for k, v in m.items() if v is not None}


def make_sign():
    for secret, public, message, signature in RFC_8032:
        seed = bytes.fromhex(secret)
        assert ed25519_public(seed).hex() == public
        assert ed25519_sign(seed, bytes.fromhex(message)).hex() == signature
    lines = [
        "# Section 8. rfc8032 SEED PUBLIC MESSAGE SIGNATURE (its section 7.1); key SEED SPKI KEY_ID PEM;",
        "# envelope SEED CONTEXT OBJECT_HASH ENVELOPE; refused WHY CONTEXT OBJECT_HASH ENVELOPE, where WHY is the outcome:",
        "# proof, version or malformed.",
    ]
    lines += ["rfc8032 %s %s %s %s" % (a, b, c or "-", d) for a, b, c, d in RFC_8032]
    seeds = [bytes(32), bytes(range(32)), random_bytes(80, 32), random_bytes(81, 32)]
    for seed in seeds:
        spki = SPKI_HEAD + ed25519_public(seed)
        lines.append("key %s %s %s %s" % (seed.hex(), spki.hex(), blake3(spki).hex(), pem(PKCS8_HEAD + seed).hex()))
    objects = [blake3(cbor(MANIFESTS["full"])), bytes(32), random_bytes(82, 32)]
    for seed in seeds:
        for context, digest in zip(("package", "announce", "x" * 64), objects):
            raw = cbor(envelope(seed, context, digest))
            lines.append("envelope %s %s %s %s" % (seed.hex(), context, digest.hex(), raw.hex()))
    seed, digest = seeds[2], objects[0]
    good = envelope(seed, "package", digest)
    other = bytes([digest[0] ^ 1]) + digest[1:]
    high_s = good[5][:32] + (int.from_bytes(good[5][32:], "little") + L).to_bytes(32, "little")
    spki = good[2]
    refused = [
        ("proof", envelope(seed, "pointer", digest)),
        ("proof", envelope(seed, "packag", digest)),
        ("proof", envelope(seed, "package", other)),
        ("proof", envelope(seed, "package", digest, k4=other)),
        ("proof", envelope(seed, "pointer", digest, k3="package")),
        ("proof", envelope(seed, "package", other, k4=digest)),
        ("proof", envelope(seed, "package", digest, k2=SPKI_HEAD + ed25519_public(seeds[0]))),
        ("proof", envelope(seed, "package", digest, k5=bytes(64))),
        ("proof", envelope(seed, "package", digest, k5=high_s)),  # S >= L (RFC 8032, section 5.1.7)
        ("proof", envelope(seed, "package", digest, k5=ed25519_sign(seed, digest))),  # without the prefix
        ("version", envelope(seed, "package", digest, k1=2)),
        ("version", envelope(seed, "package", digest, k1=0)),
        ("version", envelope(seed, "package", digest, k1=1 << 40)),
        ("version", envelope(seed, "package", digest, k1=2, k2=bytes(2000), k5=bytes(5000))),
        ("malformed", envelope(seed, "package", digest, k2=spki[:-1])),
        ("malformed", envelope(seed, "package", digest, k2=spki + b"\0")),
        ("malformed", envelope(seed, "package", digest, k2=b"\x31" + spki[1:])),
        ("malformed", envelope(seed, "package", digest, k2=spki[:8] + b"\x71" + spki[9:])),  # X448's identifier
        ("malformed", envelope(seed, "package", digest, k2=spki.hex())),
        ("malformed", envelope(seed, "package", digest, k3="")),
        ("malformed", envelope(seed, "package", digest, k3="x" * 65)),
        ("malformed", envelope(seed, "package", digest, k3=b"package")),
        ("malformed", envelope(seed, "package", digest, k4=digest[:31])),
        ("malformed", envelope(seed, "package", digest, k5=good[5][:63])),
        ("malformed", envelope(seed, "package", digest, k5=good[5] + b"\0")),
        ("malformed", envelope(seed, "package", digest, k1=2, k5=bytes(8192))),  # over 8 KiB
        ("malformed", envelope(seed, "package", digest, k6=0)),
        ("malformed", envelope(seed, "package", digest, k0=0)),
    ]
    refused += [("malformed", envelope(seed, "package", digest, **{"k%d" % k: None})) for k in range(1, 6)]
    rows = [(why, cbor(m)) for why, m in refused]
    raw = cbor(good)
    rows += [("malformed", raw + b"\0"), ("malformed", raw[:-1]), ("malformed", b""), ("malformed", b"\x80")]
    return lines + ["refused %s package %s %s" % (why, digest.hex(), hx(item)) for why, item in rows]


# ---- Section 9: segments. ------------------------------------------------------------------------


def segment_header(number, store_id):
    head = b"stoqseg1" + u32(1) + u32(number) + store_id + bytes(24)
    return head + u64(xxh3_64_many([head])[0])


def record(kind, flags, sequence, key, raw_bytes, stored):
    head = b"sqr1" + bytes([kind, flags]) + struct.pack("<H", len(key)) + u64(sequence) + u32(raw_bytes) + u32(len(stored))
    body = head + u64(xxh3_64_many([head + key + stored])[0]) + key + stored
    return body + bytes(-len(body) % 8)


def zstd_frame(data):
    """A frame of one repeated-byte block when data is that, else of one raw block (RFC 8878); data under 256 bytes."""
    if len(set(data)) == 1:
        block, kind = data[:1], 1
    else:
        block, kind = data, 0
    return b"\x28\xb5\x2f\xfd" + bytes([0x20, len(data)]) + struct.pack("<I", len(data) << 3 | kind << 1 | 1)[:3] + block


def make_segments():
    lines = [
        "# Section 9. header NUMBER STORE_ID HEADER; record TYPE FLAGS SEQUENCE KEY RAW STORED RECORD: RAW is the payload,",
        "# STORED what is in the record (a zstd frame with flag 1), RECORD all of it with its padding;",
        "# segment NUMBER STORE_ID BYTES: header 1 and all records.",
    ]
    store_id = random_bytes(90, 16)
    for number in (1, 2, 0xFFFFFFFF):
        lines.append("header %d %s %s" % (number, store_id.hex(), segment_header(number, store_id).hex()))
    chunk = random_bytes(91, 100)
    other = random_bytes(92, 1)
    same = b"s" * 200
    package = Package([(blake3(chunk), len(chunk))])
    manifest = cbor(base_manifest(k9=100, k12=1, k13=1, k14=100, k15=package.root))
    package_id = blake3(manifest)
    seed = random_bytes(93, 32)
    signature = cbor(envelope(seed, "package", package_id))
    key_id = blake3(SPKI_HEAD + ed25519_public(seed))
    rows = [
        (1, 0, blake3(chunk), chunk, chunk),
        (1, 1, blake3(same), same, zstd_frame(same)),
        (1, 0, blake3(other), other, other),
        (4, 0, package.shard_roots[0], *[chunk_list(package.shards[0])] * 2),
        (3, 0, package.root, *[package.shard_list()] * 2),
        (2, 0, package_id, manifest, manifest),
        (5, 0, package_id + key_id, signature, signature),
        (15, 0, package_id, *[cbor({1: 1767225600, 2: True})] * 2),
        (10, 0, b"\1" + blake3(other), b"", b""),
    ]
    parts = [segment_header(1, store_id)]
    for sequence, (kind, flags, key, raw, stored) in enumerate(rows, 1000):
        item = record(kind, flags, sequence, key, len(raw), stored)
        assert len(item) % 8 == 0
        parts.append(item)
        lines.append("record %d %d %d %s %s %s %s" % (kind, flags, sequence, key.hex(), hx(raw), hx(stored), item.hex()))
    lines.append("segment 1 %s %s" % (store_id.hex(), b"".join(parts).hex()))
    return lines


# ---- The vector files. ------------------------------------------------------------------------
FILES = {
    "cbor": make_cbor,
    "ids": make_ids,
    "hash": make_hash,
    "chunks": make_chunks,
    "merkle": make_merkle,
    "proofs": make_proofs,
    "tables": make_tables,
    "manifests": make_manifests,
    "sign": make_sign,
    "segments": make_segments,
}


def make_corpus():
    """A few inputs per decoder for fuzz/corpus/TARGET/NAME: good ones, and some of each refusal."""
    rows = {"cbor_fuzz": {}, "bech32m_fuzz": {}, "sign_envelope_fuzz": {}, "key_pem_fuzz": {}}
    for i, line in enumerate(make_cbor()):
        word, *fields = line.split()
        if word in ("item", "cut") or word == "refused" and i % 6 == 0:
            rows["cbor_fuzz"]["%s-%d" % (word, i)] = bytes.fromhex(fields[-1])
    for i, line in enumerate(make_ids()):
        word, *fields = line.split()
        if word == "refused" or word == "id" and i % 5 == 0:
            rows["bech32m_fuzz"]["%s-%d" % (word, i)] = fields[-1].encode()
    for i, line in enumerate(make_sign()):
        word, *fields = line.split()
        if fields[-1] != "-" and len(fields[-1]) < 1000:
            if word == "envelope" or word == "refused" and i % 3 == 0:
                rows["sign_envelope_fuzz"]["%s-%d" % (word, i)] = bytes.fromhex(fields[-1])
            if word == "key":
                rows["key_pem_fuzz"]["key-%d" % i] = bytes.fromhex(fields[-1])
    rows["key_pem_fuzz"]["encrypted"] = pem(b"\x30\x00").replace(b"PRIVATE", b"ENCRYPTED PRIVATE")
    rows["key_pem_fuzz"]["rsa"] = pem(b"\x30\x82\x04\xbc" + bytes(60))
    for target, files in rows.items():
        folder = os.path.join(HERE, "../../fuzz/corpus", target)
        os.makedirs(folder, exist_ok=True)
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)


def main():
    if sys.argv[1:] == ["--corpus"]:
        make_corpus()
        return
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    differ = 0
    for name, make in FILES.items():
        path = os.path.join(HERE, name + ".txt")
        text = "\n".join(make()) + "\n"
        if not check:
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            continue
        with open(path, encoding="ascii") as f:
            same = f.read() == text
        print("%s %s" % ("same  " if same else "DIFFER", name))
        differ += not same
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()

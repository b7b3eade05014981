"""docs/FORMATS.md section 4: chunk lengths."""
import hashlib

from encoder.common import MASK64, blake3_derive, random_bytes


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
PROFILE_2 = (8192, 32768, 131072, 1)
RUN_BYTES_MIN = 16384


def log2_rounded(x):
    """round(log2(x)) in integers: no power of two is half way between two rows."""
    row = x.bit_length() - 1
    return row + (x * x >= 1 << 2 * row + 1)


def keyed_gear(key):
    """Profiles 1k and 2k."""
    numbers = blake3_derive("stoq gear v1", key, 2048)
    return [int.from_bytes(numbers[i : i + 8], "little") for i in range(0, 2048, 8)]


def chunk_length(data, start, end, low, average, high, level, gear=GEAR):
    rest = end - start
    if rest <= low:
        return rest
    size = min(rest, high)
    centre = min(average, size)
    row = log2_rounded(average)
    value = 0
    for i in range(low // 2, size // 2):
        mask = MASKS[row + level] if i < centre // 2 else MASKS[row - level]
        value = (value << 2) + (gear[data[start + 2 * i]] << 1) & MASK64
        if value & mask << 1 & MASK64 == 0:
            return 2 * i
        value = value + gear[data[start + 2 * i + 1]] & MASK64
        if value & mask == 0:
            return 2 * i + 1
    return size


def chunk_run(data, start, end, parameters, gear=GEAR):
    lengths = []
    while start < end:
        lengths.append(chunk_length(data, start, end, *parameters, gear))
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
        "# byte & 0x0f | 0x60); profile1 SEED TABLE_BYTES SIZES LENGTHS: a package stream of random bytes;",
        "# keyedgear KEY I VALUE: a number of profiles 1k and 2k; keyed KEY PROFILE KIND SEED N LENGTHS: one run.",
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
    for key in (bytes(32), bytes(range(32)), b"\xff" * 32):
        gear = keyed_gear(key)
        lines += ["keyedgear %s %d %016x" % (key.hex(), i, gear[i]) for i in (0, 1, 128, 255)]
        for code, parameters in ((17, PROFILE_1), (18, PROFILE_2)):
            for kind, seed, n in (("random", 30, 900001), ("zeros", 0, 300000), ("words", 31, 400000)):
                lengths = chunk_run(make_input(kind, seed, n), 0, n, parameters, gear)
                lines.append("keyed %s %d %s %d %d %s" % (key.hex(), code, kind, seed, n, joined(lengths)))
    return lines

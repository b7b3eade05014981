"""docs/FORMATS.md section 4: the runs inside a tar archive, and chunk lengths of profile 2."""
from encoder.chunks import chunk_run, joined
from encoder.common import random_bytes

PROFILE_2 = (8192, 32768, 131072, 1)
RUN_BYTES_MIN = 8192
LIMIT = 1 << 48


class Stop(Exception):
    """No valid header: the scan is over."""


def number(field):
    """Octal as headers have it, or base 256."""
    if len(field) == 12 and field[0] == 0x80:
        if field[1:4] != b"\0\0\0":
            raise Stop
        return int.from_bytes(field[4:], "big")
    digits = field.lstrip(b" ")
    rest = digits.lstrip(b"01234567")
    if rest.strip(b" \0"):
        raise Stop
    return int(digits[: len(digits) - len(rest)] or b"0", 8)


def decimal(text):
    if not 1 <= len(text) <= 15 or not text.isdigit():
        raise Stop
    return int(text)


def pax_size(data):
    """The last size record of a pax header, None without one."""
    size = None
    while data:
        length, space, _ = data.partition(b" ")
        n = decimal(length)
        record = data[len(length) + 1 : n]
        if not space or n > len(data) or len(record) < 2 or record[-1:] != b"\n" or b"=" not in record:
            raise Stop
        key, _, value = record[:-1].partition(b"=")
        if key == b"size":
            size = decimal(value)
            if size > LIMIT:
                raise Stop
        data = data[n:]
    return size


def tar_cuts(data, t):
    """Offsets inside the file where a run ends and the next begins."""
    cuts = []
    at = 0
    override = None
    try:
        while at + 512 <= len(data):
            header = data[at : at + 512]
            if header[257:262] != b"ustar" or number(header[148:156]) != sum(header) - sum(header[148:156]) + 8 * 32:
                break
            size = number(header[124:136])
            if size > LIMIT:
                break
            kind = header[156:157]
            special = kind in (b"x", b"g", b"L", b"K")
            if not special:
                size = 0 if kind in (b"1", b"2", b"3", b"4", b"5", b"6") else size if override is None else override
                override = None
            begin, end = at + 512, at + 512 + size
            if end > len(data):
                break
            if kind == b"x":
                override = pax_size(data[begin:end])
            if not special and size >= t:
                cuts.append(begin)
                if end < len(data):
                    cuts.append(end)
            at = end + -size % 512
    except Stop:
        pass
    return cuts


def runs_of_file(data, t):
    edges = [0] + tar_cuts(data, t) + [len(data)]
    return [b - a for a, b in zip(edges, edges[1:]) if b > a]


def chunk_package_2(table_bytes, files, data):
    """Profile 2: as profile 1 with its own sizes, and every file of T bytes or more is scanned."""
    runs = [table_bytes]
    small = 0
    for content in files:
        if len(content) >= RUN_BYTES_MIN:
            runs += [small] + runs_of_file(content, RUN_BYTES_MIN)
            small = 0
        else:
            small += len(content)
    runs.append(small)
    lengths = []
    start = 0
    for run in runs:
        lengths += chunk_run(data, start, start + run, PROFILE_2)
        start += run
    assert start == len(data)
    return lengths


def pieces_of(parts):
    """x HEX, z N for zeros, r SEED:N for random bytes."""
    return ",".join(parts) if parts else "-"


def bytes_of(pieces):
    out = b""
    for piece in pieces.split(",") if pieces != "-" else []:
        kind, value = piece[0], piece[1:]
        if kind == "x":
            out += bytes.fromhex(value)
        elif kind == "z":
            out += bytes(int(value))
        else:
            seed, n = value.split(":")
            out += random_bytes(int(seed), int(n))
    return out


def squeeze(raw):
    """Bytes with long stretches of zeros as pieces."""
    parts = []
    while raw:
        rest = raw.lstrip(b"\0")
        if len(raw) - len(rest) >= 8 or not rest:
            parts.append("z%d" % (len(raw) - len(rest)))
            raw = rest
            continue
        end = raw.find(bytes(8), len(raw) - len(rest))
        end = len(raw) if end < 0 else end
        parts.append("x" + raw[:end].hex())
        raw = raw[end:]
    return parts


def header(size, kind=b"0", magic=b"ustar\x0000", name=b"a", size_field=None, add=0, sum_field=None, **put):
    """One header block; add goes on the true checksum, put names offsets: o345=b"..."."""
    h = bytearray(512)
    h[0 : len(name)] = name
    h[100:108] = b"0000644\0"
    h[124:136] = size_field if size_field is not None else b"%011o\0" % size
    h[136:148] = b"00000000000\0"
    h[148:156] = b" " * 8
    h[156:157] = kind
    h[257 : 257 + len(magic)] = magic
    for key, value in put.items():
        h[int(key[1:]) : int(key[1:]) + len(value)] = value
    total = sum(h) + add
    h[148:156] = sum_field(total) if sum_field else b"%06o\0 " % total
    return bytes(h)


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    n = len(body)
    while len(b"%d" % n) + len(body) != n:
        n = len(b"%d" % n) + len(body)
    return b"%d" % n + body


class Archive:
    """Pieces of an archive, member after member."""

    def __init__(self):
        self.parts = []
        self.seed = 100

    def raw(self, data):
        self.parts += squeeze(data)
        return self

    def data(self, n):
        """n random bytes and their padding."""
        if n:
            self.seed += 1
            self.parts.append("r%d:%d" % (self.seed, n))
        if n % 512:
            self.parts.append("z%d" % (-n % 512))
        return self

    def member(self, n, **how):
        return self.raw(header(n, **how)).data(n)

    def pax(self, *records, kind=b"x"):
        data = b"".join(records)
        return self.raw(header(len(data), kind=kind)).raw(data + bytes(-len(data) % 512))

    def end(self, blocks=2):
        self.parts.append("z%d" % (512 * blocks))
        return self

    def text(self):
        return pieces_of(self.parts)


def archives():
    """Names and archives for T = 1000."""
    a = Archive
    yield "plain", a().member(1000).member(999).member(10).member(1024).member(0).member(3000).end(20)
    yield "first-small", a().member(7).member(999).end()
    yield "no-end", a().member(1024)
    yield "no-padding", a().raw(header(1500)).raw(b"x" * 1500)
    yield "odd-rest", a().member(2000).raw(b"y" * 511)
    yield "gnu", a().member(1200, magic=b"ustar  \0").member(5, magic=b"ustar  \0").member(4000, magic=b"ustar  \0").end()
    yield "old-magic", a().member(2000).member(2000, magic=b"").member(2000).end()
    yield "ustar-only", a().member(2000, magic=b"ustar").member(2000, magic=b"ustaR").end()
    kinds = a().member(5)
    for kind in (b"1", b"2", b"3", b"4", b"5", b"6"):
        kinds.raw(header(2000, kind=kind))
    yield "kinds", kinds.member(2000, kind=b"7").member(2000, kind=b"\0").member(2000, kind=b"S").member(2000, kind=b"Z").end()
    yield "long-names", a().member(1500, kind=b"L").member(2000).member(1500, kind=b"K").member(1500, kind=b"g").member(10).end()
    for name, field in [
        ("spaces", b"    3720    "), ("no-nul", b"000000003720"), ("short", b"3720\0\0\0\0\0\0\0\0"),
        ("nuls", bytes(12)), ("after-nul", b"3720\0\0001\0\0\0\0\0"), ("not-octal", b"00000003728\0"), ("sign", b"-0000003720\0"),
        ("space-inside", b"37 20\0\0\0\0\0\0\0"), ("base256", b"\x80" + (2000).to_bytes(11, "big")),
        ("base256-negative", b"\xff" * 10 + b"\xf8\x30"), ("base256-flag", b"\x81" + (2000).to_bytes(11, "big")),
        ("base256-large", b"\x80\0\0\1" + (2000).to_bytes(8, "big")), ("base256-past", b"\x80" + ((1 << 48) + 1).to_bytes(11, "big")),
        ("octal-largest", b"777777777777"), ("leading-nul", b"\0" + b"00000003720"),
    ]:
        yield "size-" + name, a().member(1000).raw(header(0, size_field=field)).data(2000).member(1100).end()
    yield "sum-off", a().member(1000).member(1000, add=1).member(1000).end()
    yield "sum-signed", a().member(1000).member(1000, name=b"\xff\xfe", add=-512).end()
    yield "sum-wide", a().member(1000, sum_field=lambda x: b"%08o" % x).member(1001, sum_field=lambda x: b"  %o\0 " % x).end()
    yield "sum-base256", a().member(1000, sum_field=lambda x: b"\x80" + x.to_bytes(7, "big")).end()
    yield "high-bytes", a().member(1000, name=b"\xc3\xbc").end()
    yield "too-long", a().member(1000).raw(header(1001)).raw(b"z" * 1000)
    yield "fits-exactly", a().member(1000).raw(header(1001)).raw(b"z" * 1001)
    yield "nested", a().raw(header(4096)).member(1024, name=b"b").member(1100, name=b"c").end(1).member(2000).end()
    path, size = record(b"path", b"x" * 30), lambda text: record(b"size", text)
    for name, records in [
        ("override", [size(b"2000")]), ("among", [path, size(b"2000"), record(b"mtime", b"1.5")]),
        ("last-wins", [size(b"1"), size(b"2000")]), ("zeros", [size(b"000000000002000")]), ("none", [path]), ("empty", []),
        ("other-keys", [record(key, b"1") for key in (b"siz", b"sizes", b"", b"xsize", b"size2")]),
        ("newline", [record(b"comment", b"12 size=1\n\n"), size(b"2000")]),
        ("long", [record(b"comment", b"c" * 5000), size(b"2000")]), ("shortest", [b"4 =\n"]),
        ("length-zeros", [b"000000000000026 size=2000\n"]),
    ]:
        n = 0 if any(b"size=2000" in r or r.endswith(b"2000\n") for r in records) else 2000
        yield "pax-" + name, a().member(10).pax(*records).raw(header(n)).data(2000).member(1100).end()
    for name, records in [
        ("no-digits", [b" size=1\n"]), ("letters", [b"1x size=1\n"]), ("no-space", [b"11size=2000"]), ("too-short", [b"3 =\n"]),
        ("past-end", [b"14 size=2000\n"]), ("ends-early", [b"11 size=2000\n"]), ("no-newline", [b"13 size=2000x"]),
        ("no-key", [b"12 size2000\n"]), ("empty-value", [size(b"")]), ("negative", [size(b"-1")]), ("decimals", [size(b"2000.0")]),
        ("many-digits", [size(b"0000000000002000")]), ("past-2-48", [size(b"281474976710657")]), ("zeros-after", [size(b"2000"), bytes(3)]),
        ("cut-length", [size(b"2000"), b"12"]), ("length-digits", [b"0000000000000027 size=2000\n"]),
    ]:
        yield "pax-bad-" + name, a().member(1000).pax(*records).raw(header(2000)).data(2000).member(1100).end()
    yield "pax-large", a().pax(record(b"comment", b"c" * 3000)).member(2000).end()
    yield "pax-before-long-name", a().pax(size(b"2000")).member(30, kind=b"L").raw(header(0)).data(2000).member(1).end()
    yield "pax-before-global", a().pax(size(b"2000")).pax(path, kind=b"g").raw(header(0)).data(2000).end()
    yield "pax-global-size", a().pax(size(b"2000"), kind=b"g").member(1200).end()
    yield "pax-twice", a().pax(size(b"2000")).pax(path).member(1200).end()
    yield "pax-used-once", a().pax(size(b"2000")).raw(header(0)).data(2000).member(1200).end()
    yield "pax-before-link", a().pax(size(b"2000")).raw(header(0, kind=b"2")).member(1200).end()
    yield "pax-last", a().member(1000).pax(size(b"2000"))
    yield "pax-past-end", a().member(1000).pax(size(b"9999999")).raw(header(0)).data(2000).end()


def make_tars():
    lines = [
        "# Section 4, profile 2. runs NAME T PIECES LENGTHS: a file, and the lengths of its runs; PIECES x HEX, z N zeros,",
        "# r SEED:N random bytes. profile2 TABLE_BYTES FILES LENGTHS: the chunk lengths of a package stream whose table is",
        "# random bytes of seed 1 and whose files (pieces, separated by `;`) follow.",
    ]
    for name, archive in archives():
        text = archive.text()
        lines.append("runs %s 1000 %s %s" % (name, text, joined(runs_of_file(bytes_of(text), 1000))))
    for text in ("-", "z1", "z511", "z512", "z5000", "r5:100000"):
        lines.append("runs no-archive 1000 %s %s" % (text, joined(runs_of_file(bytes_of(text), 1000))))
    small = Archive().member(8191).member(8192).member(500).member(200000).member(8193).end(20).text()
    tiny = Archive().member(100).end().text()
    inside = Archive().member(300000).pax(record(b"size", b"60000")).raw(header(0)).data(60000).member(4000).end().text()
    for table_bytes, files in [
        (0, []), (100, [small]), (100, [tiny, small, tiny, tiny, inside]),
        (9000, ["r2:8192", "r3:8191", "z8192", small, "r4:300000"]), (77, [inside, inside, "-", "z3"]),
    ]:
        contents = [bytes_of(f) for f in files]
        data = random_bytes(1, table_bytes) + b"".join(contents)
        lengths = joined(chunk_package_2(table_bytes, contents, data))
        lines.append("profile2 %d %s %s" % (table_bytes, ";".join(files) or "-", lengths))
    return lines

"""docs/FORMATS.md section 3: file tables."""
from encoder.cbor import cbor
from encoder.common import hx


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
        (b"a/x.y", 0, 5), (b"a0", 0, 6), (b"b", 2, 0), (b"b/c", 2, 0), (b"b/c/d", 2, 0),
        (b"b/c/d/e", 3, b"/etc/passwd"), (b"b/c/d/f", 3, b"../../../../outside"),
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
        "# Section 3. table NAME ENTRIES CONTENT_BYTES TABLE; entry NAME PATH KIND SIZE TARGET: those of that",
        "# table, in order; refused WHY TABLE: malformed; cut TABLE: ends inside an entry.",
    ]
    for name, entries in TABLES.items():
        for path, kind, last in sorted(entries, key=lambda e: e[0]):
            size, target = (0, last) if kind == 3 else (last, b"")
            lines.append("entry %s %s %d %d %s" % (name, path.hex(), kind, size, hx(target)))
        content = sum(last for _, kind, last in entries if kind < 2)
        lines.append("table %s %d %d %s" % (name, len(entries), content, hx(table_of(entries))))
    d = entry(b"d", 2, 0)
    bad_paths = [b"", b"/", b"/a", b"d/", b"d//a", b".", b"..", b"d/.", b"d/..", b"d/../a", b"a\0", b"d/\0a"]
    bad_paths += [b"x" * 256, b"d/" + b"x" * 256, b"../a", b"./a"]
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

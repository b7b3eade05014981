"""docs/FORMATS.md section 9.3: the records that keep content: pins, named roots, leases."""
from encoder.cbor import cbor
from encoder.common import blake3

PACKAGE = blake3(b"a package")
BLAKE3_ADDRESS = b"\x01" + blake3(b"content")
SHA3_ADDRESS = b"\x02" + blake3(b"any 32 bytes will do")
SINCE = 1767225600

TYPES = {7: "pin", 8: "root", 9: "lease"}


def good_keeps():
    """(type, key, subject, since, expires at), a root's key being its name."""
    for subject in (PACKAGE, BLAKE3_ADDRESS, SHA3_ADDRESS):
        yield 7, subject, subject, SINCE, 0
        yield 9, subject, subject, SINCE, SINCE + 7200
    yield 9, PACKAGE, PACKAGE, 0, 0
    yield 7, PACKAGE, PACKAGE, 2**64 - 1, 0
    for name in (b"a", b"Debian/stable-1.2_3+x", b"9" * 64):
        yield 8, name, PACKAGE, SINCE, 0
    yield 8, b"content", SHA3_ADDRESS, 0, 0


def fields_of(kind, subject, since, expires):
    return {1: 1, 2: since} | ({3: subject} if kind == 8 else {}) | ({4: expires} if kind == 9 else {})


def bad_keeps():
    """(why, type, key, payload)"""
    for kind in TYPES:
        key = b"name" if kind == 8 else PACKAGE
        fields = fields_of(kind, PACKAGE, SINCE, SINCE + 1)
        yield "version", kind, key, cbor(fields | {1: 2})
        for k in fields:
            yield "missing", kind, key, cbor({n: v for n, v in fields.items() if n != k})
        yield "unknown-key", kind, key, cbor(fields | {5: 1})
        yield "more", kind, key, cbor(fields) + b"\0"
        yield "no-number", kind, key, cbor(fields | {2: b"1"})
        if kind == 8:
            yield "another's-key", kind, key, cbor(fields | {4: 1})
            for subject in (b"", PACKAGE[:31], PACKAGE + b"\0", b"\x03" + PACKAGE, b"\x01" + PACKAGE + b"\0"):
                yield "subject", kind, key, cbor(fields | {3: subject})
            for name in (b"-a", b".a", b"a b", b"a\0", b"\xc3\xa4", b"a" * 65):
                yield "name", kind, name, cbor(fields)
        else:
            yield "another's-key", kind, key, cbor(fields | {3: PACKAGE})
            for subject in (PACKAGE[:31], PACKAGE + b"\0", b"\x04" + PACKAGE, b"\x01" + PACKAGE + b"\0"):
                yield "subject", kind, subject, cbor(fields)


def make_keeps():
    lines = ["# Section 9.3. keep TYPE SUBJECT SINCE EXPIRES_AT KEY PAYLOAD; refused-keep WHY TYPE KEY PAYLOAD."]
    for kind, key, subject, since, expires in good_keeps():
        payload = cbor(fields_of(kind, subject, since, expires))
        lines.append("keep %d %s %d %d %s %s" % (kind, subject.hex(), since, expires, key.hex(), payload.hex()))
    for why, kind, key, payload in bad_keeps():
        lines.append("refused-keep %s %d %s %s" % (why, kind, key.hex(), payload.hex()))
    return lines

"""docs/FORMATS.md section 14: release pointers, their lookup keys and their sealed form."""
from encoder.cbor import cbor
from encoder.common import blake3, blake3_derive, hx
from encoder.sign import envelope

NOW = 1700000000


def pointer(seed, body, context="pointer", **change):
    raw = cbor(body)
    signature = envelope(seed, context, blake3(raw), **change)[5]
    return cbor([raw, signature])


def named(publisher, name, version):
    return publisher + bytes([len(name)]) + name.encode() + version.encode()


def lookup_key(publisher, name, version=""):
    return blake3_derive("stoq pointer v1", named(publisher, name, version), 32)


def seal(publisher, name, data):
    secret = blake3_derive("stoq pointer seal v1", named(publisher, name, ""), 32)
    nonce = blake3_derive("stoq pointer nonce v1", secret + data, 16)
    stream = blake3_derive("stoq pointer stream v1", secret + nonce, len(data))
    return nonce + bytes(a ^ b for a, b in zip(data, stream))


def fields(seed, name, version, sequence):
    spki = envelope(seed, "pointer", bytes(32))[2]
    return {1: 1, 2: spki, 3: name, 4: version, 5: bytes(range(32)), 6: sequence, 7: NOW, 8: NOW + 1000}


def make_pointers():
    lines = [
        "# Section 14. pointer PUBLISHER NAME VERSION SEQUENCE BYTES KEY KEY_OF_NEWEST SEALED, issued at 1700000000 for",
        "# 1000 s, id 00 01 .. 1f; refused WHY BYTES, where WHY is the outcome for the first one's name and time.",
    ]
    seed = bytes([1]) + bytes(31)
    for name, version, sequence in (("zlib", "1.3.1", 7), ("a" * 128, "v" * 128, (1 << 64) - 1), ("0", "\u00e9~1", 0)):
        body = fields(seed, name, version, sequence)
        publisher = blake3(body[2])
        data = pointer(seed, body)
        lines.append("pointer %s %s %s %d %s %s %s %s" % (
            publisher.hex(), name.encode().hex(), version.encode().hex(), sequence, data.hex(),
            lookup_key(publisher, name, version).hex(), lookup_key(publisher, name).hex(),
            seal(publisher, name, data).hex()))
    good = fields(seed, "zlib", "1.3.1", 7)
    data = pointer(seed, good)
    without = [{k: v for k, v in good.items() if k != key} for key in good]
    refused = [
        ("proof", pointer(seed, good, "package")),
        ("proof", pointer(bytes(32), good)),
        ("proof", cbor([cbor(good | {6: 8}), envelope(seed, "pointer", blake3(cbor(good)))[5]])),
        ("other", pointer(bytes(32), fields(bytes(32), "zlib", "1.3.1", 7))),
        ("other", pointer(seed, good | {3: "zlib2"})),
        ("other", pointer(seed, good | {4: "1.3.2"})),
        ("time", pointer(seed, good | {8: NOW})),
        ("time", pointer(seed, good | {7: NOW + 301})),
        ("malformed", pointer(seed, good | {1: 2})),
        ("malformed", pointer(seed, good | {3: "Zlib"})),
        ("malformed", pointer(seed, good | {3: "a" * 129})),
        ("malformed", pointer(seed, good | {4: "1 3"})),
        ("malformed", pointer(seed, good | {4: "a@b"})),
        ("malformed", pointer(seed, good | {5: bytes(31)})),
        ("malformed", pointer(seed, good | {9: 1})),
        ("malformed", data + b"\0"),
        ("malformed", data[:-1]),
        ("malformed", cbor([cbor(good)])),
    ] + [("malformed", pointer(seed, body)) for body in without]
    lines += ["refused %s %s" % (why, hx(raw)) for why, raw in refused]
    return lines

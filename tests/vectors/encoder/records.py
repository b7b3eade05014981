"""docs/FORMATS.md section 9: the payloads of content and alias records."""
import hashlib

from encoder.cbor import cbor
from encoder.common import blake3, random_bytes, xxh3_128_many
from encoder.merkle import Package

# Algorithm codes of section 2.
HASHES = {
    1: blake3,
    2: lambda b: hashlib.sha3_256(b).digest(),
    3: lambda b: hashlib.sha256(b).digest(),
    4: lambda b: xxh3_128_many([b])[0],
    5: lambda b: hashlib.sha512(b).digest(),
}


def content_fields(data, second=(), added_at=1767225600):
    """The payload's map for content of one chunk, or of none."""
    stream = Package([(blake3(data), len(data))] if data else [])
    fields = {1: 1, 2: added_at, 4: 1 if data else 0, 5: 1 if data else 0, 6: len(data), 7: stream.root}
    if second:
        fields[3] = [[alg, HASHES[alg](data)] for alg in second]
    return fields


def content_key(alg, data):
    return bytes([alg]) + HASHES[alg](data)


def good_contents():
    data = random_bytes(94, 1000)
    for alg, second in ((1, ()), (2, ()), (1, (3,)), (2, (1, 3, 4, 5)), (1, (2, 3, 4, 5))):
        yield content_key(alg, data), content_fields(data, second)
    yield content_key(1, b""), content_fields(b"", (5,), 0)


def bad_contents():
    data = random_bytes(94, 1000)
    key = content_key(1, data)

    def without(k):
        fields = content_fields(data)
        del fields[k]
        return fields

    def changed(**kv):
        return content_fields(data) | {int(k[1:]): v for k, v in kv.items()}

    sha256, sha512 = [3, HASHES[3](data)], [5, HASHES[5](data)]
    yield "version", key, cbor(changed(k1=2))
    for k in (1, 2, 4, 5, 6, 7):
        yield "missing", key, cbor(without(k))
    yield "unknown-key", key, cbor(changed(k8=1))
    yield "no-address", bytes([3]) + HASHES[3](data), cbor(content_fields(data))
    yield "forgeable-address", bytes([4]) + HASHES[4](data) + bytes(16), cbor(content_fields(data))
    yield "key-length", key + b"\0", cbor(content_fields(data))
    yield "secondary-none", key, cbor(changed(k3=[]))
    yield "secondary-own", key, cbor(changed(k3=[[1, HASHES[1](data)]]))
    yield "secondary-twice", key, cbor(changed(k3=[sha256, sha256]))
    yield "secondary-order", key, cbor(changed(k3=[sha512, sha256]))
    yield "secondary-unknown", key, cbor(changed(k3=[[6, bytes(32)]]))
    yield "secondary-short", key, cbor(changed(k3=[[5, bytes(32)]]))
    yield "secondary-form", key, cbor(changed(k3=[[3, HASHES[3](data), 1]]))
    yield "counts", key, cbor(changed(k4=0))
    yield "counts", key, cbor(changed(k5=2000))
    yield "counts", key, cbor(changed(k6=262145))
    yield "counts", key, cbor(changed(k5=513, k6=1000))
    yield "bytes", key, cbor(changed(k4=1 << 40, k5=1 << 40, k6=(1 << 48) + 1))
    yield "more", key, cbor(content_fields(data)) + b"\0"


PACKAGE = random_bytes(95, 32)


def alias_key(alg, digest):
    return bytes([alg]) + digest[:31] + PACKAGE


def good_aliases():
    data = random_bytes(94, 1000)
    many = [b"p/%03d" % i for i in range(64)]
    for alg, paths in ((1, [b"a"]), (2, [b"a", b"a/b"]), (3, [b"odd\n\xff name"]), (5, many)):
        yield alg, HASHES[alg](data), paths


def bad_aliases():
    digest = HASHES[3](random_bytes(94, 1000))
    key = alias_key(3, digest)

    def payload(**kv):
        return cbor({1: 1, 2: digest, 3: [b"a", b"b"]} | {int(k[1:]): v for k, v in kv.items()})

    yield "version", key, payload(k1=2)
    yield "unknown-key", key, payload(k4=1)
    for k in (1, 2, 3):
        yield "missing", key, cbor({i: v for i, v in {1: 1, 2: digest, 3: [b"a"]}.items() if i != k})
    yield "algorithm", b"\6" + key[1:], payload()
    yield "forgeable", b"\4" + key[1:], payload(k2=digest[:16])
    yield "key-length", key[:63], payload()
    yield "digest-length", key, payload(k2=digest + b"\0")
    yield "digest-key", key, payload(k2=bytes([digest[0] ^ 1]) + digest[1:])
    yield "paths-none", key, payload(k3=[])
    yield "paths-many", key, payload(k3=[b"p/%03d" % i for i in range(65)])
    yield "paths-order", key, payload(k3=[b"b", b"a"])
    yield "paths-twice", key, payload(k3=[b"a", b"a"])
    yield "path-empty", key, payload(k3=[b""])
    yield "path-escapes", key, payload(k3=[b"../a"])
    yield "path-text", key, payload(k3=["a"])
    yield "path-long", key, payload(k3=[b"a/" * 2048 + b"a"])
    yield "more", key, payload() + b"\0"


def make_records():
    lines = [
        "# Section 9. content ADDED_AT SECONDARY_COUNT SHARDS CHUNKS BYTES ROOT KEY PAYLOAD;",
        "# refused-content WHY KEY PAYLOAD; alias ALGORITHM DIGEST PACKAGE PATHS KEY PAYLOAD;",
        "# refused-alias WHY KEY PAYLOAD.",
    ]
    for key, f in good_contents():
        fields = (f[2], len(f.get(3, ())), f[4], f[5], f[6], f[7].hex(), key.hex(), cbor(f).hex())
        lines.append("content %d %d %d %d %d %s %s %s" % fields)
    for why, key, payload in bad_contents():
        lines.append("refused-content %s %s %s" % (why, key.hex(), payload.hex()))
    for alg, digest, paths in good_aliases():
        payload = cbor({1: 1, 2: digest, 3: paths}).hex()
        fields = (alg, digest.hex(), PACKAGE.hex(), len(paths), alias_key(alg, digest).hex(), payload)
        lines.append("alias %d %s %s %d %s %s" % fields)
    for why, key, payload in bad_aliases():
        lines.append("refused-alias %s %s %s" % (why, key.hex(), payload.hex()))
    return lines

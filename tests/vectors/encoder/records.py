"""docs/FORMATS.md section 9: the payloads of content records."""
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


def make_records():
    lines = [
        "# Section 9. content ADDED_AT SECONDARY_COUNT SHARDS CHUNKS BYTES ROOT KEY PAYLOAD;",
        "# refused-content WHY KEY PAYLOAD.",
    ]
    for key, f in good_contents():
        fields = (f[2], len(f.get(3, ())), f[4], f[5], f[6], f[7].hex(), key.hex(), cbor(f).hex())
        lines.append("content %d %d %d %d %d %s %s %s" % fields)
    for why, key, payload in bad_contents():
        lines.append("refused-content %s %s %s" % (why, key.hex(), payload.hex()))
    return lines

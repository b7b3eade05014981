"""docs/FORMATS.md section 9: segments of the store."""
import struct

from encoder.cbor import cbor
from encoder.common import blake3, hx, random_bytes, u32, u64, xxh3_64_many
from encoder.manifests import base_manifest
from encoder.merkle import Package, chunk_list
from encoder.sign import SPKI_HEAD, ed25519_public, envelope


def segment_header(number, store_id):
    head = b"stoqseg1" + u32(1) + u32(number) + store_id + bytes(24)
    return head + u64(xxh3_64_many([head])[0])


def record(kind, flags, sequence, key, raw_bytes, stored):
    head = b"sqr1" + bytes([kind, flags]) + struct.pack("<H", len(key)) + u64(sequence)
    head += u32(raw_bytes) + u32(len(stored))
    body = head + u64(xxh3_64_many([head + key + stored])[0]) + key + stored
    return body + bytes(-len(body) % 8)


def zstd_frame(data):
    """One block (RFC 8878): a repeated byte when data is that, else raw; data under 256 bytes."""
    if len(set(data)) == 1:
        block, kind = data[:1], 1
    else:
        block, kind = data, 0
    head = b"\x28\xb5\x2f\xfd" + bytes([0x20, len(data)])
    return head + struct.pack("<I", len(data) << 3 | kind << 1 | 1)[:3] + block


def in_place(chunk):
    """Two files, the second from before 1970."""
    rows = [
        [b"/srv/a/first", 4096, 60, 5000, 1767225600 * 10**9 + 1, 1767225601 * 10**9, 77],
        [b"/srv/a/\xff second", 0, len(chunk) - 60, len(chunk) - 60, 2**64 - 5, 0, 2**64 - 1],
    ]
    return cbor([len(chunk)] + rows)


def make_segments():
    lines = [
        "# Section 9. header NUMBER STORE_ID HEADER; record TYPE FLAGS SEQUENCE KEY RAW STORED RECORD: RAW is the",
        "# payload, STORED what is in the record (a zstd frame with flag 1), RECORD all of it with its padding;",
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
        (12, 0, blake3(chunk), *[in_place(chunk)] * 2),
        (10, 0, b"\1" + blake3(other), b"", b""),
        (10, 0, b"\5" + package_id + key_id, b"", b""),
    ]
    parts = [segment_header(1, store_id)]
    for sequence, (kind, flags, key, raw, stored) in enumerate(rows, 1000):
        item = record(kind, flags, sequence, key, len(raw), stored)
        assert len(item) % 8 == 0
        parts.append(item)
        fields = (kind, flags, sequence, key.hex(), hx(raw), hx(stored), item.hex())
        lines.append("record %d %d %d %s %s %s %s" % fields)
    lines.append("segment 1 %s %s" % (store_id.hex(), b"".join(parts).hex()))
    return lines

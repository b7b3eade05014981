"""docs/FORMATS.md section 11: bundles and have-lists."""
import struct

from encoder.cbor import cbor
from encoder.common import blake3, hx, random_bytes, u32, u64, xxh3_64_many
from encoder.manifests import base_manifest
from encoder.merkle import Package, chunk_list
from encoder.segments import zstd_frame
from encoder.sign import SPKI_HEAD, ed25519_public, envelope
from encoder.tables import table_of


def record(kind, key=b"", stored=b"", flags=0, raw=None):
    head = b"sqb1" + bytes([kind, flags]) + struct.pack("<H", len(key))
    head += u32(len(stored) if raw is None else raw) + u32(len(stored))
    return head + u64(xxh3_64_many([head + key + stored])[0]) + key + stored


def header(packages, size, chunks, stored, assumed):
    head = b"stoqbun1" + u32(1) + u32(packages) + u64(size) + u64(chunks) + u64(stored) + u64(assumed) + u64(0)
    return head + u64(xxh3_64_many([head])[0])


def list_parts(bases, rows):
    """Record 34: rows are (base, first, count), or a list of entries that stand in no base."""
    out = bytes([len(bases)]) + b"".join(bases)
    for row in rows:
        if isinstance(row, tuple):
            out += struct.pack("<HHH", *row)
        else:
            out += struct.pack("<HHH", 0xFFFF, 0, len(row)) + chunk_list(row)
    return out


def one_package(name, version, contents, seed=None, left_out=(), stored_form=lambda data: (0, data), had=None):
    """Entry and records of a package whose table and files are one chunk each; left_out are shard indices;
    had is the one shard of the receiver: (root, chunks)."""
    paths = [b"%04d" % i for i in range(len(contents))]
    table = table_of([(path, 0, len(data)) for path, data in zip(paths, contents)])
    parts = ([table] if table else []) + [data for data in contents if data]
    package = Package([(blake3(part), len(part)) for part in parts])
    fields = base_manifest(
        k2=name, k3=version, k9=len(table), k11=len(contents), k12=len(package.shards), k13=len(parts),
        k14=sum(map(len, parts)), k15=package.root,
    )
    manifest = cbor(fields)
    package_id = blake3(manifest)
    body = [record(2, package_id, manifest)]
    if seed is not None:
        key_id = blake3(SPKI_HEAD + ed25519_public(seed))
        body.append(record(5, package_id + key_id, cbor(envelope(seed, "package", package_id))))
    body.append(record(3, package.root, package.shard_list()))
    carried = stored_bytes = assumed = at = 0
    for i, shard in enumerate(package.shards):
        if i in left_out:
            assumed += len(shard)
            at += len(shard)
            continue
        if had is None:
            body.append(record(4, package.shard_roots[i], chunk_list(shard)))
        else:
            rows = [(0, had[1].index(c), 1) if c in had[1] else [c] for c in shard]
            body.append(record(34, package.shard_roots[i], list_parts([had[0]], rows)))
        for digest, length in shard:
            if had is not None and (digest, length) in had[1]:
                assumed += 1
                at += 1
                continue
            flags, stored = stored_form(parts[at])
            body.append(record(1, digest, stored, flags, length))
            carried += 1
            stored_bytes += len(stored)
            at += 1
    body.append(record(33, package_id))
    line = cbor({1: package_id, 2: name, 3: version, 4: fields[14], 5: fields[13], 6: carried, 7: stored_bytes, 8: assumed})
    return record(32, package_id, line), b"".join(body), carried, stored_bytes, assumed


def bundle(packages):
    index = b"".join(p[0] for p in packages)
    body = b"".join(p[1] for p in packages)
    size = 64 + len(index) + len(body) + 24 + 32
    whole = header(len(packages), size, *[sum(p[i] for p in packages) for i in (2, 3, 4)]) + index + body
    whole += record(63, b"", blake3(whole))
    assert len(whole) == size
    return whole


def packed(data):
    stored = zstd_frame(data) if len(data) < 256 and len(set(data)) == 1 else data
    return (1, stored) if len(stored) < len(data) else (0, data)


def had_shard():
    """A shard that the receiver has: a table and three files, each a chunk."""
    contents = [random_bytes(300 + i, 500) for i in range(3)]
    table = table_of([(b"%04d" % i, 0, len(data)) for i, data in enumerate(contents)])
    package = Package([(blake3(part), len(part)) for part in [table] + contents])
    return contents, package.shard_roots[0], package.shards[0]


def bundle_cases():
    # Each run of small files is one chunk, and so is each file of 16 KiB or more that has no cut: here at most one file.
    small = one_package("hello", "1.0", [b"hello, world\n"], random_bytes(95, 32))
    empty = one_package("nothing", "0", [])
    same = one_package("same", "1", [b"s" * 200], stored_form=packed)
    gone = one_package("gone", "2", [random_bytes(96, 300)], left_out=(0,))
    contents, root, chunks = had_shard()
    changed = one_package("parts", "2", [contents[0], random_bytes(303, 500), contents[2]], had=(root, chunks))
    return {
        "one": bundle([small]), "several": bundle([small, empty, same]), "assumed": bundle([gone]),
        "parts": bundle([changed]),
    }


def have_list(shards, chunks):
    head = b"stoqhav1" + u32(1) + u32(0) + u64(len(shards)) + u64(len(chunks))
    body = head + b"".join(sorted(shards)) + b"".join(sorted(c[:16] for c in chunks))
    return body + blake3(body)


def make_bundles():
    lines = [
        "# Section 11. bundle NAME BYTES; list ROOT LIST, which a receiver of `parts` has; have SHARDS CHUNKS BYTES:",
        "# the roots and hashes joined, and the list of them.",
    ]
    for name, data in bundle_cases().items():
        lines.append("bundle %s %s" % (name, data.hex()))
    _, root, chunks = had_shard()
    lines.append("list %s %s" % (root.hex(), chunk_list(chunks).hex()))
    for shards, chunks in ((0, 0), (2, 5)):
        roots = [random_bytes(97 + i, 32) for i in range(shards)]
        hashes = [random_bytes(197 + i, 32) for i in range(chunks)]
        fields = (hx(b"".join(roots)), hx(b"".join(hashes)), have_list(roots, hashes).hex())
        lines.append("have %s %s %s" % fields)
    return lines

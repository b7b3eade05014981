#!/usr/bin/env python3
"""Flip one bit in the payload of a live chunk record of a store (docs/FORMATS.md section 9).

usage: flip_chunk.py [--forge] STORE_DIR [NTH | all]

Walks the segments in order, takes the NTH chunk record of at least 8 KiB (0-based, the middle one by
default; the order is the one in which threads or peers delivered them, so a small file's only chunk
may be anywhere), or all records of any size, and flips the lowest bit of its payload's middle byte in
place. Prints what it did as one line. The store's owner finds the damage by the record's checksum.
With --forge the checksum is made right
again (by xxhsum): the owner then sends the bytes as if they were good, and only their hash tells.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors"))

HEADER = 64
CHUNK = 1
LARGE = 8192


def chunk_records(path):
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        at = HEADER
        while at + 32 <= size:
            f.seek(at)
            head = f.read(32)
            if head[:4] != b"sqr1":
                return
            kind, _flags, key_len = struct.unpack_from("<BBH", head, 4)
            stored, = struct.unpack_from("<I", head, 20)
            if kind == CHUNK:
                yield path, at, key_len, stored, f.read(key_len).hex()
            at += (32 + key_len + stored + 7) & ~7


def forge(f, record, key_len, stored):
    from encoder.common import xxh3_64_many
    f.seek(record)
    head = f.read(24)
    f.seek(record + 32)
    body = f.read(key_len + stored)
    f.seek(record + 24)
    f.write(struct.pack("<Q", xxh3_64_many([head + body])[0]))


def flip(path, record, key_len, stored):
    at = record + 32 + key_len + stored // 2
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))
        if "--forge" in sys.argv:
            forge(f, record, key_len, stored)
        f.flush()
        os.fsync(f.fileno())


def main():
    args = [a for a in sys.argv[1:] if a != "--forge"]
    directory = os.path.join(args[0], "segments")
    records = []
    for name in sorted(os.listdir(directory)):
        records += chunk_records(os.path.join(directory, name))
    if not records:
        sys.exit("no chunk record in " + directory)
    if len(args) > 1 and args[1] == "all":
        chosen = records
    else:
        records = [r for r in records if r[3] >= LARGE] or records
        chosen = [records[int(args[1]) if len(args) > 1 else len(records) // 2]]
    for path, record, key_len, stored, key in chosen:
        flip(path, record, key_len, stored)
    print(f"flipped one bit of chunk {chosen[0][4][:16]}.." + (f" and {len(chosen) - 1} more" if chosen[1:] else "")
          + f" in {os.path.basename(chosen[0][0])}")


main()

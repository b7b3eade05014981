#!/usr/bin/env python3
"""Flip one bit in the payload of a live chunk record of a store (docs/FORMATS.md section 9).

usage: flip_chunk.py STORE_DIR [NTH]

Walks the segments in order, takes the NTH chunk record (0-based, the middle one by default) and
flips the lowest bit of its payload's middle byte in place. Prints what it did as one line. The
store's owner finds the damage by the record's checksum; whoever got the bytes would by their hash.
"""
import os
import struct
import sys

HEADER = 64
CHUNK = 1


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
                yield path, at + 32 + key_len, stored, f.read(key_len).hex()
            at += (32 + key_len + stored + 7) & ~7


def main():
    directory = os.path.join(sys.argv[1], "segments")
    records = []
    for name in sorted(os.listdir(directory)):
        records += chunk_records(os.path.join(directory, name))
    if not records:
        sys.exit("no chunk record in " + directory)
    nth = int(sys.argv[2]) if len(sys.argv) > 2 else len(records) // 2
    path, at, stored, key = records[nth]
    with open(path, "r+b") as f:
        f.seek(at + stored // 2)
        byte = f.read(1)[0]
        f.seek(at + stored // 2)
        f.write(bytes([byte ^ 1]))
        f.flush()
        os.fsync(f.fileno())
    print(f"flipped one bit of chunk {key[:16]}.. in {os.path.basename(path)} at byte {at + stored // 2}")


main()

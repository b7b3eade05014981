#!/usr/bin/env python3
"""Make the byte vectors of docs/FORMATS.md, and of the beacons of docs/PROTOCOL.md.

Written from that document and from the documents it cites, sharing no code with stoq, so that a
mistake has to be made twice to pass. Needs Python 3 alone, and on the path: b3sum, xxhsum.

    make_vectors.py            write tests/vectors/*.txt
    make_vectors.py --check    make them again and compare; exit 1 when one differs
    make_vectors.py --corpus   write seeds for the fuzz targets of src/wire, sign, chunk, package, net and daemon

Each file is lines of fields separated by single spaces; bytes are hexadecimal, `-` for none.
`random SEED N` inputs are outputs of SplitMix64 (Vigna's splitmix64.c), started at SEED, each
as 8 little-endian bytes, cut to N bytes.
"""
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

from encoder.beacons import make_beacons  # noqa: E402
from encoder.trust import make_trust  # noqa: E402
from encoder.bundles import bundle_cases, make_bundles  # noqa: E402
from encoder.cbor import cbor, make_cbor  # noqa: E402
from encoder.chunks import make_chunks  # noqa: E402
from encoder.ids import make_hash, make_ids  # noqa: E402
from encoder.keeps import make_keeps  # noqa: E402
from encoder.manifests import make_manifests  # noqa: E402
from encoder.merkle import make_merkle, make_proof_files, make_proofs  # noqa: E402
from encoder.pointers import make_pointers  # noqa: E402
from encoder.records import make_records  # noqa: E402
from encoder.segments import in_place, make_segments  # noqa: E402
from encoder.sign import make_sign, pem  # noqa: E402
from encoder.tables import make_tables  # noqa: E402
from encoder.tars import bytes_of, make_tars  # noqa: E402

FILES = {
    "cbor": make_cbor,
    "ids": make_ids,
    "hash": make_hash,
    "chunks": make_chunks,
    "tars": make_tars,
    "merkle": make_merkle,
    "proofs": make_proofs,
    "tables": make_tables,
    "manifests": make_manifests,
    "sign": make_sign,
    "segments": make_segments,
    "records": make_records,
    "keeps": make_keeps,
    "bundles": make_bundles,
    "beacons": make_beacons,
    "trust": make_trust,
    "pointers": make_pointers,
}


def make_corpus():
    """A few inputs per decoder for fuzz/corpus/TARGET/NAME: good ones, and some of each refusal."""
    rows = {"cbor_fuzz": {}, "bech32m_fuzz": {}, "sign_envelope_fuzz": {}, "key_pem_fuzz": {},
            "content_record_fuzz": {}, "alias_record_fuzz": {}, "tar_scan_fuzz": {}}
    rows["bundle_fuzz"] = bundle_cases()
    rows["place_fuzz"] = {"two": in_place(bytes(100)), "one": cbor([5, [b"/f", 0, 5, 5, 1, 2, 3]])}
    rows["have_fuzz"] = {}
    for i, line in enumerate(make_bundles()):
        word, *fields = line.split()
        if word == "have":
            rows["have_fuzz"]["have-%d" % i] = bytes.fromhex(fields[-1])
    rows["beacon_fuzz"] = {}
    for i, line in enumerate(make_beacons()):
        word, *fields = line.split()
        if word in ("beacon", "refused"):
            rows["beacon_fuzz"]["%s-%d" % (word, i)] = bytes.fromhex(fields[-1])
    for i, line in enumerate(make_cbor()):
        word, *fields = line.split()
        if word in ("item", "cut") or word == "refused" and i % 6 == 0:
            rows["cbor_fuzz"]["%s-%d" % (word, i)] = bytes.fromhex(fields[-1])
    for i, line in enumerate(make_ids()):
        word, *fields = line.split()
        if word == "refused" or word == "id" and i % 5 == 0:
            rows["bech32m_fuzz"]["%s-%d" % (word, i)] = fields[-1].encode()
    for i, line in enumerate(make_sign()):
        word, *fields = line.split()
        if fields[-1] != "-" and len(fields[-1]) < 1000:
            if word == "envelope" or word == "refused" and i % 3 == 0:
                rows["sign_envelope_fuzz"]["%s-%d" % (word, i)] = bytes.fromhex(fields[-1])
            if word == "key":
                rows["key_pem_fuzz"]["key-%d" % i] = bytes.fromhex(fields[-1])
    for i, line in enumerate(make_records()):
        word, *fields = line.split()
        target = word.removeprefix("refused-") + "_record_fuzz"
        if target in rows and len(fields[-1]) < 1000:
            rows[target]["%s-%d" % (word, i)] = bytes.fromhex(fields[-2] + fields[-1])
    rows["pointer_fuzz"] = {}
    for i, line in enumerate(make_pointers()[2:]):
        word, *fields = line.split()
        if word == "pointer" or i % 4 == 0:
            rows["pointer_fuzz"]["%s-%d" % (word, i)] = bytes.fromhex(fields[4 if word == "pointer" else 1])
    rows["keep_record_fuzz"] = {}
    for i, line in enumerate(make_keeps()[1:]):
        word, *fields = line.split()
        kind, key, payload = int(fields[-3] if word != "keep" else fields[0]), bytes.fromhex(fields[-2]), fields[-1]
        rows["keep_record_fuzz"]["%s-%d" % (word, i)] = bytes([kind - 7, len(key)]) + key + bytes.fromhex(payload)
    rows["proof_file_fuzz"] = {}
    for i, line in enumerate(make_proof_files()):
        word, *fields = line.split()
        rows["proof_file_fuzz"]["%s-%d" % (word, i)] = bytes.fromhex(fields[-1])
    for i, line in enumerate(make_tars()):
        word, *fields = line.split()
        if word == "runs" and i % 3 == 0 and len(fields[2]) < 1000:
            # T, bytes a read, 1 to mend the checksums; then the file.
            rows["tar_scan_fuzz"][fields[0]] = struct.pack("<HHB", 1000, 1 + i * 37 % 600, i % 2) + bytes_of(fields[2])
    rows["key_pem_fuzz"]["encrypted"] = pem(b"\x30\x00").replace(b"PRIVATE", b"ENCRYPTED PRIVATE")
    rows["key_pem_fuzz"]["rsa"] = pem(b"\x30\x82\x04\xbc" + bytes(60))
    for target, files in rows.items():
        folder = os.path.join(HERE, "../../fuzz/corpus", target)
        os.makedirs(folder, exist_ok=True)
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)


def main():
    if sys.argv[1:] == ["--corpus"]:
        make_corpus()
        return
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    differ = 0
    for name, make in FILES.items():
        path = os.path.join(HERE, name + ".txt")
        text = "\n".join(make()) + "\n"
        if not check:
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            continue
        with open(path, encoding="ascii") as f:
            same = f.read() == text
        print("%s %s" % ("same  " if same else "DIFFER", name))
        differ += not same
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()

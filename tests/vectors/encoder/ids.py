"""docs/FORMATS.md section 2: text ids and hashes."""
import hashlib

from encoder.common import blake3_many, random_bytes, xxh3_128_many, xxh3_64_many


CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def polymod(values):
    """As BIP 173 gives it."""
    chk = 1
    for value in values:
        top = chk >> 25
        chk = (chk & 0x1FFFFFF) << 5 ^ value
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            chk ^= g if top >> i & 1 else 0
    return chk


def bech32m(hrp, symbols, constant=0x2BC830A3):
    expanded = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    check = polymod(expanded + symbols + [0] * 6) ^ constant
    return hrp + "1" + "".join(CHARSET[s] for s in symbols + [check >> 5 * (5 - i) & 31 for i in range(6)])


def id_symbols(payload, version=0, padding=0):
    bits = "".join("{:08b}".format(byte) for byte in payload)
    missing = -len(bits) % 5
    bits += "{:0{}b}".format(padding, missing) if missing else ""
    return [version] + [int(bits[i : i + 5], 2) for i in range(0, len(bits), 5)]


def make_ids():
    lines = ["# Section 2. id PREFIX PAYLOAD TEXT; refused WHY TEXT (as a package id; `algorithm`: as an address)."]
    payloads = [bytes(32), b"\xff" * 32, bytes(range(32)), b"\x80" + bytes(31), bytes(31) + b"\x01"]
    payloads += [random_bytes(seed, 32) for seed in range(3)]
    for hrp in ("stoq", "peer", "key"):
        for payload in payloads:
            lines.append("id %s %s %s" % (hrp, payload.hex(), bech32m(hrp, id_symbols(payload))))
    for i, payload in enumerate(payloads):
        payload = bytes([1 + i % 2]) + payload
        lines.append("id data %s %s" % (payload.hex(), bech32m("data", id_symbols(payload))))
    some = random_bytes(9, 32)
    good = bech32m("stoq", id_symbols(some))
    assert len(good) == 64 and good.startswith("stoq1q")
    refused = [
        ("version", bech32m("stoq", id_symbols(some, version=1))),
        ("version", bech32m("stoq", id_symbols(some, version=31))),
        ("padding", bech32m("stoq", id_symbols(some, padding=1))),
        ("padding", bech32m("stoq", id_symbols(some, padding=8))),
        ("length", bech32m("stoq", id_symbols(some[:31]))),
        ("length", bech32m("stoq", id_symbols(some + b"\0"))),
        ("length", bech32m("stoq", id_symbols(some) + [0])),
        ("length", bech32m("stoq", [0])),
        ("length", bech32m("stoq", [])),
        ("prefix", bech32m("peer", id_symbols(some))),
        ("prefix", bech32m("sto", id_symbols(some))),
        ("prefix", bech32m("stoqq", id_symbols(some))),
        ("prefix", good[5:]),
        ("checksum", bech32m("stoq", id_symbols(some), constant=1)),
        ("checksum", good[:-1] + ("q" if good[-1] != "q" else "p")),
        ("case", good[:10] + good[10:].upper()),
        ("case", "Stoq" + good[4:]),
        ("character", good[:20] + "b" + good[21:]),
        ("character", good[:20] + "i" + good[21:]),
        ("algorithm", bech32m("data", id_symbols(b"\0" + some))),
        ("algorithm", bech32m("data", id_symbols(b"\3" + some))),
        ("algorithm", bech32m("data", id_symbols(b"\4" + some))),
        ("algorithm", bech32m("data", id_symbols(b"\5" + some))),
    ]
    return lines + ["refused %s %s" % row for row in refused]


def counting(n):
    """The input of the official BLAKE3 vectors: 0, 1, ... 250, 0, ..."""
    return bytes(i % 251 for i in range(n))


def make_hash():
    lines = ["# Section 2. ALGORITHM N DIGEST: the input is n bytes 0, 1, ... 250, 0, ...; xxh3-64 as a number."]
    lengths = [0, 1, 3, 4, 8, 9, 16, 17, 63, 64, 65, 128, 129, 240, 241, 1023, 1024, 1025, 2048, 2049, 4096, 4097,
               31744, 102400]
    inputs = [counting(n) for n in lengths]
    digests = {
        "blake3": blake3_many(inputs),
        "sha3-256": [hashlib.sha3_256(d).digest() for d in inputs],
        "sha256": [hashlib.sha256(d).digest() for d in inputs],
        "xxh3-128": xxh3_128_many(inputs),
        "sha512": [hashlib.sha512(d).digest() for d in inputs],
    }
    for name, rows in digests.items():
        for n, digest in zip(lengths, rows):
            lines.append("%s %d %s" % (name, n, digest.hex()))
    for n, value in zip(lengths, xxh3_64_many(inputs)):
        lines.append("xxh3-64 %d %d" % (n, value))
    return lines

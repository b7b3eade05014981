"""docs/PROTOCOL.md section 13: the beacons of LAN discovery."""
from encoder.cbor import cbor
from encoder.common import blake3
from encoder.gcm import aes128_gcm
from encoder.sign import envelope


def beacon(seed, body, context="beacon", **change):
    raw = cbor(body) if isinstance(body, dict) else body
    return cbor([raw, cbor(envelope(seed, context, blake3(raw), **change))])


def sealed(label, of, salt, plain):
    """Section 12: of is the network's key, or the sender's peer id."""
    key = blake3(label + of)[:16]
    nonce = salt + blake3(key + salt)[:4]
    inside = len(plain).to_bytes(2, "little") + plain
    return b"\3" + nonce + aes128_gcm(key, nonce, inside + bytes(227 - len(inside)), b"\3")


def make_beacons():
    lines = [
        "# Section 13. beacon SEED KIND SEQUENCE PORT DATAGRAM; refused WHY DATAGRAM, where WHY is the",
        "# outcome: proof, version or malformed. Section 12. sealed-network KEY SALT BEACON DATAGRAM; sealed-peer",
        "# PEERID SALT BEACON DATAGRAM.",
    ]
    seed = bytes([1]) + bytes(31)
    for kind, sequence, port in ((1, 1795500000000000, 4477), (2, 1795500000000001, 1), (2, 0, 0),
                                 (3, (1 << 64) - 1, 65535), (1, 23, 0)):
        body = {1: 1, 2: kind, 3: sequence} | ({4: port} if port else {})
        lines.append("beacon %s %d %d %d %s" % (seed.hex(), kind, sequence, port, beacon(seed, body).hex()))
    good = {1: 1, 2: 1, 3: 5, 4: 4477}
    raw = beacon(seed, good)
    other = envelope(bytes(32), "beacon", blake3(cbor(good)))
    refused = [
        ("proof", beacon(seed, good, "announce")),
        ("proof", beacon(seed, good, k2=other[2])),
        ("proof", beacon(seed, good, k5=other[5])),
        ("proof", cbor([cbor(good | {4: 4478}), cbor(envelope(seed, "beacon", blake3(cbor(good))))])),
        ("version", beacon(seed, good | {1: 2})),
        ("version", beacon(seed, good, k1=2)),
        ("malformed", beacon(seed, good | {1: 0})),
        ("malformed", beacon(seed, good | {2: 0})),
        ("malformed", beacon(seed, good | {2: 4})),
        ("malformed", beacon(seed, good | {4: 0})),
        ("malformed", beacon(seed, good | {4: 65536})),
        ("malformed", beacon(seed, good | {5: 1})),
        ("malformed", beacon(seed, {2: 1, 3: 5})),
        ("malformed", beacon(seed, {1: 1, 3: 5})),
        ("malformed", beacon(seed, cbor(good) + b"\0")),
        ("malformed", beacon(seed, b"\xa4\x01\x01\x01\x01\x02\x01\x03\x05")),
        ("malformed", raw + b"\0"),
        ("malformed", raw[:-1]),
        ("malformed", cbor([cbor(good)])),
        ("malformed", b"\x9b" + b"\xff" * 8),
    ]
    for name, label, of in (("network", b"stoq network beacon v1", bytes([7] * 32)),
                            ("peer", b"stoq peer beacon v1", bytes([8] * 32))):
        salt = bytes(range(8))
        lines.append("sealed-%s %s %s %s %s" % (name, of.hex(), salt.hex(), raw.hex(), sealed(label, of, salt, raw).hex()))
    lines += ["refused %s %s" % (why, datagram.hex()) for why, datagram in refused]
    return lines

"""docs/FORMATS.md section 8: signatures, by RFC 8032 section 5.1 and its sample code."""
import base64
import hashlib

from encoder.cbor import cbor
from encoder.common import blake3, hx, random_bytes
from encoder.manifests import MANIFESTS


P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e1, e2 = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = e2 - e1, d - c, d + c, e2 + e1
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_times(k, point):
    out = (0, 1, 1, 0)
    while k:
        if k & 1:
            out = point_add(out, point)
        point = point_add(point, point)
        k >>= 1
    return out


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def point_bytes(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519_expand(seed):
    h = hashlib.sha512(seed).digest()
    return int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254, h[32:]


def ed25519_public(seed):
    return point_bytes(point_times(ed25519_expand(seed)[0], BASE))


def ed25519_sign(seed, message):
    a, prefix = ed25519_expand(seed)
    public = point_bytes(point_times(a, BASE))
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    big_r = point_bytes(point_times(r, BASE))
    k = int.from_bytes(hashlib.sha512(big_r + public + message).digest(), "little") % L
    return big_r + ((r + k * a) % L).to_bytes(32, "little")


# RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
RFC_8032 = [
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]

SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")  # RFC 8410, section 4
PKCS8_HEAD = bytes.fromhex("302e020100300506032b657004220420")  # RFC 8410, section 7


def pem(der):
    text = base64.b64encode(der).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""]).encode()


def envelope(seed, context, object_hash, **change):
    public = ed25519_public(seed)
    message = b"stoq-sig-1" + bytes([len(context)]) + context.encode() + object_hash
    m = {1: 1, 2: SPKI_HEAD + public, 3: context, 4: object_hash, 5: ed25519_sign(seed, message)}
    m.update({int(k[1:]): v for k, v in change.items()})
    return {k: v for k, v in m.items() if v is not None}


def make_sign():
    for secret, public, message, signature in RFC_8032:
        seed = bytes.fromhex(secret)
        assert ed25519_public(seed).hex() == public
        assert ed25519_sign(seed, bytes.fromhex(message)).hex() == signature
    lines = [
        "# Section 8. rfc8032 SEED PUBLIC MESSAGE SIGNATURE (its section 7.1); key SEED SPKI KEY_ID PEM;",
        "# envelope SEED CONTEXT OBJECT_HASH ENVELOPE; refused WHY CONTEXT OBJECT_HASH ENVELOPE, where WHY",
        "# is the outcome: proof, version or malformed.",
    ]
    lines += ["rfc8032 %s %s %s %s" % (a, b, c or "-", d) for a, b, c, d in RFC_8032]
    seeds = [bytes(32), bytes(range(32)), random_bytes(80, 32), random_bytes(81, 32)]
    for seed in seeds:
        spki = SPKI_HEAD + ed25519_public(seed)
        lines.append("key %s %s %s %s" % (seed.hex(), spki.hex(), blake3(spki).hex(), pem(PKCS8_HEAD + seed).hex()))
    objects = [blake3(cbor(MANIFESTS["full"])), bytes(32), random_bytes(82, 32)]
    for seed in seeds:
        for context, digest in zip(("package", "announce", "x" * 64), objects):
            raw = cbor(envelope(seed, context, digest))
            lines.append("envelope %s %s %s %s" % (seed.hex(), context, digest.hex(), raw.hex()))
    seed, digest = seeds[2], objects[0]
    good = envelope(seed, "package", digest)
    other = bytes([digest[0] ^ 1]) + digest[1:]
    high_s = good[5][:32] + (int.from_bytes(good[5][32:], "little") + L).to_bytes(32, "little")
    spki = good[2]
    refused = [
        ("proof", envelope(seed, "pointer", digest)),
        ("proof", envelope(seed, "packag", digest)),
        ("proof", envelope(seed, "package", other)),
        ("proof", envelope(seed, "package", digest, k4=other)),
        ("proof", envelope(seed, "pointer", digest, k3="package")),
        ("proof", envelope(seed, "package", other, k4=digest)),
        ("proof", envelope(seed, "package", digest, k2=SPKI_HEAD + ed25519_public(seeds[0]))),
        ("proof", envelope(seed, "package", digest, k5=bytes(64))),
        ("proof", envelope(seed, "package", digest, k5=high_s)),  # S >= L (RFC 8032, section 5.1.7)
        ("proof", envelope(seed, "package", digest, k5=ed25519_sign(seed, digest))),  # without the prefix
        ("version", envelope(seed, "package", digest, k1=2)),
        ("version", envelope(seed, "package", digest, k1=0)),
        ("version", envelope(seed, "package", digest, k1=1 << 40)),
        ("version", envelope(seed, "package", digest, k1=2, k2=bytes(2000), k5=bytes(5000))),
        ("malformed", envelope(seed, "package", digest, k2=spki[:-1])),
        ("malformed", envelope(seed, "package", digest, k2=spki + b"\0")),
        ("malformed", envelope(seed, "package", digest, k2=b"\x31" + spki[1:])),
        ("malformed", envelope(seed, "package", digest, k2=spki[:8] + b"\x71" + spki[9:])),  # X448's identifier
        ("malformed", envelope(seed, "package", digest, k2=spki.hex())),
        ("malformed", envelope(seed, "package", digest, k3="")),
        ("malformed", envelope(seed, "package", digest, k3="x" * 65)),
        ("malformed", envelope(seed, "package", digest, k3=b"package")),
        ("malformed", envelope(seed, "package", digest, k4=digest[:31])),
        ("malformed", envelope(seed, "package", digest, k5=good[5][:63])),
        ("malformed", envelope(seed, "package", digest, k5=good[5] + b"\0")),
        ("malformed", envelope(seed, "package", digest, k1=2, k5=bytes(8192))),  # over 8 KiB
        ("malformed", envelope(seed, "package", digest, k6=0)),
        ("malformed", envelope(seed, "package", digest, k0=0)),
    ]
    refused += [("malformed", envelope(seed, "package", digest, **{"k%d" % k: None})) for k in range(1, 6)]
    rows = [(why, cbor(m)) for why, m in refused]
    raw = cbor(good)
    rows += [("malformed", raw + b"\0"), ("malformed", raw[:-1]), ("malformed", b""), ("malformed", b"\x80")]
    return lines + ["refused %s package %s %s" % (why, digest.hex(), hx(item)) for why, item in rows]

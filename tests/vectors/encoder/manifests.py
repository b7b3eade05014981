"""docs/FORMATS.md section 7: manifests."""
from encoder.cbor import cbor
from encoder.common import blake3, hx, random_bytes, u64
from encoder.ids import bech32m, id_symbols


def base_manifest(**change):
    m = {1: 1, 2: "hello", 3: "1.0", 8: 1, 9: 13, 11: 1, 12: 1, 13: 2, 14: 25, 15: random_bytes(70, 32)}
    m.update({int(k[1:]): v for k, v in change.items()})
    return {k: v for k, v in m.items() if v is not None}


EMPTY_ROOT = blake3(b"\3" + u64(0) * 3 + blake3(b""))
MANIFESTS = {
    "least": base_manifest(),
    "empty": base_manifest(k9=0, k11=0, k12=0, k13=0, k14=0, k15=EMPTY_ROOT),
    "full": base_manifest(
        k2="lib+stuff_2.x-y", k3="2:1.0~rc1+dfsg-\u00fc", k4="A description.\nOf two lines: \u6c34.", k5="Apache-2.0",
        k6={"b": "2", "aa": "", "a": "1", "\u00fc": "x" * 4096},
        k7=[["a", ""], ["a", ">= 1"], ["b", "", random_bytes(71, 32)], ["b-c", "< 2~ & > 1"], ["b0", "= 1", bytes(32)]],
        k10=[3, random_bytes(72, 32)], k9=4242, k11=77, k12=3, k13=600, k14=54321000,
    ),
    "profile2": base_manifest(k8=2),
    "profile1k": base_manifest(k8=17),
    "profile2k": base_manifest(k8=18),
    "sha3": base_manifest(k10=[2, random_bytes(73, 32)]),
    "sha512": base_manifest(k10=[5, random_bytes(74, 64)]),
    "limits": base_manifest(
        k2="0" + "z" * 127, k3="v" * 128, k4="d" * 4096, k5="l" * 256, k6={"k%063d" % i: "v" for i in range(64)},
        k7=[["p%03d" % i, "r" * 128] for i in range(256)], k11=1 << 24, k12=1 << 21, k13=1 << 30, k14=1 << 48,
        k9=1 << 48,
    ),
    "edges": base_manifest(k9=25, k12=1, k13=512, k14=512 * 262144, k6={"k" * 128: ""}),
    "tight": base_manifest(k9=1, k12=25, k13=25, k14=25),
}


def make_manifests():
    lines = [
        "# Section 7. manifest NAME BYTES PACKAGE_ID TEXT; refused WHY BYTES: malformed, or with WHY version: of a",
        "# version or profile not spoken; cut BYTES: ends early. The values of each are in make_vectors.py, MANIFESTS.",
    ]
    for name, m in MANIFESTS.items():
        raw = cbor(m)
        assert len(raw) <= 65536, name
        digest = blake3(raw)
        lines.append("manifest %s %s %s %s" % (name, raw.hex(), digest.hex(), bech32m("stoq", id_symbols(digest))))
    refused = [("version", dict(k1=2)), ("version", dict(k1=0)), ("version", dict(k8=3)), ("version", dict(k8=19)),
               ("version", dict(k8=0))]
    for name in ("", "A", "-a", ".a", "+a", "_a", "a b", "a/b", "a@b", "\u00fc", "a" * 129, "aB", b"a"):
        refused.append(("name", dict(k2=name)))
    for version in ("", "1/2", "1@2", "1 2", "1\t2", "1\n", "\x7f", "\0", "v" * 129, b"1", 1):
        refused.append(("version-text", dict(k3=version)))
    refused += [("description", dict(k4=x)) for x in ("", "d" * 4097, b"d")]
    refused += [("license", dict(k5=x)) for x in ("", "l" * 257)]
    for notes in ({}, {"k%d" % i: "" for i in range(65)}, {"": "x"}, {"k" * 129: "x"}, {"k": "v" * 4097}, {"k": 1},
                  {1: "v"}, {"k": b"v"}, ["k", "v"]):
        refused.append(("annotations", dict(k6=notes)))
    for needs in ([], [["a", ""]] * 2, [["b", ""], ["a", ""]], [["a", "2"], ["a", "1"]], [["a"]], [["A", ""]],
                  [["a", 1]], [["a", "r" * 129]], [["a", "", b"x" * 31]], [["a", "", bytes(32), 0]], [["", ""]],
                  [["a", "", bytes(32)], ["a", "", b"\1" * 32]], [["p%03d" % i, ""] for i in range(257)], {}):
        refused.append(("dependencies", dict(k7=needs)))
    for second in ([], [3], [1, bytes(32)], [4, bytes(16)], [0, b""], [6, bytes(32)], [3, bytes(31)], [3, bytes(64)],
                   [5, bytes(32)], [2, bytes(33)], [3, bytes(32), 0], bytes(32)):
        refused.append(("secondary", dict(k10=second)))
    refused += [
        ("counts", dict(k9=26)),  # table_bytes > bytes
        ("counts", dict(k13=26)),  # chunks > bytes
        ("counts", dict(k12=3)),  # shards > chunks
        ("counts", dict(k13=0, k12=0)),  # bytes without chunks
        ("counts", dict(k14=0, k9=0)),  # chunks without bytes
        ("counts", dict(k14=2 * 262144 + 1)),  # chunks cannot hold the bytes
        ("counts", dict(k13=513, k14=513)),  # one shard cannot hold 513 chunks
        ("counts", dict(k12=0)),
        ("counts", dict(k14=(1 << 48) + 1, k13=1 << 31, k12=1 << 22)),
        ("counts", dict(k11=(1 << 24) + 1)),
        ("counts", dict(k14=-1 % (1 << 64), k13=-1 % (1 << 64), k12=-1 % (1 << 64))),
        ("root", dict(k15=bytes(31))), ("root", dict(k15=bytes(33))), ("root", dict(k15="r" * 32)),
    ]
    refused += [("missing", {"k%d" % key: None}) for key in (1, 2, 3, 8, 9, 11, 12, 13, 14, 15)]
    refused += [("unknown", {"k%d" % key: 0}) for key in (0, 16, 23, 24, 255)]
    for why, change in refused:
        lines.append("refused %s %s" % (why, cbor(base_manifest(**change)).hex()))
    good = cbor(base_manifest())
    for why, raw in [
        ("after", good + b"\0"), ("form", b"\x80"), ("form", cbor([base_manifest()])),
        ("form", b"\xb8" + bytes([good[0] & 31]) + good[1:]), ("form", b"\xbf" + good[1:] + b"\xff"),
        ("order", b"\xaa" + good[3:] + good[1:3]),
    ]:
        lines.append("refused %s %s" % (why, hx(raw)))
    lines += ["cut %s" % hx(good[:n]) for n in (0, 1, 2, len(good) - 1)]
    return lines

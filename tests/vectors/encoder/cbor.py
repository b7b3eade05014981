"""docs/FORMATS.md section 1: deterministic CBOR."""
from encoder.common import hx


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise ValueError(value)


def cbor(x):
    if x is False or x is True:
        return b"\xf5" if x else b"\xf4"
    if isinstance(x, int):
        return head(0, x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        raw = x.encode()
        return head(3, len(raw)) + raw
    if isinstance(x, list):
        return head(4, len(x)) + b"".join(cbor(item) for item in x)
    if isinstance(x, dict):
        pairs = sorted((cbor(k), cbor(v)) for k, v in x.items())
        return head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    raise TypeError(type(x))


# RFC 8949, Appendix A: the rows that our subset has, value beside encoding.
APPENDIX_A = [
    (0, "00"), (1, "01"), (10, "0a"), (23, "17"), (24, "1818"), (25, "1819"), (100, "1864"), (1000, "1903e8"),
    (1000000, "1a000f4240"), (1000000000000, "1b000000e8d4a51000"), (18446744073709551615, "1bffffffffffffffff"),
    (False, "f4"), (True, "f5"), (b"", "40"), (b"\x01\x02\x03\x04", "4401020304"), ("", "60"), ("a", "6161"),
    ("IETF", "6449455446"), ('"\\', "62225c"), ("\u00fc", "62c3bc"), ("\u6c34", "63e6b0b4"),
    ("\U00010151", "64f0908591"), ([], "80"), ([1, 2, 3], "83010203"), ([1, [2, 3], [4, 5]], "8301820203820405"),
    (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"), ({}, "a0"),
    ({1: 2, 3: 4}, "a201020304"), ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    (["a", {"b": "c"}], "826161a161626163"),
    ({"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}, "a56161614161626142616361436164614461656145"),
]

# The same appendix: rows outside our subset, and then other ways to be wrong.
APPENDIX_A_REFUSED = """
c249010000000000000000 3bffffffffffffffff c349010000000000000000 20 29 3863 3903e7 f90000 f98000 f93c00
fb3ff199999999999a f93e00 f97bff fa47c35000 fa7f7fffff fb7e37e43c8800759c f90001 f90400 f9c400 fbc010666666666666 f97c00
f97e00 f9fc00 fa7f800000 fa7fc00000 faff800000 fb7ff0000000000000 fb7ff8000000000000 fbfff0000000000000 f6 f7 f0 f8ff
c074323031332d30332d32315432303a30343a30305a c11a514b67b0 c1fb41d452d9e200000000 d74401020304 d818456449455446
d82076687474703a2f2f7777772e6578616d706c652e636f6d 5f42010243030405ff 7f657374726561646d696e67ff 9fff
9f018202039f0405ffff 9f01820203820405ff 83018202039f0405ff 83019f0203ff820405 bf61610161629f0203ffff
826161bf61626163ff bf6346756ef563416d7421ff
""".split()

OTHER_REFUSED = [
    ("1800", "0 in two bytes"), ("1817", "23 in two bytes"), ("1900ff", "255 in three bytes"),
    ("1a0000ffff", "65535 in five bytes"), ("1b00000000ffffffff", "2^32-1 in nine bytes"),
    ("580161", "length 1 in two bytes"), ("780161", "text length 1 in two bytes"), ("980100", "count 1 in two bytes"),
    ("b8010000", "pair count 1 in two bytes"), ("1c", "reserved argument"), ("1f", "reserved argument"),
    ("a201020102", "equal keys"), ("a203040102", "descending keys"), ("a2616201616102", "descending text keys"),
    ("a262616101616202", "longer key first"), ("a18000", "array as key"), ("a1a000", "map as key"),
    ("61ff", "not UTF-8"), ("62c080", "overlong UTF-8"), ("63eda080", "surrogate"), ("64f4908080", "past U+10FFFF"),
    ("61c3", "cut UTF-8"), ("818181818181818181" + "80", "nesting of 10"), ("8181818181818181" + "80", "nesting of 9"),
    ("a101a101a101a101a101a101a101a101a0", "maps nested 9 deep"), ("0000", "a byte after the item"),
    ("f8", "simple value of two bytes"), ("f814", "false in two bytes"), ("ff", "break alone"),
]


def make_cbor():
    lines = [
        "# Section 1. uint VALUE ITEM, bytes VALUE ITEM, text VALUE ITEM, bool VALUE ITEM; item ITEM: a container;",
        "# refused ITEM: malformed (first those of RFC 8949 Appendix A); cut ITEM: every prefix is truncated.",
    ]
    extra = [255, 256, 65535, 65536, 4294967295, 4294967296, bytes(23), bytes(24), bytes(255), bytes(256), "x" * 300,
             "\ud7ff\ue000\U0010ffff\u0800\u007f\u0080\u07ff\uffff\U00010000",
             [[[[[[[[]]]]]]]], {0: {1: {2: {3: {4: {5: {6: {}}}}}}}},
             {"b": 1, "aa": 2, "a": 3, "": 4}, {23: False, 24: True, 255: b"", 256: "", 65536: [], 10: {}}]
    for value, want in APPENDIX_A:
        assert cbor(value) == bytes.fromhex(want), (value, want)
    for value in [v for v, _ in APPENDIX_A] + extra:
        if isinstance(value, bool):
            lines.append("bool %d %s" % (value, cbor(value).hex()))
        elif isinstance(value, int):
            lines.append("uint %d %s" % (value, cbor(value).hex()))
        elif isinstance(value, bytes):
            lines.append("bytes %s %s" % (hx(value), cbor(value).hex()))
        elif isinstance(value, str):
            lines.append("text %s %s" % (hx(value.encode()), cbor(value).hex()))
        else:
            lines.append("item %s" % cbor(value).hex())
    lines += ["refused %s" % item for item in APPENDIX_A_REFUSED]
    lines += ["refused %s" % item for item, _ in OTHER_REFUSED]
    cut = {1: "text", 2: b"bytes", 3: [1, 24, 256, 65536, 1 << 32, "\u6c34"], 4: {"a": True, "b": {}}}
    lines.append("cut %s" % cbor(cut).hex())
    return lines

#!/usr/bin/env python3
"""A second reader of the protocol, written from docs/PROTOCOL.md (and FORMATS.md section 1) alone, sharing no code
with stoq: it takes frames and items apart into values and puts them together again, byte for byte. Read are
  - the vectors of PROTOCOL.md,
  - frames of every message as the C encoder makes them from a seed,
  - every stream of a real session: a daemon, a get, a get of what is not there.
Nothing unknown may be among them, and every message type must be. Damaged frames must be refused.
"""
import json
import os
import random
import re
import signal
import subprocess
import sys
import time


class Bad(Exception):
    pass


def need(ok, what="malformed"):
    if not ok:
        raise Bad(what)


# ---- FORMATS.md section 1 ---------------------------------------------------------------------------------------

def argument(b, at):
    need(at < len(b), "cut short")
    major, info = b[at] >> 5, b[at] & 31
    if info < 24:
        return major, info, at + 1
    need(info <= 27, "reserved argument")
    n = 1 << (info - 24)
    need(at + 1 + n <= len(b), "cut short")
    value = int.from_bytes(b[at + 1:at + 1 + n], "big")
    need(value >= (24 if n == 1 else 1 << (4 * n)), "not the shortest form")
    return major, value, at + 1 + n


def item(b, at, depth=0):
    need(depth <= 8, "too deep")
    need(at < len(b), "cut short")
    if b[at] in (0xf4, 0xf5):
        return b[at] == 0xf5, at + 1
    major, value, at = argument(b, at)
    if major == 0:
        return value, at
    if major in (2, 3):
        need(at + value <= len(b), "cut short")
        raw = bytes(b[at:at + value])
        if major == 3:
            try:
                return raw.decode("utf-8"), at + value
            except UnicodeDecodeError:
                raise Bad("not UTF-8") from None
        return raw, at + value
    if major == 4:
        need(value <= len(b), "cut short")
        out = []
        for _ in range(value):
            x, at = item(b, at, depth + 1)
            out.append(x)
        return out, at
    need(major == 5 and value <= len(b), "no such type")
    out, last = {}, b""
    for _ in range(value):
        begin = at
        key, at = item(b, at, depth + 1)
        need(isinstance(key, (int, str)) and not isinstance(key, bool), "a key of another type")
        need(bytes(b[begin:at]) > last, "keys do not ascend")
        last = bytes(b[begin:at])
        out[key], at = item(b, at, depth + 1)
    return out, at


def whole(b):
    x, at = item(b, 0)
    need(at == len(b), "bytes follow")
    return x


def head(major, v):
    if v < 24:
        return bytes([major << 5 | v])
    n = 1 if v < 1 << 8 else 2 if v < 1 << 16 else 4 if v < 1 << 32 else 8
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[n]]) + v.to_bytes(n, "big")


def cbor(x):
    if x is True or x is False:
        return b"\xf5" if x else b"\xf4"
    if isinstance(x, int):
        return head(0, x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        return head(3, len(x.encode())) + x.encode()
    if isinstance(x, list):
        return head(4, len(x)) + b"".join(map(cbor, x))
    return head(5, len(x)) + b"".join(k + v for k, v in sorted((cbor(k), cbor(v)) for k, v in x.items()))


# ---- PROTOCOL.md sections 5 and 14: what a body may be -----------------------------------------------------------

def uint(low=0, high=(1 << 64) - 1):
    def check(x):
        need(isinstance(x, int) and not isinstance(x, bool) and low <= x <= high, "a number")
    return check


def raw(low, high=None, unit=1):
    def check(x):
        need(isinstance(x, bytes) and low <= len(x) <= (low if high is None else high) and len(x) % unit == 0, "bytes")
    return check


def text(low, high):
    def check(x):
        need(isinstance(x, str) and low <= len(x.encode()) <= high, "text")
    return check


def only_true(x):
    need(x is True, "true")


def fields(body, **forms):
    """One of the forms: {key: check}, keys that may be left out in `may`."""
    need(isinstance(body, dict), "a map")
    tried = []
    for name, (must, may) in forms.items():
        if set(must) <= set(body) <= set(must) | set(may):
            for key, value in body.items():
                (must.get(key) or may.get(key))(value)
            return name
        tried.append(name)
    raise Bad(f"keys {sorted(body)} are of none of {tried}")


HASH, INDEX = raw(32), uint(0, 1 << 48)


def versions(x):
    need(isinstance(x, list) and 1 <= len(x) <= 8 and sorted(set(x)) == x, "versions")
    for v in x:
        uint(0, (1 << 32) - 1)(v)


def pairs(chunks_max):
    def check(x):
        need(isinstance(x, list) and len(x) % 2 == 0 and 2 <= len(x) <= 8192, "pairs")
        first, total = 0, 0
        for i in range(0, len(x), 2):
            uint(0 if i == 0 else 1)(x[i])
            uint(1, (1 << 32) - 1)(x[i + 1])
            first += x[i]
            INDEX(first)
            first, total = first + x[i + 1], total + x[i + 1]
        need(total <= chunks_max, "too many chunks")
    return check


def signed(read):
    def check(x):
        need(isinstance(x, list) and len(x) == 2, "signed")
        raw(1, 4096)(x[0])
        raw(1, 4800)(x[1])
        read(whole(x[0]))
        need(cbor(whole(x[0])) == x[0], "a body that is put together differently")
    return check


RECORD = {1: uint(1, 1), 2: raw(1, 2800), 3: raw(0, 144, 18), 4: uint(), 5: uint(), 6: uint(1, 86400)}
MORE = {7: raw(32), 8: uint()}
CONTACT = signed(lambda b: fields(b, contact=(RECORD, MORE)))
LOCATION = signed(lambda b: fields(b, location=({**RECORD, 9: raw(32)}, {**MORE, 10: raw(1, 496)})))
RENEWAL = signed(lambda b: fields(b, renewal=({1: uint(1, 1), 2: raw(1, 2800), 3: HASH, 4: uint(), 5: raw(8, 896, 8)}, {})))
RECEIPT_BODY = {1: uint(1, 1), 2: raw(1, 2800), 3: HASH, 4: uint(), 5: uint(), 6: uint(), 7: raw(16)}
RECEIPT = signed(lambda b: fields(b, whole=(RECEIPT_BODY, {}),
                                  part=({**RECEIPT_BODY, 8: INDEX, 9: uint(1, 1 << 48)}, {})))


def array(check, high, low=0):
    def every(x):
        need(isinstance(x, list) and low <= len(x) <= high, "an array")
        for one in x:
            check(one)
    return every


def hello(b):
    must = {1: versions, 2: uint(), 3: text(1, 64), 4: uint(1, 4096), 5: uint(1, 4096), 6: uint(4096, 65536)}
    fields(b, plain=(must, {}), with_key=({**must, 7: raw(32), 8: raw(1, 512)}, {}))


def query(b):
    kind = b.get(2)
    if kind in (1, 2, 4, 7, 8):
        fields(b, query=({1: HASH, 2: uint()}, {}))
    else:
        need(kind in (3, 5, 6), "kind")
        fields(b, query=({1: HASH, 2: uint(), 3: INDEX, 4: uint(1, 65536 if kind == 5 else 256)}, {}))


CAP = {4: uint(1, 1 << 50)}


def response(b):
    kind = b.get(1)
    if kind in range(1, 9):
        fields(b, metadata=({1: uint(), 2: uint(0, 1 << 24)}, {}))
    elif kind == 16:
        fields(b, items=({1: uint(), 3: uint(1, 4096)}, CAP))
    elif kind == 17:
        fields(b, items=({1: uint(), 3: uint(0, (1 << 32) - 1)}, CAP))
    elif kind == 18:
        fields(b, package=({1: uint(), 2: uint(0, 1 << 24), 3: uint(0, (1 << 32) - 1)}, CAP))
    else:
        need(kind == 19, "kind")
        fields(b, accepted=({1: uint()}, {}))


def have(b):
    if fields(b, all=({1: HASH}, {}), some=({1: HASH, 2: INDEX, 3: uint(1, 262144), 4: raw(1, 32768)}, {})) == "some":
        bits = int.from_bytes(b[4], "little")
        need(len(b[4]) == (b[3] + 7) // 8 and bits < 1 << b[3], "bits")


def request(b):
    fields(b, all=({1: HASH}, {4: only_true}), hashes=({1: HASH, 2: raw(32, 32768, 32)}, {4: only_true}),
           held=({1: HASH, 3: pairs(1 << 48)}, {4: only_true}))


def offer(b):
    must = {1: HASH, 2: uint(), 3: uint(), 4: raw(16)}
    may = {7: array(CONTACT, 8, 1)}
    fields(b, whole=(must, may), part=({**must, 5: INDEX, 6: uint(1, 1 << 48)}, may))


NEAR = array(CONTACT, 20)
PAGE = {5: CONTACT, 6: uint(1, 1024)}
MESSAGES = {
    1: ("Hello", hello),
    2: ("Ping", lambda b: fields(b, ping=({}, {}))),
    3: ("Error", lambda b: fields(b, error=({1: uint()}, {2: text(1, 256)}))),
    4: ("Response", response),
    5: ("Proof", lambda b: need(isinstance(b, dict) and len(cbor(b)) <= 32768)),
    6: ("MetadataQuery", query),
    7: ("ChunkRequest", lambda b: fields(b, chunks=({1: HASH, 2: pairs(4096)}, {3: only_true, 4: uint(1, 2)}))),
    8: ("Have", have),
    9: ("Cancel", lambda b: fields(b, cancel=({1: uint()}, {}))),
    10: ("Announce", lambda b: fields(b, announce=({1: HASH, 2: text(1, 128), 3: text(1, 128), 4: uint(),
                                                    5: LOCATION}, {}))),
    11: ("Request", request),
    12: ("PackageDownload", lambda b: fields(b, download=({1: HASH}, {2: pairs(1 << 48), 3: only_true}))),
    13: ("PeerExchange", lambda b: fields(b, exchange=({1: uint(0, 50), 2: array(CONTACT, 50)}, {}))),
    14: ("Offer", offer),
    15: ("Receipt", lambda b: fields(b, receipt=({1: RECEIPT}, {}))),
    16: ("FindNode", lambda b: fields(b, request=({1: HASH, 2: uint(1, 20)}, PAGE), answer=({3: NEAR}, {7: only_true}))),
    17: ("FindValue", lambda b: fields(b, request=({1: HASH, 2: uint(1, 64)}, PAGE),
                                       answer=({3: NEAR, 4: array(LOCATION, 64)}, {7: only_true}))),
    18: ("Store", lambda b: fields(b, request=({1: LOCATION}, {3: array(LOCATION, 15, 1)}), answer=({2: uint(1, 86400)}, {}),
                                   answers=({4: array(uint(0, 86400), 16, 2)}, {}))),
    19: ("Renew", lambda b: fields(b, request=({1: RENEWAL}, {}), answer=({2: raw(1, 112)}, {}))),
    20: ("Patch", lambda b: fields(b, request=({1: HASH, 2: uint(), 3: uint(), 4: raw(72, 1008, 72)}, {}),
                                   answer=({5: raw(1, 14)}, {}))),
}


# ---- sections 4 and 6: frames and items -------------------------------------------------------------------------

def frame(b, at=0):
    """(type, id, body), end. The bytes must be the ones that the values give again."""
    need(at + 4 <= len(b), "cut short")
    n = int.from_bytes(b[at:at + 4], "little")
    need(1 <= n <= 65536 and at + 4 + n <= len(b), "length")
    x = whole(b[at + 4:at + 4 + n])
    need(isinstance(x, list) and len(x) == 3, "three fields")
    uint()(x[0])
    uint()(x[1])
    need(x[0] in MESSAGES, f"unknown type {x[0]}")
    need(isinstance(x[2], dict), "a map")
    MESSAGES[x[0]][1](x[2])
    again = cbor(x)
    need(len(again).to_bytes(4, "little") + again == b[at:at + 4 + n], "put together differently")
    return x, at + 4 + n


def one_item(b, at):
    need(at + 16 <= len(b), "cut short")
    e, zero, pad = b[at], b[at + 1], b[at + 2:at + 4]
    stored, size, proof = (int.from_bytes(b[at + i:at + i + 4], "little") for i in (4, 8, 12))
    need(zero == 0 and pad == b"\0\0" and proof <= 32768, "item")
    if e == 0:
        need(1 <= stored == size <= 262144, "raw item")
    elif e == 1:
        need(1 <= size <= 262144 and 1 <= stored <= size + 1024, "zstd item")
    else:
        need(e in (254, 255) and stored == size == proof == 0, "encoding")
    end = at + 16 + proof + stored
    need(end <= len(b), "cut short")
    body = b[at + 16:at + 16 + proof]
    if proof:
        need(cbor(whole(body)) == body, "proof")
    again = bytes([e, 0, 0, 0]) + b"".join(x.to_bytes(4, "little") for x in (stored, size, proof))
    need(again + body + b[at + 16 + proof:end] == b[at:end], "put together differently")
    return end


SHARDS_CHUNKS = (12, 13) # keys of a manifest, FORMATS.md section 7


def part(p):
    n = int.from_bytes(p[:4], "little")
    need(4 + n <= len(p), "cut short")
    return p[4:4 + n], p[4 + n:]


def envelopes(p):
    while p:
        one, p = part(p)
        need(cbor(whole(one)) == one, "envelope")


def payload(kind, body, b, at):
    """What follows a Response's frame, to its end."""
    if kind in (16, 17):
        for _ in range(body[3]):
            at = one_item(b, at)
    elif kind in range(1, 9):
        p = b[at:at + body[2]]
        need(len(p) == body[2], "cut short")
        if kind == 1:
            need(cbor(whole(p)) == p, "manifest")
        elif kind == 4:
            envelopes(p)
        elif kind == 7:
            manifest, p = part(p)
            need(cbor(whole(manifest)) == manifest, "manifest")
            signatures, p = part(p)
            envelopes(signatures)
            shards, chunks = (whole(manifest)[key] for key in SHARDS_CHUNKS)
            need(len(p) in (0, 48 * shards, 48 * shards + 36 * chunks), "lists")
        else:
            need(len(p) % {2: 48, 3: 36}.get(kind, 1) == 0 and (kind != 8 or 17 <= len(p) <= 496), "list")
        at += body[2]
    return at


# ---- what is read -----------------------------------------------------------------------------------------------

SRC, BUILD, TMP = os.environ["STOQ_SRC"], os.environ["STOQ_BUILD"], os.environ["TMP"]
seen = {}


def check(ok, what):
    if not ok:
        sys.exit(f"FAILED: {what}")


def note(kind, where):
    seen.setdefault(MESSAGES[kind][0], set()).add(where)


def read_vectors():
    vectors = re.findall(r"^    vector (\S+) +([0-9a-f]+)$",
                         open(os.path.join(SRC, "docs/PROTOCOL.md"), encoding="utf-8").read(), re.M)
    for name, digits in vectors:
        b = bytes.fromhex(digits)
        try:
            x, end = frame(b)
        except Bad as e:
            sys.exit(f"FAILED: vector {name}: {e}")
        check(end == len(b), f"vector {name} is longer than its frame")
        note(x[0], "vector")
    check(len(vectors) >= 20, "vectors are missing")


def read_frames():
    b = subprocess.check_output([os.path.join(BUILD, "tests/protocol/protocol_frames"), "20261122", "60"])
    at, count = 0, 0
    while at < len(b):
        try:
            x, end = frame(b, at)
        except Bad as e:
            sys.exit(f"FAILED: frame {count} of the encoder's: {e}: {b[at:at + 200].hex()}")
        note(x[0], "encoder")
        if count < len(MESSAGES) * 4:
            refuse_damage(b[at:end])
        at, count = end, count + 1
    check(count == 60 * len(MESSAGES), f"{count} frames")


def refuse_damage(b):
    """A frame that is cut, longer, or of another length is refused; a changed byte is refused or other values."""
    for bad in (b[:-1], (len(b) - 3).to_bytes(4, "little") + b[4:] + b"\0"):
        try:
            _, end = frame(bad)
            check(end != len(bad), "a damaged frame was read")
        except Bad:
            pass
    draws = random.Random(len(b))
    before = whole(b[4:])
    for _ in range(20):
        i = draws.randrange(4, len(b))
        bad = b[:i] + bytes([b[i] ^ 1 << draws.randrange(8)]) + b[i + 1:]
        try:
            x, _ = frame(bad)
            check(x != before, "two encodings of the same values")
        except Bad:
            pass


def streams(path):
    out = {}
    for line in open(path, encoding="ascii"):
        conn, stream, fin, *digits = line.split()
        s = out.setdefault((int(conn), int(stream)), [b"", False])
        check(not s[1], "bytes after the end of a stream")
        s[0] += bytes.fromhex(digits[0]) if digits else b""
        s[1] = fin == "1"
    return out


def start(program, home, log, capture):
    ready = os.path.join(TMP, home + ".ready")
    p = subprocess.Popen([program, "--home", os.path.join(TMP, home), "daemon", "--listen", "[::1]:0", "--ready-file",
                          ready], stderr=open(os.path.join(TMP, log), "w", encoding="utf-8"),
                         env=dict(os.environ, STOQ_CAPTURE=capture))
    end = time.monotonic() + 180
    while not (os.path.exists(ready) and os.path.getsize(ready)):
        check(p.poll() is None and time.monotonic() < end, "the daemon did not start")
        time.sleep(0.05)
    told = json.load(open(ready, encoding="utf-8"))
    return p, told["peer"] + "@" + told["listen"][0]


def session():
    """The streams of a daemon and of two gets from it: what the dialler wrote, what the listener wrote."""
    program = os.path.join(BUILD, "tests/protocol/stoq_capturing")
    tree = os.path.join(TMP, "tree")
    os.makedirs(tree)
    rnd = random.Random(1)
    for name, data in (("random", rnd.randbytes(6000000)), ("text", b"the same again\n" * 20000), ("small", b"x")):
        with open(os.path.join(tree, name), "wb") as f:
            f.write(data)
    daemon, contact = start(program, "A", "A.log", os.path.join(TMP, "listener"))

    def stoq(home, *args, env=None):
        return subprocess.run([program, "--home", os.path.join(TMP, home), *args, "--json"], capture_output=True,
                              text=True, env=env, check=False)

    made = json.loads(stoq("A", "publish", tree, "--name", "session", "--version", "1").stdout)
    other = json.loads(stoq("G", "publish", tree, "--name", "other", "--version", "1").stdout)
    env = dict(os.environ, STOQ_CAPTURE=os.path.join(TMP, "dialler"))
    got = stoq("B", "get", made["id"], "--from", contact, env=env)
    check(got.returncode == 0, f"get: {got.stdout}{got.stderr}")
    miss = stoq("C", "get", other["id"], "--from", contact, env=dict(env, STOQ_CAPTURE=os.path.join(TMP, "dialler2")))
    check(miss.returncode == 3, f"the daemon has what it cannot have: {miss.stdout}")
    daemon.send_signal(signal.SIGTERM)
    check(daemon.wait(30) == 0, "the daemon's end")
    return streams(os.path.join(TMP, "dialler")), streams(os.path.join(TMP, "listener"))


def read_session():
    asked, answered = session()
    kinds = set()
    for (_, stream), (b, fin) in asked.items():
        x, end = frame(b)
        check(end == len(b) and fin, f"stream {stream}: a request is one frame and the end")
        note(x[0], "session")
    for (_, stream), (b, fin) in answered.items():
        x, end = frame(b)
        note(x[0], "session")
        if x[0] == 4:
            kinds.add(x[2][1])
            end = payload(x[2][1], x[2], b, end)
        check(end == len(b) and fin, f"stream {stream}: {len(b) - end} bytes follow the answer")
    check({3, 7, 16} <= kinds, f"kinds of answers: {kinds}")


try:
    read_vectors()
    read_frames()
    read_session()
except Bad as e:
    sys.exit(f"FAILED: {e}")
names = {name for name, _ in MESSAGES.values()}
check(set(seen) == names, f"never seen: {names - set(seen)}")
for name in ("Hello", "Error", "Response", "MetadataQuery", "ChunkRequest"):
    check("session" in seen[name], f"{name} is not in the session")

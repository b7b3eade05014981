#!/usr/bin/env python3
"""A browser of DNS-SD from RFC 1035, 6762 and 6763 and the standard library alone, to read what stoq announces.

usage: mdns_browse.py browse LINK FAMILY SECONDS COUNT   ask for _stoq._udp.local and follow what comes, until COUNT instances are
                                                         complete or the time is over; prints JSON: services, instances {name:
                                                         {port, host, txt, addresses}}
       mdns_browse.py listen LINK FAMILY SECONDS         ask nothing; the records that come by, a line of JSON each
       mdns_browse.py legacy LINK FAMILY SECONDS         one question as a plain resolver would ask it, from a port of its own;
                                                         prints the answer
       mdns_browse.py claim LINK FAMILY NAME SECONDS     own the service NAME on another port: answer what asks for it
FAMILY is 4 or 6.
"""
import errno
import json
import select
import socket
import struct
import sys
import time

TYPE = "_stoq._udp.local."
KINDS = {"A": 1, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33, "NSEC": 47, "ANY": 255}
NAMES = {number: name for name, number in KINDS.items()}


def join(link, family, port=5353):
    index = socket.if_nametoindex(link)
    if family == 6:
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(("::", port))
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                     socket.inet_pton(socket.AF_INET6, "ff02::fb") + struct.pack("@I", index))
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        return s, ("ff02::fb", 5353, 0, index)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port))
    request = socket.inet_aton("224.0.0.251") + socket.inet_aton("0.0.0.0") + struct.pack("@i", index)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    return s, ("224.0.0.251", 5353)


def put_name(name):
    out = b""
    for label in labels_of(name):
        out += bytes([len(label)]) + label
    return out + b"\0"


def labels_of(name):
    """Labels of a name in text, where a dot inside a label has a backslash."""
    out = [b""]
    raw = name.encode()
    i = 0
    while i < len(raw):
        if raw[i:i + 1] == b"\\":
            out[-1] += raw[i + 1:i + 2]
            i += 1
        elif raw[i:i + 1] == b".":
            out.append(b"")
        else:
            out[-1] += raw[i:i + 1]
        i += 1
    return [label for label in out if label]


def get_name(msg, at):
    labels, end, hops = [], None, 0
    while True:
        n = msg[at]
        if n >= 0xC0:
            to = struct.unpack_from(">H", msg, at)[0] & 0x3FFF
            end = end if end is not None else at + 2
            hops += 1
            assert hops < 20, "too many pointers"
            at = to
            continue
        at += 1
        if n == 0:
            break
        labels.append(msg[at:at + n].decode().replace("\\", "\\\\").replace(".", "\\."))
        at += n
    return ".".join(labels) + ".", end if end is not None else at


def query(questions, ident=0, authority=b"", authorities=0):
    out = struct.pack(">6H", ident, 0, len(questions), 0, authorities, 0)
    for name, kind in questions:
        out += put_name(name) + struct.pack(">HH", KINDS[kind], 1)
    return out + authority


def get_rdata(msg, kind, at, n):
    if kind == KINDS["PTR"]:
        return get_name(msg, at)[0]
    if kind == KINDS["SRV"]:
        priority, weight, port = struct.unpack_from(">3H", msg, at)
        return {"priority": priority, "weight": weight, "port": port, "host": get_name(msg, at + 6)[0]}
    if kind == KINDS["A"]:
        return socket.inet_ntop(socket.AF_INET, msg[at:at + 4])
    if kind == KINDS["AAAA"]:
        return socket.inet_ntop(socket.AF_INET6, msg[at:at + 16])
    if kind == KINDS["TXT"]:
        strings, i = [], at
        while i < at + n:
            strings.append(msg[i + 1:i + 1 + msg[i]].decode())
            i += 1 + msg[i]
        assert i == at + n, "TXT strings do not fill the record"
        return strings
    return msg[at:at + n].hex()


def parse(msg):
    ident, flags, *counts = struct.unpack_from(">6H", msg)
    at, questions, records = 12, [], []
    for _ in range(counts[0]):
        name, at = get_name(msg, at)
        kind, klass = struct.unpack_from(">HH", msg, at)
        questions.append({"name": name, "type": NAMES.get(kind, kind), "unicast": bool(klass & 0x8000)})
        at += 4
    for section, count in zip(("answer", "authority", "additional"), counts[1:]):
        for _ in range(count):
            name, at = get_name(msg, at)
            kind, klass, ttl, n = struct.unpack_from(">HHIH", msg, at)
            at += 10
            records.append({"section": section, "name": name, "type": NAMES.get(kind, kind), "flush": bool(klass & 0x8000),
                            "ttl": ttl, "data": get_rdata(msg, kind, at, n)})
            at += n
    assert at == len(msg), "bytes behind the last record"
    return {"id": ident, "response": bool(flags & 0x8000), "authoritative": bool(flags & 0x0400), "questions": questions,
            "records": records}


def messages(s, end):
    while time.monotonic() < end:
        if select.select([s], [], [], max(0, min(0.25, end - time.monotonic())))[0]:
            msg, sender = s.recvfrom(9000)
            yield parse(msg), sender
        else:
            yield None, None


def say(s, msg, group):
    """Send to the group; a link that has just come up has no address for two seconds or so, while the kernel
    looks for duplicates: then this waits."""
    for _ in range(200):
        try:
            return s.sendto(msg, group)
        except OSError as e:
            if e.errno not in (errno.EADDRNOTAVAIL, errno.ENETUNREACH):
                raise
        time.sleep(0.1)
    sys.exit(f"no address to send from within 20 s: {group}")


def browse(link, family, seconds, count):
    s, group = join(link, family)
    services, instances, hosts = set(), {}, {}
    question = query([(TYPE, "PTR"), ("_services._dns-sd._udp.local.", "PTR")])
    say(s, question, group)
    asked = time.monotonic()
    for msg, _ in messages(s, asked + seconds):
        if time.monotonic() >= asked + 1:
            say(s, question, group)
            asked = time.monotonic()
        for r in msg["records"] if msg and msg["response"] else []:
            if r["type"] == "PTR" and r["name"] == TYPE:
                if r["ttl"]:
                    instances.setdefault(r["data"], {})
                else:
                    instances.pop(r["data"], None)
            elif r["type"] == "PTR" and r["name"] == "_services._dns-sd._udp.local.":
                services.add(r["data"])
            elif r["type"] == "SRV" and r["name"] in instances:
                instances[r["name"]].update(port=r["data"]["port"], host=r["data"]["host"])
            elif r["type"] == "TXT" and r["name"] in instances:
                instances[r["name"]]["txt"] = dict(t.split("=", 1) for t in r["data"])
            elif r["type"] in ("A", "AAAA"):
                hosts.setdefault(r["name"], set()).add(r["data"])
        for i in instances.values():
            i["addresses"] = sorted(hosts.get(i.get("host"), ()))
        whole = [i for i in instances.values() if "port" in i and "txt" in i and i["addresses"]]
        if TYPE in services and len(whole) >= count:
            break
    print(json.dumps({"services": sorted(services), "instances": instances}))


def listen(link, family, seconds):
    s, _ = join(link, family)
    print("ready", flush=True)
    for msg, sender in messages(s, time.monotonic() + seconds):
        for r in msg["records"] if msg else []:
            print(json.dumps({**r, "response": msg["response"], "from": sender[0].split("%")[0]}), flush=True)


def legacy(link, family, seconds):
    s, group = join(link, family, 0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        say(s, query([(TYPE, "PTR")], 4711), group)
        if select.select([s], [], [], 0.4)[0]:
            print(json.dumps(parse(s.recvfrom(9000)[0])))
            return
    sys.exit("no answer")


def claim(link, family, name, seconds):
    s, group = join(link, family)
    srv = struct.pack(">3H", 0, 0, 9) + put_name("somebody-else.local.")
    answer = struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0) + put_name(name) + struct.pack(">HHIH", 33, 0x8001, 120, len(srv)) + srv
    print("ready", flush=True)
    for msg, _ in messages(s, time.monotonic() + seconds):
        if msg and not msg["response"] and any(q["name"] == name for q in msg["questions"]):
            say(s, answer, group)


def main():
    command, link, family = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if command == "browse":
        browse(link, family, float(sys.argv[4]), int(sys.argv[5]))
    elif command == "listen":
        listen(link, family, float(sys.argv[4]))
    elif command == "legacy":
        legacy(link, family, float(sys.argv[4]))
    elif command == "claim":
        claim(link, family, sys.argv[4], float(sys.argv[5]))
    else:
        sys.exit(__doc__)


main()

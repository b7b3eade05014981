#!/usr/bin/env python3
"""A thousand small pieces out of a package, each read by itself, many at a time, from one peer: one handshake, one
connection, no more requests at once than the peer allows."""
import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.environ["STOQ_SRC"], "tests/e2e"))
from daemons import Daemon  # noqa: E402

COUNT = 1000 if os.environ.get("STOQ_FLAVOUR", "debug") == "debug" else 100
EVERY, PIECE = 40000, 4096


def main():
    stoq, folder = os.path.realpath(os.environ["STOQ"]), os.environ["TMP"]
    content = os.urandom(COUNT * EVERY)
    path = os.path.join(folder, "in")
    with open(path, "wb") as f:
        f.write(content)
    a = Daemon(stoq, folder, "A", "[log]\nlevel = quiet\n[limits]\napi_connections = 64\n")
    b = Daemon(stoq, folder, "B", "[log]\nlevel = quiet\n[limits]\napi_connections = 64\n")
    package = a.call("publish", path=path, name="pieces", version="1")["id"]

    def get(i):
        at = i * EVERY
        piece = b.read("cat", id=package, path="in", range=f"{at}-{at + PIECE - 1}", **{"from": [a.contact]})
        return piece == content[at:at + PIECE]

    with ThreadPoolExecutor(16) as pool:
        right = sum(pool.map(get, range(COUNT)))
    if right != COUNT:
        sys.exit(f"FAILED: {COUNT - right} pieces have other bytes")
    at_b, at_a = b.call("status")["net"], a.call("status")["net"]
    if (at_b["opened_outbound"], at_a["opened_inbound"], at_b["opened_inbound"]) != (1, 1, 0):
        sys.exit(f"FAILED: not one handshake: {at_b} {at_a}")
    if at_a["requests_served"] < COUNT // 2 or at_a["requests_refused"] != 0:
        sys.exit(f"FAILED: the pieces did not come one by one: {at_a}")
    if b.end() != 0 or a.end() != 0:
        sys.exit("FAILED: a daemon's end")


main()

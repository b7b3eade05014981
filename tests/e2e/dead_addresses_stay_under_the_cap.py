#!/usr/bin/env python3
"""500 peers that nobody can reach, half of them at closed ports and half at a socket that never answers: no more than 32
are dialled at a time that began within half a second, no more than 256 in all, every one of them is tried, and a
peer that lives is reached meanwhile."""
import os
import socket
import sys
import threading
import time

sys.path[:0] = [os.path.join(os.environ["STOQ_SRC"], d) for d in ("tests/e2e", "tests/vectors")]
from daemons import Daemon  # noqa: E402
from encoder.ids import bech32m, id_symbols  # noqa: E402

FETCHES, SOURCES = 8, 63


def name_of(prefix):
    return bech32m(prefix, id_symbols(os.urandom(32)))


def main():
    stoq, folder = os.path.realpath(os.environ["STOQ"]), os.environ["TMP"]
    silent = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    silent.bind(("::1", 0))
    closed = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    closed.bind(("::1", 0))
    ports = (closed.getsockname()[1], silent.getsockname()[1])
    closed.close()
    a = Daemon(stoq, folder, "A", "")
    b = Daemon(stoq, folder, "B", "")
    path = os.path.join(folder, "in")
    with open(path, "wb") as f:
        f.write(os.urandom(100000))
    package = a.call("publish", path=path, name="in", version="1")["id"]

    def in_vain():
        sources = [f"{name_of('peer')}@[::1]:{ports[i % 2]}" for i in range(SOURCES)]
        b.ask("get", {"id": name_of("stoq"), "from": sources})

    threads = [threading.Thread(target=in_vain) for _ in range(FETCHES)]
    for t in threads:
        t.start()
    while b.call("status")["net"]["dialling"] == 0:
        time.sleep(0.01)
    got = b.call("get", id=package, **{"from": [a.contact]})
    meanwhile = b.call("status")["net"]["dialling"]
    for t in threads:
        t.join()
    net = b.call("status")["net"]
    told = {k: net[k] for k in ("dialling", "dialling_most", "dialling_most_all", "dials_waiting", "dials_begun")}
    if got["bytes_from_peers"] < 100000 or meanwhile == 0:
        sys.exit(f"FAILED: the one that lives was not reached beside them: {got}")
    if not 1 < told["dialling_most"] <= 32 or not 32 < told["dialling_most_all"] <= 256:
        sys.exit(f"FAILED: over the cap, or not near it: {told}")
    if told["dials_begun"] != FETCHES * SOURCES + 1 or told["dialling"] != 0 or told["dials_waiting"] != 0:
        sys.exit(f"FAILED: not all of them were tried, once each: {told}")
    if b.end() != 0 or a.end() != 0:
        sys.exit("FAILED: a daemon's end")


main()

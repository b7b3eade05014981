#!/usr/bin/env python3
"""A thousand transfers under caps, ended by success, by an error, by a cancel and by a kill of the daemon that makes
them: afterwards nothing is allocated at either end, the sum of what is granted is 0."""
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.environ["STOQ_SRC"], "tests/e2e"))
from daemons import Daemon, Unix  # noqa: E402

# What ends them, and how many each.
PLAN = {"success": 700, "error": 100, "cancel": 100, "kill": 100}
if os.environ.get("STOQ_FLAVOUR", "debug") != "debug":
    PLAN = {end: n // 10 for end, n in PLAN.items()}
KILLS = 2
EVERY, PIECE = 40000, 4096
CONF = "[log]\nlevel = quiet\n[limits]\napi_connections = 250\n[transport]\nidle_timeout = 3\n[bandwidth]\n"


def until(what, seconds=180):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def allocated(daemon):
    return daemon.call("limit")["allocations"]


def free(daemon):
    left = allocated(daemon)
    return left == [] and sum(a["granted"] for a in left) == 0


def under_way(daemon, count):
    """Fetches of pieces, once there are so many, or after a while; what looks for a package's manifest before one
    is a transfer too, without a part."""
    seen = []
    until(lambda: seen.append(sum("part" in t and t["state"] in ("running", "waiting")
                                  for t in daemon.call("transfers")["transfers"])) or seen[-1] >= count)
    return seen[-1]


def begin(daemon, package, source, i):
    """A background get of a piece, under way: its connection, whose close is its cancel."""
    c = Unix(os.path.join(daemon.home, "control.sock"))
    at = i * EVERY
    c.request("POST", "/v1/get", json.dumps({"id": package, "from": [source.contact], "stream": True, "range": f"{at}-{at + 9 * EVERY}",
                                             "priority": "background"}), {"Content-Type": "application/json"})
    return c


def main():
    stoq, folder = os.path.realpath(os.environ["STOQ"]), os.environ["TMP"]
    content = os.urandom((PLAN["success"] + 10) * EVERY)
    path = os.path.join(folder, "in")
    with open(path, "wb") as f:
        f.write(content)
    a = Daemon(stoq, folder, "A", CONF + "up = 40MB\n")
    b = Daemon(stoq, folder, "B", CONF + "down = 60MB\n")
    package = a.call("publish", path=path, name="pieces", version="1")["id"]
    with open(path, "wb") as f:
        f.write(os.urandom(1000))
    nobodys = b.call("publish", path=path, name="other", version="1")["id"]
    b.call("rm", id=nobodys)
    ended = dict.fromkeys(PLAN, 0)

    def get(i):
        at = i * EVERY
        piece = b.read("cat", id=package, path="in", range=f"{at}-{at + PIECE - 1}", **{"from": [a.contact]})
        return piece == content[at:at + PIECE]

    def refused(_):
        status, said = b.ask("get", {"id": nobodys, "from": [a.contact]})
        return json.loads(said.splitlines()[-1]).get("code") == "ContentNotFound"

    with ThreadPoolExecutor(16) as pool:
        ended["success"] = sum(pool.map(get, range(PLAN["success"])))
        ended["error"] = sum(pool.map(refused, range(PLAN["error"])))

    # Held back at the source, so that they last.
    a.call("limit", **{"class": "background", "up": 50000})
    first = Daemon(stoq, folder, "D", CONF)  # has nothing of it
    open_ = [begin(first, package, a, i) for i in range(PLAN["cancel"])]
    if not until(lambda: allocated(first) and allocated(a)):
        sys.exit("FAILED: what is to be cancelled has not begun")
    ended["cancel"] = under_way(first, len(open_))
    for c in open_:
        c.close()
    # Those that are over and were not complete.
    cancelled = lambda: [t for t in first.call("transfers")["transfers"] if t["state"] == "cancelled"]  # noqa: E731
    if not until(lambda: first.call("status")["net"]["fetching"] == 0 and cancelled()):
        sys.exit("FAILED: cancelled ones run on")
    a.call("limit", **{"class": "background", "up": 10000})  # none is complete before the last has begun
    for _ in range(KILLS):
        victim = Daemon(stoq, folder, f"K{_}", CONF)
        open_ = [begin(victim, package, a, i) for i in range(PLAN["kill"] // KILLS)]
        if not until(lambda: allocated(victim) and any(x["peer"] == victim.peer for x in allocated(a))):
            sys.exit("FAILED: what is to be killed has not begun")
        ended["kill"] += under_way(victim, len(open_))
        victim.process.kill()
        victim.process.wait()
        for c in open_:
            c.close()
    for end, n in PLAN.items():
        if ended[end] < n:
            sys.exit(f"FAILED: {ended[end]} instead of {n} ended by {end}: {ended}")
    print("ended by", ended)
    for daemon in (a, b, first):
        if not until(lambda: free(daemon)):  # noqa: B023
            sys.exit(f"FAILED: left at {daemon.name}: {allocated(daemon)}")
    if b.end() != 0 or first.end() != 0 or a.end() != 0:
        sys.exit("FAILED: a daemon's end")


main()

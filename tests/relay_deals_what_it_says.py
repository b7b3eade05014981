#!/usr/bin/env python3
"""The relay of tests/relay on real sockets: it takes apart what the kernel glued together, deals each
datagram its own fate, changes no byte, keeps flows apart, and its report is what the ends saw."""
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

RELAY = os.path.join(os.environ["STOQ_BUILD"], "tests/relay/relay")
TMP = os.environ["TMP"]
UDP_SEGMENT = 103
BYTES, GLUED, SENDS = 1200, 48, 100


def check(ok, what):
    if not ok:
        sys.exit(f"FAILED: {what}")


def start(*options):
    sink = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sink.bind(("::1", 0))
    ready = os.path.join(TMP, "relay.ready")
    if os.path.exists(ready):
        os.unlink(ready)
    relay = subprocess.Popen([RELAY, "--listen", "[::1]:0", "--to", f"[::1]:{sink.getsockname()[1]}",
                              "--ready-file", ready, *options], stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 180
    while not (os.path.exists(ready) and os.path.getsize(ready)):
        check(time.monotonic() < end and relay.poll() is None, "the relay did not start")
        time.sleep(0.02)
    port = int(open(ready, encoding="ascii").read().rsplit(":", 1)[1])
    return relay, sink, ("::1", port)


def report(relay):
    relay.send_signal(signal.SIGTERM)
    out, _ = relay.communicate(timeout=180)
    check(relay.returncode == 0, f"the relay exited with {relay.returncode}")
    return json.loads(out)


def datagram(number):
    head = number.to_bytes(4, "little")
    return head + bytes((number * 7 + i) & 255 for i in range(BYTES - 4))


def take(sink, got, seconds):
    """One datagram, within so many seconds, into got: number: copies."""
    if not select.select([sink], [], [], seconds)[0]:
        return False
    data, _ = sink.recvfrom(65536)
    number = int.from_bytes(data[:4], "little")
    check(data == datagram(number), f"datagram {number} was changed")
    got[number] = got.get(number, 0) + 1
    return True


def fates_are_dealt_one_by_one():
    relay, sink, to = start("--up", "loss=2%,duplicate=1%,reorder=1%,by=1ms,delay=3ms", "--seed", "5")
    near = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    glues = True
    try:
        near.setsockopt(socket.SOL_UDP if hasattr(socket, "SOL_UDP") else 17, UDP_SEGMENT, BYTES)
    except OSError:
        glues = False
    got = {}
    for i in range(SENDS):
        parts = [datagram(n) for n in range(i * GLUED, (i + 1) * GLUED)]
        if glues:
            near.sendto(b"".join(parts), to)
        else:
            for p in parts:
                near.sendto(p, to)
        # Something of these must come: then the relay has read them, and its buffer has room again.
        before = len(got)
        while len(got) == before:
            check(take(sink, got, 180), f"nothing of send {i} came through")
        while take(sink, got, 0):
            pass
    while take(sink, got, 3):
        pass
    r = report(relay)
    up = r["up"]
    sent = SENDS * GLUED
    check(r["kernel_drops"] == 0 and r["send_failed"] == 0 and r["no_room"] == 0, f"lost by accident: {r}")
    check(up["datagrams_in"] == sent and up["bytes_in"] == sent * BYTES, f"not taken apart: {up}")
    check(len(got) == sent - up["lost"], f"{len(got)} came, {up['lost']} of {sent} were lost, it says")
    check(sum(got.values()) == up["datagrams_out"], "what left is not what came")
    check(sum(1 for n in got.values() if n == 2) == up["duplicated"] and max(got.values()) == 2, "copies")
    check(0.013 < up["lost"] / sent < 0.027, f"lost {up['lost']} of {sent}, 2 % were asked for")
    check(0.006 < up["duplicated"] / sent < 0.014, f"doubled {up['duplicated']}, 1 % were asked for")
    check(0.006 < up["held_back"] / sent < 0.014, f"held back {up['held_back']}, 1 % were asked for")
    runs = {int(k): v for k, v in up["loss_runs"].items()}
    check(sum(k * v for k, v in runs.items()) == up["lost"] and max(runs) < 5, f"runs of losses: {runs}")
    check(up["delay_us"]["min"] >= 3000, f"some left early: {up['delay_us']}")


def flows_keep_apart():
    relay, sink, to = start()
    near = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(5)]
    for i, s in enumerate(near):
        s.sendto(b"ask %d" % i, to)
    ports = set()
    for _ in near:
        check(select.select([sink], [], [], 180)[0], "a request is missing")
        data, addr = sink.recvfrom(65536)
        ports.add(addr[1])
        sink.sendto(b"answer" + data[3:], addr)
    check(len(ports) == len(near), "flows share a port")
    for i, s in enumerate(near):
        check(select.select([s], [], [], 180)[0] and s.recv(99) == b"answer %d" % i, "another's answer")
    r = report(relay)
    check(r["flows"] == 5 and r["up"]["datagrams_out"] == 5 and r["down"]["datagrams_out"] == 5, f"{r}")


def rate_is_kept():
    relay, sink, to = start("--up", "rate=5mbit,queue=40k")
    near = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    got = {}
    began = last = time.monotonic()
    for n in range(100):
        near.sendto(datagram(n), to)
    while take(sink, got, 3):
        last = time.monotonic()
    up = report(relay)["up"]
    check(up["datagrams_out"] == len(got) and len(got) + up["queue_full"] == 100, f"{up}")
    check(34 <= len(got), f"the queue took only {len(got)}")
    # From the first that was sent to the last that came: a busy machine makes this longer, never shorter.
    least = (len(got) - 1) * BYTES * 8 / 5e6
    check(last - began >= least, f"{len(got)} in {last - began:.4f} s, at 5 Mbit/s they need {least:.4f}: {up}")


fates_are_dealt_one_by_one()
flows_keep_apart()
rate_is_kept()

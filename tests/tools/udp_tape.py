#!/usr/bin/env python3
"""A tape recorder between a dialler and a listener, and its playback from another port.

usage: udp_tape.py record TO TAPE READY   relay datagrams between whoever sends to the address written to READY and TO,
                                          until SIGTERM; each of the dialler's goes to TAPE, a line of hex each
       udp_tape.py play TAPE TO           send what is on the tape, three times over, and print how many datagrams came back
                                          within a second and a half
"""
import os
import select
import signal
import socket
import sys
import time


def address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def record(to, tape, ready):
    inside = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    inside.bind(("::1", 0))
    outside = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    outside.bind(("::1", 0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with open(ready + ".part", "w", encoding="ascii") as f:
        f.write(f"[::1]:{inside.getsockname()[1]}\n")
    os.rename(ready + ".part", ready)
    dialler = None
    with open(tape, "w", encoding="ascii", buffering=1) as out:
        while True:
            for s in select.select([inside, outside], [], [])[0]:
                data, sender = s.recvfrom(65536)
                if s is inside:
                    dialler = sender
                    out.write(data.hex() + "\n")
                    outside.sendto(data, to)
                elif dialler is not None:
                    inside.sendto(data, dialler)


def play(tape, to):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::1", 0))
    with open(tape, encoding="ascii") as f:
        datagrams = [bytes.fromhex(line) for line in f]
    if not datagrams:
        sys.exit("the tape is empty")
    for _ in range(3):
        for data in datagrams:
            s.sendto(data, to)
        time.sleep(0.1)
    got, end = 0, time.monotonic() + 1.5
    while (left := end - time.monotonic()) > 0:
        if select.select([s], [], [], left)[0]:
            s.recv(65536)
            got += 1
    print(got)


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "record":
        record(address(sys.argv[2]), sys.argv[3], sys.argv[4])
    elif len(sys.argv) == 4 and sys.argv[1] == "play":
        play(sys.argv[2], address(sys.argv[3]))
    else:
        sys.exit(__doc__)

#!/usr/bin/env python3
"""The instructions that exchanges take on the transport, and that a daemon takes to serve and to fetch a MiB and a small
package, are what the simulators' table says (stoq-sim --costs), to a tenth. valgrind counts them, on a processor that it
plays itself: whatever else the machine does, and however fast it is, they come out the same, but for a timer that fires
once more. What counts is the least of some rounds.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from daemon_costs import KINDS, Costs, spent  # noqa: E402
from daemons import Daemon  # noqa: E402

ROUNDS = 10
BUILD, FOLDER = os.environ["STOQ_BUILD"], os.environ["TMP"]
CALLGRIND = ["valgrind", "-q", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]


def dumps(name):
    """What callgrind has left there so far, the first dump first."""
    return sorted(glob.glob(f"{FOLDER}/{name}.*"), key=lambda path: int(path.rsplit(".", 1)[1]))


def off(is_, want):
    """Whose figure is more than a tenth of the smaller away from the other."""
    return [k for k in want if abs(is_[k] - want[k]) * 10 > min(is_[k], want[k])]


def table():
    """(of the transport's exchanges, of the daemon)"""
    said = [line.split() for line in subprocess.check_output([BUILD + "/apps/stoq-sim", "--costs"], text=True).splitlines()]
    said = {words[0]: dict(zip(words[1::2], words[2::2])) for words in said}
    exchanges = {f"{kind} {side}": int(figures[side + "_instructions"]) for kind, figures in said.items() if "asker_bytes" in figures
                 for side in ("asker", "asked")}
    return exchanges, {k: int(said["daemon-" + k]["instructions"]) for k in KINDS}


def inside(path, function):
    """What calls of this function took, with all that they called."""
    total = callee = 0
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith("cfn="):
                callee = line[4:].strip()
            elif callee and line[0].isdigit():
                total += int(line.split()[1]) if callee == function else 0
                callee = None
    return total


def exchanges():
    """The least of some runs of each kind, of both sides."""
    phases = [f"--callgrind-out-file={FOLDER}/exchange", "--zero-before=cost_begins", "--dump-before=cost_ends"]
    said = subprocess.check_output(CALLGRIND + phases + [BUILD + "/bench/cost_times", "--once", "3"], text=True).split()
    assert len(said) == len(dumps("exchange")) > 0, said
    least = {}
    for kind, path in zip(said, dumps("exchange")):
        for side in ("asker", "asked"):
            n = inside(path, "cost_by_" + side)
            assert n > 0, path
            least[f"{kind} {side}"] = min(n, least.get(f"{kind} {side}", n))
    return least


class Instructions(Costs):
    """Of a daemon, callgrind leaves what it counted whenever it is asked for its status."""

    def __init__(self):
        program = FOLDER + "/stoq"
        with open(program, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nLD_PRELOAD='{BUILD}/tests/small_index.so' exec {' '.join(CALLGRIND)} --dump-before=op_status "
                    f"'--callgrind-out-file={FOLDER}/daemon-%p' '{os.environ['STOQ']}' \"$@\"\n")
        os.chmod(program, 0o700)
        Daemon.patience = 300  # what is played is slow
        super().__init__(program, FOLDER)

    def close(self):
        for d in (self.source, self.sink):
            d.process.kill()
            d.process.wait()

    def spent(self):
        ends = self.source, self.sink
        last, quiet = [spent(d) for d in ends], 0
        while quiet < 3:
            time.sleep(0.2)
            now = [spent(d) for d in ends]
            quiet = quiet + 1 if all(b - a < 20_000_000 for a, b in zip(last, now)) else 0
            last = now
        return [self.counted(d) for d in ends]

    def counted(self, daemon):
        daemon.call("status")
        total = 0
        for path in dumps(f"daemon-{daemon.process.pid}"):
            with open(path, encoding="utf-8") as f:
                total += sum(int(n) for n in re.findall(r"^totals: (\d+)", f.read(), re.M))
        return total


def main():
    if os.environ["STOQ_FLAVOUR"] != "debug":
        print("sanitizers count their own")
        sys.exit(77)
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        if shutil.which("valgrind") is None or " avx2 " not in f.read():
            print("needs valgrind, and a processor with AVX2")
            sys.exit(77)
    of_exchanges, of_daemons = table()
    for figures in (of_exchanges, of_daemons):
        assert not off(figures, figures) and off({k: v * 1.11 for k, v in figures.items()}, figures) == list(figures)
        assert off({k: v / 1.11 for k, v in figures.items()}, figures) == list(figures)
    is_ = exchanges()
    if off(is_, of_exchanges):
        sys.exit(f"{off(is_, of_exchanges)}: counted {is_}, the table says {of_exchanges}")
    costs = Instructions()
    good = 0
    try:
        for _ in range(ROUNDS):
            try:
                costs.round()
            except RuntimeError as e:  # beside much other work a handshake takes too long: those of daemons played are slow
                print(e)
                continue
            good += 1
            if good == 1:  # it found its memory and its files
                costs.least = dict.fromkeys(KINDS, float("inf"))
            elif not off(costs.least, of_daemons):
                return
    finally:
        costs.close()
    sys.exit(f"{off(costs.least, of_daemons)}: counted {costs.least}, the table says {of_daemons}")


main()

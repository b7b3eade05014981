"""What a daemon's processor time is for what it serves and fetches: two of them on loopback, small packets as a path
has them. For bench/costs and the check of the simulators' table; no test itself.

usage: daemon_costs.py STOQ STOQ-SIM COST_TIMES [ROUNDS]     [8]   each figure beside the table's, at this machine's unit
"""
import os
import subprocess
import sys
import tempfile
import time

from daemons import Daemon

MIB = 16  # of a large package
SMALL = 20  # small packages in one round
KINDS = ("serve-mib", "fetch-mib", "serve-small", "fetch-small")


def spent(daemon):
    """Nanoseconds of processor time, of all threads that it has and had: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns(~daemon.process.pid << 3 | 2)


def settled(daemons):
    """What they have spent, once they are at rest."""
    last = [spent(d) for d in daemons]
    while True:
        time.sleep(0.2)
        now = [spent(d) for d in daemons]
        if all(b - a < 1_000_000 for a, b in zip(last, now)):
            return now
        last = now


class Costs:
    """What `spent` counts, here nanoseconds, for a MiB of a large package, and for a package of 4 KiB, at the source and
    at the sink: the least of all rounds, since other work on a machine only makes them longer."""

    def __init__(self, program, folder):
        conf = "[transport]\npacket_bytes_max = 1452\n[discovery]\nlan = off\ndht = off\nexchange = off\n"
        self.source, self.sink = (Daemon(program, folder, n, conf) for n in ("source", "sink"))
        self.file = os.path.join(folder, "data")
        self.made = 0
        self.least = dict.fromkeys(KINDS, float("inf"))

    def spent(self):
        return settled((self.source, self.sink))

    def publish(self, count):
        with open(self.file, "wb") as f:
            f.write(os.urandom(count))
        self.made += 1
        return self.source.call("publish", path=self.file, name="costs", version=str(self.made))["id"]

    def fetch(self, ids, parts, what):
        before = self.spent()
        for i in ids:
            self.sink.call("get", id=i, **{"from": [self.source.contact]})
        for name, a, b in zip(("serve", "fetch"), before, self.spent()):
            self.least[f"{name}-{what}"] = min(self.least[f"{name}-{what}"], (b - a) / parts)

    def round(self):
        self.fetch([self.publish(MIB << 20)], MIB, "mib")
        self.fetch([self.publish(4096) for _ in range(SMALL)], SMALL, "small")

    def close(self):
        for d in (self.source, self.sink):
            d.process.terminate()
            d.process.wait(180)


def table(stoq_sim, cost_times):
    """What the table says on this machine: its figures are for one on which the unit takes what it says there."""
    said = {line.split()[0]: int(line.split()[2]) for line in subprocess.check_output([stoq_sim, "--costs"], text=True).splitlines()
            if line.split()[1] == "cpu_ns"}
    lines = subprocess.check_output([cost_times, "20"], text=True).splitlines()
    unit = next(int(line.split()[1]) for line in lines if line.startswith("cost_unit_cpu "))
    return {k: said["daemon-" + k] * unit / said["unit"] for k in KINDS}


def main():
    folder = tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp"))
    costs = Costs(sys.argv[1], folder)
    try:
        for _ in range(int(sys.argv[4]) if len(sys.argv) > 4 else 8):
            costs.round()
    finally:
        costs.close()
        subprocess.run(["rm", "-rf", folder], check=True)
    for name, want in table(sys.argv[2], sys.argv[3]).items():
        print(f"cost_daemon_{name} {costs.least[name]:.0f} ns\ncost_daemon_{name}_table {want:.0f} ns")


if __name__ == "__main__":
    main()

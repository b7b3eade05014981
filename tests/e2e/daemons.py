"""Daemons on loopback and their control API (docs/CLI.md, "The control API"), for scripts in Python. No test itself."""
import http.client
import json
import os
import socket
import subprocess
import sys
import time


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=300)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(300)
        end = time.monotonic() + 300
        while True:
            try:
                return self.sock.connect(self.path)
            except BlockingIOError:  # more come at once than the socket queues; a time-out's connect never waits for it
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)


def settle(daemons, seconds, least=20):
    """Until the DHT of each knows so many others, or all there are, and nobody has learned of more for 5 s: what was
    lost on the way some learn much later."""
    least = min(len(daemons) - 1, least)
    end = time.monotonic() + seconds
    before, since = 0, 0.0  # how many contacts all of them have, and since when
    while True:
        known = [d.call("dht")["contacts"] for d in daemons]
        now = time.monotonic()
        if sum(known) != before:
            before, since = sum(known), now
        if min(known) >= least and now - since > 5:
            return
        if now > end:
            sys.exit("waited in vain: every daemon knows others and learns of no more")
        time.sleep(0.1)


class Daemon:
    patience = 180  # seconds until it must serve

    def __init__(self, program, folder, name, configuration):
        self.name = name
        self.home = os.path.join(folder, name)
        os.mkdir(self.home)
        with open(os.path.join(self.home, "stoq.conf"), "w", encoding="utf-8") as f:
            f.write(configuration)
        ready = self.home + ".ready"
        with open(self.home + ".log", "wb") as log:
            self.process = subprocess.Popen(
                [program, "--home", self.home, "daemon", "--listen", "[::1]:0", "--ready-file", ready],
                stdout=log, stderr=log, env=dict(os.environ, STOQ_LAN="off"))
        end = time.monotonic() + self.patience
        while not os.path.exists(ready) or os.path.getsize(ready) == 0:
            if time.monotonic() > end or self.process.poll() is not None:
                sys.exit(f"daemon {name} did not start")
            time.sleep(0.02)
        with open(ready, encoding="utf-8") as f:
            said = json.load(f)
        self.peer = said["peer"]
        self.contact = f'{said["peer"]}@{said["listen"][0]}'

    def ask(self, op, arguments):
        """The reply's bytes, whatever they are."""
        c = Unix(os.path.join(self.home, "control.sock"))
        try:
            c.request("POST", "/v1/" + op, json.dumps(arguments), {"Content-Type": "application/json"})
            reply = c.getresponse()
            return reply.status, reply.read()
        finally:
            c.close()

    def call(self, op, **arguments):
        """The operation's result."""
        last = json.loads(self.ask(op, arguments)[1].splitlines()[-1])
        if last["type"] != "result":
            raise RuntimeError(f"{self.name} {op}: {last}")
        return last["result"]

    def read(self, op, **arguments):
        """The content that an operation hands out."""
        status, content = self.ask(op, arguments)
        if status != 200:
            raise RuntimeError(f"{self.name} {op}: {content}")
        return content

    def end(self):
        self.process.terminate()
        return self.process.wait(180)

"""An imperfect line between a client and a server, and what has gone over it.

      client --line0-- linkemu --line0-- server      underlay 10.99.0.0/24; "up" is the way to the server
        |
      second                                         behind it, for what shares the line

Each line has a number, so that several may stand beside each other."""
import json
import subprocess
import time

from topology import HUB_ADDRESS, BenchError, Place, cpu_seconds, go_first, run

RATE_MBIT = 100
RTT_MS = 50
QUEUE = "512k"
STATS_TIMEOUT = 5


def options(**settings):
    """The emulator's options for a line with these settings, and else those that all lines have."""
    chosen = {"delay": f"{RTT_MS / 2}ms", "rate": f"{RATE_MBIT}mbit", "queue": QUEUE} | settings
    return [word for key, value in chosen.items() for word in (f"--{key}", value)]


class Emulator:
    """A running linkemu."""

    def __init__(self, program, *arguments):
        self.popen = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        go_first(self.popen.pid)
        if self.popen.stdout.readline() != "ready\n":
            self.stop()
            raise BenchError("the link emulator does not start")

    def stats(self):
        """Its statistics, and what it has cost."""
        self.popen.stdin.write("stats\n")
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        if not line:
            raise BenchError("the link emulator has ended")
        return json.loads(line) | {"cpu": cpu_seconds(self.popen.pid)}

    def stop(self):
        self.popen.terminate()
        try:
            self.popen.communicate(timeout=STATS_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


class Passed:
    """What has gone over a line between two looks at its statistics; bytes are those of IP packets."""

    def __init__(self, before, after):
        self.before, self.after = before, after
        self.seconds = after["seconds"] - before["seconds"]
        self.emulator_load = (after["cpu"] - before["cpu"]) / self.seconds

    def count(self, member, *ways):
        return sum(self.after[way][member] - self.before[way][member] for way in ways or ("up", "down"))

    def bytes_per_second(self):
        """Given to the line, both ways, lost or not."""
        return self.count("bytes") / self.seconds

    def fill(self, way):
        """The part of the bottleneck that was in use: what has come out of it, of what could have."""
        out = self.count("bytes_delivered", way) - self.count("queue_bytes", way)
        return out * 8 / self.seconds / (RATE_MBIT * 1e6)

    def check(self):
        """Losses are to be those of the model, and of nothing else."""
        strays = self.count("overflowed") + self.count("refused")
        if strays:
            raise BenchError(f"the link emulator could not keep up: {strays} packets")


class Line(Place):
    """The namespaces and the emulator. `lan` has the addresses by which traffic reaches its far end: those of the line
    itself, until a system that is started on it brings others."""

    def __init__(self, program, settings, seed=1, number=0, second=False):
        self.client, self.server = f"client{number}", f"server{number}"
        self.second = f"second{number}" if second else None
        self.clients = (self.client, self.second) if second else (self.client,)
        self.members = (*self.clients, self.server)
        super().__init__(*self.members)
        self.command = (program, "--a", f"{self.client}:line0", "--b", f"{self.server}:line0", "--seed", str(seed),
                        *settings)
        self.lan = {self.client: "10.99.0.11", self.server: HUB_ADDRESS}
        self.emulator = None

    def _build(self):
        self.emulator = Emulator(*self.command)
        for name, address in self.lan.items():
            self.ip(name, "addr", "add", address + "/24", "dev", "line0")
        if self.second:
            self._build_second()

    def _build_second(self):
        run("ip", "-n", self.client, "link", "add", "second", "type", "veth", "peer", "name", "eth0", "netns",
            self.second)
        for name, device, address in ((self.client, "second", "10.97.0.1"), (self.second, "eth0", "10.97.0.2")):
            self.ip(name, "addr", "add", address + "/24", "dev", device)
            self.ip(name, "link", "set", device, "up")
        self.sysctl(self.client, "net/ipv4/ip_forward", 1)
        self.ip(self.second, "route", "add", "default", "via", "10.97.0.1")
        self.ip(self.server, "route", "add", "10.97.0.0/24", "via", self.lan[self.client])

    def __exit__(self, *_):
        if self.emulator:
            self.emulator.stop()
        super().__exit__()

    def look(self):
        return self.emulator.stats()

    def watch(self, start, seconds):
        """What passes in `seconds` from the moment `start` on (of time.monotonic())."""
        time.sleep(max(0, start - time.monotonic()))
        before = self.look()
        time.sleep(max(0, start + seconds - time.monotonic()))
        passed = Passed(before, self.look())
        passed.check()
        return passed

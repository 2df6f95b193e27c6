"""The machine that everything is measured on: network namespaces and the processes in them; for scripts/bench a hub and
its clients:

      c1 --isolated--+               +--isolated-- c2       underlay 10.99.0.0/24, veth pairs on one bridge
      c3 --isolated--+--- br0 -------+--isolated-- c4       the clients cannot talk but through the hub
                           |
                          hub                               LAN 10.98.0.0/24, on a device of each client

A Network is built for one measurement and taken down after it, with all that a peer has put into it. Namespaces,
devices and processes are within the mount, network and PID namespaces that scripts/bench makes: whatever happens,
nothing is left."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

RUN = pathlib.Path("/run/vswitch-bench")
HUB_ADDRESS = "10.99.0.1"
START_TIMEOUT = 20
STOP_TIMEOUT = 3
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A system cannot be measured; the text says why."""


def run(*command, check=True, timeout=30, env=None):
    """Its output, of both kinds. A command that fails, or takes too long, is a BenchError."""
    try:
        done = subprocess.run(command, timeout=timeout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, env=env)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(command)}: not done within {timeout} s") from None
    except OSError as error:
        raise BenchError(f"{command[0]}: {error.strerror}") from None
    if check and done.returncode != 0:
        raise BenchError(f"{' '.join(command)}: {done.stdout.strip()[-500:]}")
    return done.stdout


def inside(namespace, *command):
    return ("nsenter", f"--net=/run/netns/{namespace}", "--", *command)


def write(name, text):
    """Writes a file of this measurement, readable to us alone, and says where it is."""
    path = RUN / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return str(path)


def prepare():
    """Once, before the first network: a /run of our own, for what `ip netns` and the peers keep there."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    pathlib.Path("/run/netns").mkdir()


def wait_for(condition, what, timeout=START_TIMEOUT, check=lambda: None):
    """Until the condition holds; `check` is asked beside it and raises if waiting has become useless."""
    deadline = time.monotonic() + timeout
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise BenchError(f"{what} within {timeout} s")
        time.sleep(0.05)


class Process:
    """A daemon in the foreground, in a namespace, with a log."""

    def __init__(self, namespace, command, env):
        self.namespace, self.name = namespace, os.path.basename(command[0])
        self.log = RUN / f"{namespace}-{self.name}.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.popen = subprocess.Popen(inside(namespace, *command), stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT, env=env)

    def check(self):
        if self.popen.poll() is not None:
            last = self.log.read_text(encoding="utf-8", errors="replace").strip()[-1000:]
            raise BenchError(f"{self.name} at {self.namespace} has ended: {last or 'without a word'}")


def go_first(pid):
    """Lets a process that measures, and does little else, run when its time has come, whatever else the machine does."""
    with contextlib.suppress(OSError):  # some containers do not allow it
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


def processes_below(pid):
    """The process and all that it has started."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += processes_below(int(child))
    return found


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_rss_mib(pid):
    match = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
    return int(match.group(1)) / 1024 if match else 0


class Place:
    """Namespaces with cables between them, which a subclass lays; what is started there; what that costs. Its `members`
    are the namespaces that are on the LAN, and `lan` has their addresses there."""

    def __init__(self, *namespaces):
        self.namespaces = namespaces
        self.processes = []

    def __enter__(self):
        RUN.mkdir(exist_ok=True)
        try:
            for name in self.namespaces:
                run("ip", "netns", "add", name)
                self.ip(name, "link", "set", "lo", "up")
                # For what a system itself carries over TCP; some kernels allow only their default here.
                self.sysctl(name, "net/ipv4/tcp_congestion_control", "cubic", check=False)
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self):
        raise NotImplementedError

    def __exit__(self, *_):
        for process in self.processes:
            process.popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        for process in self.processes:
            try:
                process.popen.wait(timeout=max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(OSError):  # it may end just now
                    for pid in reversed(processes_below(process.popen.pid)):
                        os.kill(pid, signal.SIGKILL)
                process.popen.kill()
                process.popen.wait()
        self.processes.clear()
        for name in self.namespaces:
            run("ip", "netns", "del", name, check=False)

    @staticmethod
    def ip(namespace, *arguments, check=True):
        return run("ip", "-n", namespace, *arguments, check=check)

    @staticmethod
    def sysctl(namespace, name, value, check=True):
        run(*inside(namespace, "sh", "-c", f"echo {value} >/proc/sys/{name}"), check=check)

    def start(self, namespace, *command, env=None):
        process = Process(namespace, command, env)
        self.processes.append(process)
        return process

    def start_listening(self, namespace, *command, listening="-Hlun", env=None):
        """Starts a server and waits until it listens: a client that dials too early may back off for long."""
        self.start(namespace, *command, env=env)
        wait_for(lambda: run(*inside(namespace, "ss", listening)), f"{namespace} does not listen", check=self.check)

    def check(self):
        for process in self.processes:
            process.check()

    def pids(self, *namespaces):
        return [pid for process in self.processes if process.namespace in namespaces
                for pid in processes_below(process.popen.pid)]

    def cpu_seconds(self, *namespaces):
        return sum(cpu_seconds(pid) for pid in self.pids(*namespaces))

    def peak_rss_mib(self, *namespaces):
        return sum(peak_rss_mib(pid) for pid in self.pids(*namespaces))

    def has_device(self, namespace, device):
        return bool(self.ip(namespace, "-br", "link", "show", "dev", device, check=False).startswith(device))

    def counters(self, namespace, device):
        return json.loads(self.ip(namespace, "-j", "-s", "link", "show", "dev", device))[0]["stats64"]

    def udp_arrived(self, namespace):
        """UDP datagrams that have reached a socket, those that found its buffer full included."""
        names, values = (line.split()[1:] for line in run(*inside(namespace, "cat", "/proc/net/snmp")).splitlines()
                         if line.startswith("Udp:"))
        udp = dict(zip(names, map(int, values)))
        return udp["InDatagrams"] + udp["RcvbufErrors"]


class Network(Place):
    """The hub and these clients, for one system."""

    def __init__(self, clients=("c1", "c2")):
        super().__init__("hub", *clients)
        self.clients = self.members = clients
        self.underlay = {"hub": HUB_ADDRESS} | {name: f"10.99.0.1{name[1:]}" for name in clients}
        self.lan = {name: f"10.98.0.{name[1:]}" for name in clients}

    def __enter__(self):
        shutil.rmtree(RUN, ignore_errors=True)
        return super().__enter__()

    def _build(self):
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "link", "set", "br0", "up")
        for name in self.namespaces:
            run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", name, "master", "br0", "up")
            if name != "hub":
                run("bridge", "link", "set", "dev", name, "isolated", "on")
            self.ip(name, "addr", "add", self.underlay[name] + "/24", "dev", "eth0")
            self.ip(name, "link", "set", "eth0", "up")

    def __exit__(self, *_):
        super().__exit__()
        for name in self.namespaces:
            run("ip", "link", "del", name, check=False)
        run("ip", "link", "del", "br0", check=False)

    def start_hub(self, *command, **how):
        self.start_listening("hub", *command, **how)

    def hub_bytes(self, devices):
        """Bytes that these devices of the hub have taken in and given out, as (rx, tx)."""
        counters = [self.counters("hub", device) for device in devices]
        return tuple(sum(counter[way]["bytes"] for counter in counters) for way in ("rx", "tx"))

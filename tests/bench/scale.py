#!/usr/bin/env python3
"""How the server's cost grows: with idle links, ports of a broadcast, MAC addresses, flows, clients that join at once.

A real vswitchs on loopback, and loadgen, which speaks the link protocol for any number of clients without TAP devices.
Cost is the processor time of the server's network process, to the nanosecond, while frames flow at a fixed rate; what
the same server has needed just before, with the same clients and nothing to send, is taken off and told as well. Each
round measures every point once, one after the other, so that whatever else the machine does hits all alike; figures are
medians of the rounds. Run by `scripts/bench scale`, inside fresh namespaces."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import svg

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT = 7000
START_TIMEOUT = 20
RATE = 20000  # frames a second, of the points that measure a busy pair
BROADCASTS = 10  # a second
CHATTER = 2  # broadcasts a second, as a LAN of idle hosts has


class ScaleError(Exception):
    """A point cannot be measured; the text says why."""


# --- The programs -----------------------------------------------------------------------------------------------------


class Server:
    """A vswitchs with fresh keys for so many clients, in a directory of its own."""

    def __init__(self, arguments, clients, ini=()):
        self.server, self.loadgen = f"{arguments.build}/vswitchs/vswitchs", f"{arguments.build}/tests/loadgen"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="vswitch-scale-"))
        # The server's network process is not root when it removes its socket.
        self.directory.chmod(0o755)
        self.clients, self.ini, self.process, self.running = clients, [*ini, *arguments.ini], None, []

    def __enter__(self):
        subprocess.run([self.loadgen, "init", str(self.directory), "-n", str(self.clients), "-P", str(PORT)],
                       check=True)
        path = self.directory / "vswitchs.ini"
        path.write_text(path.read_text().replace("[common]\n", "\n".join(["[common]", *self.ini, ""]), 1))
        with open(self.directory / "server.log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([self.server, "run", "-c", str(path)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)
        try:
            self.wait()
        except ScaleError:
            self.__exit__()
            raise
        return self

    def wait(self):
        deadline = time.monotonic() + START_TIMEOUT
        while not (self.directory / "server.sock").exists() or not self.pid():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ScaleError(f"vswitchs does not start:\n{(self.directory / 'server.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def pid(self):
        """Of the network process: the one that the program has started."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children[0] if children else None

    def start(self, *options, keys="loadgen.keys", nice=0):
        command = [self.loadgen, "run", "-k", str(self.directory / keys), "-P", str(PORT), "-W", self.pid(),
                   *(str(option) for option in options)]
        process = subprocess.Popen(["nice", "-n", str(nice), *command], stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.running.append(process)
        return process

    @staticmethod
    def report(process, timeout=120):
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ScaleError(f"loadgen does not end within {timeout} s") from None
        if process.returncode != 0:
            raise ScaleError(errors.strip()[-500:])
        return json.loads(output)

    def load(self, *options):
        return self.report(self.start(*options))

    def __exit__(self, *_):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


# --- Figures of one run -----------------------------------------------------------------------------------------------


def cost(report):
    """Microseconds of the server a frame that has arrived."""
    idle, measured = report["idle"], report["measured"]
    if not measured["frames"]:
        raise ScaleError("no frame has arrived")
    by_itself = idle["cpu_nsec"] / idle["seconds"] * measured["seconds"]
    return {"usec_per_frame": (measured["cpu_nsec"] - by_itself) / measured["frames"] / 1000,
            "usec_per_frame_all": measured["cpu_nsec"] / measured["frames"] / 1000,
            "frames_per_second": measured["frames"] / measured["seconds"],
            "lost": report["account"]["lost"], "strays": report["account"]["strays"],
            "latency_p50_usec": report["latency_usec"]["p50"], "latency_p99_usec": report["latency_usec"]["p99"]}


def measure_idle_links(arguments, links, size):
    with Server(arguments, links + 2) as server:
        return cost(server.load("-r", RATE, "-l", size, "-i", "2s", "-t", f"{arguments.seconds}s"))


def measure_broadcast(arguments, ports, size):
    with Server(arguments, ports + 1) as server:
        return cost(server.load("-b", "-r", BROADCASTS, "-l", size, "-i", "2s", "-w", "1s",
                                "-t", f"{arguments.seconds}s"))


def measure_macs(arguments, macs, drawn):
    with Server(arguments, 2, [f"mac_entries = {macs + 1024}"]) as server:
        return cost(server.load("-r", RATE, "-l", 60, "-m", macs, "-d", drawn, "-i", "1s",
                                "-t", f"{arguments.seconds}s"))


def measure_flows(arguments, flows, size):
    with Server(arguments, 2) as server:
        return cost(server.load("-r", RATE, "-l", size, "-f", flows, "-i", "1s", "-t", f"{arguments.seconds}s"))


def measure_idle_clients(arguments, clients, chatter):
    """What clients cost that do nothing, or only hear a broadcast now and then."""
    options = ("-b", "-r", CHATTER, "-l", 60, "-t", f"{arguments.seconds}s") if chatter else ("-p", 0)
    with Server(arguments, max(clients, 2)) as server:
        report = server.load("-n", clients, "-i", "3s", *options)
    span = report["measured"] if chatter else report["idle"]
    return {"rss_kib": span["rss_kib"], "own_kib": span["anon_kib"], "peak_kib": span["peak_kib"],
            "cpu_msec_per_second": span["cpu_nsec"] / 1e6 / span["seconds"]}


def split_keys(server, first):
    """Two key files: of the first clients, and of the others."""
    lines = (server.directory / "loadgen.keys").read_text().splitlines(keepends=True)
    for name, chosen in (("first.keys", lines[1:first + 1]), ("others.keys", lines[first + 1:])):
        (server.directory / name).write_text(lines[0] + "".join(chosen))


def wait_for_line(process, words):
    for line in process.stderr:
        if words in line:
            return
    process.wait()
    raise ScaleError(f"loadgen has ended before it said '{words}'")


def measure_storm(arguments, clients, _):
    """A pair that pings while others join at once, who are reckoned to be elsewhere and so get the processor last."""
    with Server(arguments, clients + 2) as server:
        split_keys(server, 2)
        pair = server.start("-e", "-r", 1000, "-l", 98, "-t", "30s", keys="first.keys")
        wait_for_line(pair, "frames flow")
        time.sleep(2)
        # What the pair has without a storm, in a run of its own that ends here.
        pair.send_signal(signal.SIGTERM)
        quiet = server.report(pair)
        pair = server.start("-e", "-r", 1000, "-l", 98, "-t", "30s", keys="first.keys")
        wait_for_line(pair, "frames flow")
        time.sleep(1)
        storm = server.start("-p", 0, "-i", "1s", keys="others.keys", nice=19)
        pair.send_signal(signal.SIGUSR1)
        wait_for_line(storm, "have joined")
        pair.send_signal(signal.SIGTERM)
        during, joined = server.report(pair), server.report(storm)
    return {"all_joined_msec": joined["join"]["seconds"] * 1000, "pings_lost": during["account"]["lost"],
            **{f"{when}_{point}_usec": report["latency_usec"][point]
               for when, report in (("quiet", quiet), ("storm", during)) for point in ("p50", "p99", "max")}}


# --- What is measured -------------------------------------------------------------------------------------------------


class Curve:
    """A line: how a figure grows with x."""

    def __init__(self, group, name, xs, function, parameter=None):
        self.group, self.name, self.xs, self.function, self.parameter = group, name, xs, function, parameter
        self.rounds = {x: [] for x in xs}

    def measure(self, arguments, x):
        parameter = self.parameter(x) if callable(self.parameter) else self.parameter
        self.rounds[x].append(self.function(arguments, x, parameter))

    def medians(self, x):
        rounds = self.rounds[x]
        return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]} if rounds else {}

    def points(self, key):
        return [(x, self.medians(x)[key]) for x in self.xs if self.rounds[x]]


def all_curves():
    links, ports, macs = [0, 100, 300, 998], [10, 100, 300, 1000], [1, 1024, 8192, 100000]
    flows, clients = [1, 8, 64, 512], [1, 10, 100, 1000]
    return [
        Curve("links", "frames of 1514 bytes", links, measure_idle_links, 1514),
        Curve("links", "frames of 60 bytes", links, measure_idle_links, 60),
        Curve("ports", "frames of 300 bytes", ports, measure_broadcast, 300),
        Curve("macs", "to one of them", macs, measure_macs, 1),
        Curve("macs", "to all of them by chance, each a flow of its own", macs, measure_macs, lambda x: x),
        Curve("flows", "frames of 1514 bytes", flows, measure_flows, 1514),
        Curve("flows", "frames of 60 bytes", flows, measure_flows, 60),
        Curve("clients", "idle", clients, measure_idle_clients, False),
        Curve("clients", f"{CHATTER} broadcasts a second", clients, measure_idle_clients, True),
        Curve("storm", "clients at once", [300], measure_storm),
    ]


GROUPS = {
    "links": ("A busy pair among idle links", "idle links", "µs of the server a frame", "usec_per_frame"),
    "ports": ("A broadcast", "ports", "µs of the server a copy", "usec_per_frame"),
    "macs": ("MAC addresses in the table", "MAC addresses", "µs of the server a frame of 60 bytes", "usec_per_frame"),
    "flows": ("Flows between one pair", "flows", "µs of the server a frame", "usec_per_frame"),
    "clients": ("Memory", "clients", "resident KiB of the server", "rss_kib"),
}


def charts(curves):
    made = []
    for group, (title, x_label, y_label, key) in GROUPS.items():
        series = [(curve.name, curve.points(key)) for curve in curves if curve.group == group and curve.points(key)]
        if series:
            made.append(svg.LineChart(title, x_label, y_label, series, log_x=group != "clients"))
    series = [(curve.name, curve.points("cpu_msec_per_second")) for curve in curves if curve.group == "clients"]
    if any(points for _, points in series):
        made.append(svg.LineChart("Idle cost", "clients", "ms of processor time a second",
                                  [line for line in series if line[1]]))
    return made


# --- Report -----------------------------------------------------------------------------------------------------------


def machine():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def figures(curves, arguments):
    return {"date": datetime.date.today().isoformat(), "machine": machine(), "command": arguments.command,
            "rounds": arguments.rounds, "seconds": arguments.seconds, "rate": RATE, "broadcasts": BROADCASTS,
            "chatter": CHATTER, "ini": arguments.ini,
            "curves": [{"group": curve.group, "name": curve.name,
                        "points": [{"x": x, "median": curve.medians(x), "rounds": curve.rounds[x]} for x in curve.xs]}
                       for curve in curves]}


def table(curves):
    lines = []
    for curve in curves:
        for x in curve.xs:
            shown = ", ".join(f"{key} {value:,.2f}" for key, value in curve.medians(x).items())
            lines.append(f"{curve.group:8} {curve.name:32} {x:7,}  {shown or 'not measured'}")
    return "\n".join(lines)


def say(message):
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def run_rounds(curves, arguments):
    for number in range(arguments.rounds):
        for curve in curves:
            for x in curve.xs:
                say(f"round {number + 1} of {arguments.rounds}: {curve.group}, {curve.name}: {x}")
                try:
                    curve.measure(arguments, x)
                except ScaleError as error:
                    say(f"  not measured: {error}")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description="How the server's cost grows.")
    parser.add_argument("--build", default="build", help="build directory of vswitch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--only", help=f"groups, with commas: {', '.join([*GROUPS, 'storm'])} (default: all)")
    parser.add_argument("--ini", action="append", default=[],
                        help="a line for [common] of the server's file; may repeat")
    parser.add_argument("--json", type=pathlib.Path,
                        help="where the figures go (default: scale.json in the build directory)")
    parser.add_argument("--svg", type=pathlib.Path,
                        help="where the charts go (default: scale.svg in the build directory)")
    parser.add_argument("--docs", action="store_true", help="write docs/scale.json and docs/scale.svg instead")
    parser.add_argument("--command", default="tests/bench/scale.py", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or not 1 <= arguments.seconds <= 60:
        parser.error("at least one round; 1 to 60 seconds")
    return arguments


def main():
    arguments = parse_arguments()
    groups = arguments.only.split(",") if arguments.only else [*GROUPS, "storm"]
    for group in groups:
        if group not in GROUPS and group != "storm":
            sys.exit(f"scale: '{group}' is not known; there are: {', '.join([*GROUPS, 'storm'])}")
    curves = [curve for curve in all_curves() if curve.group in groups]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    run_rounds(curves, arguments)
    print(table(curves))
    directory = ROOT / "docs" if arguments.docs else pathlib.Path(arguments.build)
    report = figures(curves, arguments)
    note = (f"{report['date']}, {report['machine']['cpu']}, {report['machine']['cores']} cores, "
            f"medians of {arguments.rounds} rounds")
    (arguments.json or directory / "scale.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if charts(curves):
        (arguments.svg or directory / "scale.svg").write_text(svg.page("vswitchs at scale", charts(curves), note=note),
                                                              encoding="utf-8")
    return 0 if all(curve.rounds[x] for curve in curves for x in curve.xs) else 1


if __name__ == "__main__":
    sys.exit(main())

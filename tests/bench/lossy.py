#!/usr/bin/env python3
"""vswitch in its modes over bad lines, beside nothing at all and kcptun (lossy_line.py draws the line).

goodput: an inner TCP stream (cubic, from the server to the client) on each line, and what it takes of the wire.
stream: 50 small packets a second there and back: what is lost for good, how late the rest is, what the wire carries.
queues: the default settings on a clean line behind bottlenecks with small and large queues; a ping beside the stream.
fair: two links and a plain TCP stream that share a line.

Each round runs each system once on each line. The seed of the lines differs from round to round, and is the same for
all systems. Run by `scripts/bench lossy`, inside fresh namespaces."""
import argparse
import datetime
import json
import pathlib
import shutil
import signal
import sys

import bench
import lossy_line
import lossy_measure
import lossy_report
import report as reporting
import topology
from lossy_line import Line
from lossy_systems import all_systems

ROOT = bench.ROOT
GROUPS = ("goodput", "stream", "queues", "fair")
LINES = {
    "clean": ("no loss", {}),
    "1%": ("1 % loss", {"loss": "1%"}),
    "5%": ("5 % loss", {"loss": "5%"}),
    "10%": ("10 % loss", {"loss": "10%"}),
    "bursts": ("5 % in bursts of 4", {"loss": "5%", "burst": "4"}),
}
QUEUES = {"64k": "64 KB", "512k": "512 KB", "4m": "4 MB"}
FAIR = (("bbr", "bbr"), ("cubic", "cubic"), ("bbr", "cubic"))
USUAL = {"rounds": 2, "seconds": 8, "stream_seconds": 30, "lines": list(LINES)}
QUICK = {"rounds": 1, "seconds": 3, "stream_seconds": 10, "lines": ["clean", "5%", "bursts"]}


def names(known):
    """A list with commas of some of these names, as an argument."""
    def parse(text):
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"'{name}' is not known; there are: {', '.join(known)}")
        return found
    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench lossy", description="Measures vswitch over bad lines.")
    systems = list(all_systems(""))
    parser.add_argument("--build", default="build", help="build directory of vswitch")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of each transfer, after it has warmed up")
    parser.add_argument("--stream-seconds", type=int, help="of each stream of small packets, in each round")
    parser.add_argument("--seed", type=int, default=1, help="of the lines in the first round")
    parser.add_argument("--quick", action="store_true", help="one short round, over fewer lines")
    parser.add_argument("--only", type=names(GROUPS), default=list(GROUPS), metavar="GROUP,...", help=", ".join(GROUPS))
    parser.add_argument("--lines", type=names(LINES), metavar="LINE,...", help=", ".join(LINES).replace("%", "%%"))
    parser.add_argument("--peers", type=names(systems), default=systems, metavar="NAME,...",
                        help="systems (default: all): " + ", ".join(systems))
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go (default: lossy.json beside the build)")
    parser.add_argument("--svg", type=pathlib.Path, help="where the chart goes (default: none)")
    parser.add_argument("--docs", action="store_true",
                        help="also write docs/lossy.json, docs/lossy.svg and the tables in docs/transports.md")
    parser.add_argument("--command", default="tests/bench/lossy.py", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for key, value in (QUICK if arguments.quick else USUAL).items():
        if getattr(arguments, key) is None:
            setattr(arguments, key, value)
    if arguments.rounds < 1 or not 2 <= arguments.seconds <= 600 or not 2 <= arguments.stream_seconds <= 3600:
        parser.error("at least one round; 2 to 600 seconds, of a stream up to 3600")
    return arguments


class Run:
    """The rounds, and what they have brought: `found[group][line or the like][system]` is a list of figures."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.program = f"{arguments.build}/tests/linkemu"
        known = all_systems(arguments.build)
        reasons = {name: known[name].missing() for name in arguments.peers}
        self.systems = {name: known[name] for name, reason in reasons.items() if reason is None}
        self.skipped = {name: reason for name, reason in reasons.items() if reason is not None}
        self.found, self.errors = {}, []

    def taking_part(self, group):
        return {name: system for name, system in self.systems.items() if group in system.groups}

    def add(self, group, where, name, figures):
        self.found.setdefault(group, {}).setdefault(where, {}).setdefault(name, []).append(figures)

    def attempt(self, number, group, where, name, function, *arguments):
        what = f"round {number} of {self.arguments.rounds}: {group}, {where}, {name}"
        shutil.rmtree(topology.RUN, ignore_errors=True)
        figures, error = bench.attempt(what, function, *arguments)
        if figures is None:
            self.errors.append(f"{what}: {error}")
        else:
            self.add(group, where, name, figures)

    def line(self, settings, number, at=0):
        return Line(self.program, lossy_line.options(**settings), seed=self.arguments.seed + number - 1, number=at)

    def measure_goodput(self, number):
        for where in self.arguments.lines:
            for name, system in self.taking_part("goodput").items():
                self.attempt(number, "goodput", where, name, lossy_measure.measure_goodput,
                             self.line(LINES[where][1], number), system, self.arguments.seconds)

    def measure_stream(self, number):
        systems = self.taking_part("stream")
        for where in self.arguments.lines if systems else ():
            what = f"round {number} of {self.arguments.rounds}: stream, {where}"
            bench.say(f"{what}, all systems")
            shutil.rmtree(topology.RUN, ignore_errors=True)
            lines = {name: self.line(LINES[where][1], number, at) for at, name in enumerate(systems)}
            found = lossy_measure.measure_streams(lines, systems, self.arguments.stream_seconds)
            for name, figures in found.items():
                if isinstance(figures, topology.BenchError):
                    self.errors.append(f"{what}, {name}: {figures}")
                    bench.say(f"  {self.errors[-1]}")
                else:
                    self.add("stream", where, name, figures)

    def measure_queues(self, number):
        for queue in QUEUES:
            for name, system in self.taking_part("queues").items():
                self.attempt(number, "queues", queue, name, lossy_measure.measure_queue,
                             self.line({"queue": queue}, number), system, self.arguments.seconds)

    def measure_fair(self, number):
        if "vswitch" not in self.systems:
            return
        for pair in FAIR:
            self.attempt(number, "fair", "+".join(pair), "vswitch", lossy_measure.measure_fair, self.program,
                         self.arguments.build, self.arguments.seed + number - 1,
                         round(lossy_report.FAIR_SECONDS * self.arguments.seconds), pair)

    def measure_all(self):
        for number in range(1, self.arguments.rounds + 1):
            for group in GROUPS:
                if group in self.arguments.only:
                    getattr(self, f"measure_{group}")(number)

    def report(self):
        groups = {}
        for group, places in self.found.items():
            summarize = lossy_measure.summarize_streams if group == "stream" else reporting.median_of
            groups[group] = {where: {name: {"rounds": [without_samples(figures) for figures in rounds],
                                            "all": summarize(rounds)} for name, rounds in systems.items()}
                             for where, systems in places.items()}
        systems = {name: {"label": system.label, "port": getattr(system, "port", ""), "baseline": system.baseline}
                   for name, system in self.systems.items()}
        return {"date": datetime.date.today().isoformat(), "command": self.arguments.command,
                "machine": reporting.machine(), "rounds": self.arguments.rounds, "seconds": self.arguments.seconds,
                "stream_seconds": self.arguments.stream_seconds, "seed": self.arguments.seed,
                "lines": {where: {"label": LINES[where][0], "options": lossy_line.options(**LINES[where][1])}
                          for where in self.arguments.lines},
                "queues": QUEUES, "systems": systems, "skipped": self.skipped, "errors": self.errors,
                "figures": groups}


def without_samples(figures):
    return {key: value for key, value in figures.items() if key != "rtts_ms"}


def show(report):
    for title, text in lossy_report.tables(report):
        print(f"{title}\n\n{text}\n")
    print(lossy_report.describe_run(report))
    for title, lines in (("what vswitch aims at:", lossy_report.Aims(report).judge()),
                         ("doubtful:", lossy_report.doubts(report)),
                         ("not measured:", [f"{name}: {why}" for name, why in report["skipped"].items()]),
                         ("failed:", report["errors"])):
        if lines:
            print(f"\n{title}", *lines, sep="\n  ")


def save(report, arguments):
    figures = json.dumps(report, indent=1) + "\n"
    files = {arguments.json or pathlib.Path(arguments.build, "lossy.json"): figures}
    if arguments.svg:
        files[arguments.svg] = lossy_report.chart(report)
    if arguments.docs:
        files[ROOT / "docs/lossy.json"] = figures
        files[ROOT / "docs/lossy.svg"] = lossy_report.chart(report)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    if arguments.docs:
        page = ROOT / "docs/transports.md"
        reporting.write_part(page, lossy_report.MARKS, lossy_report.docs_part(report))
        files[page] = None
    print("\nwritten:", *files)


def main():
    # We are the first process of our namespace, which a signal does not end by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = parse_arguments()
    topology.prepare()
    run = Run(arguments)
    for name, reason in run.skipped.items():
        bench.say(f"{name} is left out: {reason}")
    run.measure_all()
    report = run.report()
    show(report)
    save(report, arguments)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")

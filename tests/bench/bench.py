#!/usr/bin/env python3
"""Throughput, latency and cost of vswitch and its peers, in one run on one machine: client - hub - client (topology.py
draws it).

Each round runs each system once, one after the other, so that whatever else the machine does hits all alike, and begins
with another one; the table has the medians of the rounds. Inner and outer TCP use cubic. A system that is not there, or
does not start, is left out and named. Run by scripts/bench, inside fresh namespaces."""
import argparse
import datetime
import json
import pathlib
import signal
import subprocess
import sys
import time

import measure
import report as reporting
import topology
from peers import all_peers

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOUR_CLIENTS = "vswitch"
GIVE_UP_AFTER = 2  # failures, without a success between or before


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures vswitch beside its peers.")
    parser.add_argument("--build", default="build", help="build directory of vswitch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each transfer")
    parser.add_argument("--peers", help="names, with commas (default: all): " + ", ".join(all_peers("")))
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go (default: bench.json beside the build)")
    parser.add_argument("--svg", type=pathlib.Path, help="where the chart goes (default: none)")
    parser.add_argument("--docs", action="store_true", help="also write docs/bench.json and docs/bench.svg")
    parser.add_argument("--readme", action="store_true", help="also write the README's table")
    parser.add_argument("--command", default="tests/bench/bench.py", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or not 1 <= arguments.seconds <= 600:
        parser.error("at least one round; 1 to 600 seconds")
    return arguments


def choose(arguments):
    """The systems to measure, and why others are not."""
    known = all_peers(arguments.build)
    names = arguments.peers.split(",") if arguments.peers else list(known)
    for name in names:
        if name not in known:
            sys.exit(f"bench: '{name}' is not known; there are: {', '.join(known)}")
    reasons = {name: known[name].missing() for name in names}
    return ({name: known[name] for name in names if reasons[name] is None},
            {name: reason for name, reason in reasons.items() if reason is not None})


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def attempt(what, function, *arguments):
    """The function's figures, or None and why not. A system that fails does not end the run."""
    say(what)
    try:
        return function(*arguments), None
    except (topology.BenchError, subprocess.SubprocessError, OSError, ValueError, LookupError) as error:
        text = str(error) or type(error).__name__
        say(f"  {what}: {text}")
        return None, text


class Run:
    """The rounds, and what they have brought."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.peers, self.skipped = choose(arguments)
        self.results = {name: {"label": peer.label, "sealed": peer.sealed, "layer": peer.layer,
                               "user_space": peer.user_space, "rounds": [], "errors": []}
                        for name, peer in self.peers.items()}
        self.limits = []
        self.four_clients = {}

    def measure_peer(self, number, name):
        result = self.results[name]
        check = not result["rounds"]  # once is enough
        what = f"round {number} of {self.arguments.rounds}: {name}"
        figures, error = attempt(what, measure.measure, self.peers[name], self.arguments.seconds, check)
        if figures is not None:
            result["rounds"].append(figures)
            return
        result["errors"].append(error)
        if not result["rounds"] and len(result["errors"]) == GIVE_UP_AFTER:
            say(f"  {name} is left out from here on")
            del self.peers[name]

    def measure_all(self):
        names = list(self.peers)
        limits = measure.find_limits(self.arguments.build)
        for number in range(1, self.arguments.rounds + 1):
            if limits:
                figures, _ = attempt("limits of the machine", measure.measure_limits, limits)
                self.limits += [figures] if figures is not None else []
            first = (number - 1) % len(names) if names else 0
            for name in names[first:] + names[:first]:
                if name in self.peers:
                    self.measure_peer(number, name)
        if FOUR_CLIENTS in self.peers:
            figures, _ = attempt(f"{FOUR_CLIENTS} with four clients", measure.measure_four_clients,
                                 self.peers[FOUR_CLIENTS], self.arguments.seconds)
            self.four_clients = figures or {}

    def report(self):
        for name, result in self.results.items():
            result["median"] = reporting.median_of(result["rounds"])
            if not result["rounds"]:
                self.skipped[name] = result["errors"][-1]
        return {"date": datetime.date.today().isoformat(), "command": self.arguments.command,
                "machine": reporting.machine(), "rounds": self.arguments.rounds, "seconds": self.arguments.seconds,
                "systems": self.results, "skipped": self.skipped, "four_clients": self.four_clients,
                "limits": {"rounds": self.limits, "median": reporting.median_of(self.limits)}}


def show(report):
    print(reporting.table(report))
    print(f"\n{reporting.describe_run(report)}")
    for title, lines in (("what vswitch aims at:", reporting.Aims(report).judge()),
                         ("the machine alone:", reporting.limit_lines(report)),
                         ("not measured:", [f"{name}: {why}" for name, why in report["skipped"].items()])):
        if lines:
            print(f"\n{title}", *lines, sep="\n  ")


def save(report, arguments):
    figures = json.dumps(report, indent=2) + "\n"
    files = {arguments.json or pathlib.Path(arguments.build, "bench.json"): figures}
    if arguments.svg:
        files[arguments.svg] = reporting.chart(report)
    if arguments.docs:
        files[ROOT / "docs/bench.json"] = figures
        files[ROOT / "docs/bench.svg"] = reporting.chart(report)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    if arguments.readme:
        image = "docs/bench.svg" if (ROOT / "docs/bench.svg").exists() else None
        reporting.write_readme(ROOT / "README.md", report, image)
        files[ROOT / "README.md"] = None
    print("\nwritten:", *files)


def main():
    # We are the first process of our namespace, which a signal does not end by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = parse_arguments()
    topology.prepare()
    run = Run(arguments)
    for name, reason in run.skipped.items():
        say(f"{name} is left out: {reason}")
    run.measure_all()
    report = run.report()
    show(report)
    save(report, arguments)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")

"""What is made of the figures: medians, the table, the chart, the README's part, and the project's aims beside them.

A report is a dictionary, which is also what the JSON file holds: `systems` by name, each with the figures of its rounds
and their medians; `limits`, what the machine can do by itself; `four_clients`; `skipped`, with reasons."""
import datetime
import os
import pathlib
import platform
import re
import statistics
import textwrap

import svg

OURS = "vswitch"
MIB = 1 << 20
README_MARKS = ("<!-- bench: begin, written by scripts/bench --readme -->", "<!-- bench: end -->")
# Title, key of the figure, digits behind the point.
COLUMNS = (
    ("TCP up", "tcp_up_mbit", 0),
    ("TCP down", "tcp_down_mbit", 0),
    ("4 streams", "tcp_four_mbit", 0),
    ("64 B", "small_frames_per_s", 0),
    ("ping", "idle_median_ms", 2),
    ("p99", "idle_p99_ms", 2),
    ("loaded", "loaded_up_median_ms", 2),
    ("p99", "loaded_up_p99_ms", 2),
    ("hub CPU", "hub_up_cpu_s_per_gb", 2),
    ("clients CPU", "clients_up_cpu_s_per_gb", 2),
    ("hub RSS", "hub_rss_mib", 1),
    ("client RSS", "client_rss_mib", 1),
)


def median_of(rounds):
    """The median of each figure over the rounds that have it."""
    keys = {key: None for figures in rounds for key in figures}
    values = {key: [figures[key] for figures in rounds if figures.get(key) is not None] for key in keys}
    return {key: statistics.median(found) if found else None for key, found in values.items()}


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        system = "Linux"
    return {"cpu": cpu.group(1) if cpu else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(), "system": system}


def describe_run(report):
    at = report["machine"]
    date = datetime.date.fromisoformat(report["date"])
    return (f"`{report['command']}`, {date}; {at['cores']} cores of {at['cpu']}, Linux {at['kernel']}, {at['system']}: "
            f"all systems in turn, {report['seconds']} s a transfer, medians over the rounds ({report['rounds']}).")


def measured(report):
    return {name: system for name, system in report["systems"].items() if system["rounds"]}


# --- The table --------------------------------------------------------------------------------------------------------


def cell(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def align(rows, texts):
    """A Markdown table, of which the first columns are texts and the others numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [value.ljust(width) for value, width in zip(row[:texts], widths)]
        right = [value.rjust(width) for value, width in zip(row[texts:], widths[texts:])]
        lines.append("| " + " | ".join(left + right) + " |")
    return "\n".join(lines)


def table(report):
    rows = [["", "sealed", *(title for title, _, _ in COLUMNS)]]
    rows.append(["---", "---", *("---:" for _ in COLUMNS)])
    for name, system in measured(report).items():
        label = f"**{system['label']}**" if name == OURS else system["label"]
        cells = [cell(system["median"].get(key), digits) for _, key, digits in COLUMNS]
        rows.append([label, "yes" if system["sealed"] else "no", *cells])
    return align(rows, 2)


# --- The aims ---------------------------------------------------------------------------------------------------------


class Judge:
    """What the project wants to hold, and whether it does. It is information: nothing fails by it."""

    def __init__(self, report):
        self.report = report
        self.lines = []

    def say(self, aim, holds, evidence, *needed):
        if any(value is None for value in needed):
            self.lines.append(f"[not measured]   {aim}")
        else:
            self.lines.append(f"{'[holds]' if holds() else '[DOES NOT HOLD]':15}  {aim}: {evidence()}")


class Aims(Judge):
    """The aims of scripts/bench."""

    def __init__(self, report):
        super().__init__(report)
        self.systems = measured(report)

    def figure(self, name, key):
        return self.systems.get(name, {}).get("median", {}).get(key)

    def peers(self, **properties):
        """The peers in user space that have these properties."""
        return {name: system for name, system in self.systems.items() if not name.startswith(OURS) and
                system["user_space"] and all(system[key] == value for key, value in properties.items())}

    def best(self, peers, choose, *keys):
        """The best of these figures among the peers, and whose it is; (None, None) if there is none."""
        found = [(system["median"][key], system["label"]) for system in peers.values() for key in keys
                 if system["median"].get(key) is not None]
        return choose(found) if found else (None, None)

    def judge(self):
        self.judge_throughput()
        self.judge_small()
        self.judge_cpu()
        self.judge_ping()
        self.judge_memory()
        return self.lines

    def one_stream(self, name=OURS):
        """One stream, the slower direction: against it stands the faster one of the others."""
        ways = [self.figure(name, "tcp_up_mbit"), self.figure(name, "tcp_down_mbit")]
        return None if None in ways else min(ways)

    def judge_throughput(self):
        ours, four = self.one_stream(), self.figure(OURS, "tcp_four_mbit")
        ways = ("tcp_up_mbit", "tcp_down_mbit")
        theirs, whose = self.best(self.peers(sealed=True, layer=2), max, *ways)
        self.say("one TCP stream: 3 times the best sealed layer-2 peer", lambda: ours >= 3 * theirs,
                 lambda: f"{ours:,.0f} against {theirs:,.0f} Mbit/s ({whose}): {ours / theirs:.1f} times", ours, theirs)
        routed, router = self.best(self.peers(layer=3), max, *ways)
        self.say("one TCP stream: above WireGuard in user space at layer 3", lambda: ours > routed,
                 lambda: f"{ours:,.0f} against {routed:,.0f} Mbit/s ({router})", ours, routed)
        up = self.figure(OURS, "tcp_up_mbit")
        self.say("four streams: not below one", lambda: four >= up,
                 lambda: f"{four:,.0f} against {up:,.0f} Mbit/s", four, up)
        clear, vxlan = self.one_stream("vswitch-none"), self.figure("vxlan", "tcp_up_mbit")
        self.say("in the clear: a third of kernel VXLAN", lambda: 3 * clear >= vxlan,
                 lambda: f"{clear:,.0f} of {vxlan:,.0f} Mbit/s: {clear / vxlan:.2f}", clear, vxlan)

    def judge_small(self):
        ours = self.figure(OURS, "small_frames_per_s")
        theirs, whose = self.best(self.peers(), max, "small_frames_per_s")
        self.say("64-byte frames: ahead of every peer in user space", lambda: ours > theirs,
                 lambda: f"{ours:,.0f} against {theirs:,.0f} frames/s ({whose})", ours, theirs)

    def judge_cpu(self):
        for where in ("hub", "clients"):
            key = f"{where}_up_cpu_s_per_gb"
            ours = self.figure(OURS, key)
            theirs, whose = self.best(self.peers(sealed=True), min, key)
            self.say(f"CPU per GB, {where}: less than half of the best sealed peer's", lambda: 2 * ours < theirs,
                     lambda: f"{ours:.2f} against {theirs:.2f} s/GB ({whose})", ours, theirs)

    def judge_ping(self):
        idle = self.figure(OURS, "idle_median_ms")
        for key, load in (("loaded_up_median_ms", "one stream"), ("loaded_four_median_ms", "four streams")):
            ours = self.figure(OURS, key)
            theirs, whose = self.best(self.peers(), min, key)
            self.say(f"ping beside {load}: at most 1.5 times idle and 0.5 ms", lambda: ours <= 1.5 * idle + 0.5,
                     lambda: f"{ours:.2f} ms; idle {idle:.2f}, so at most {1.5 * idle + 0.5:.2f}", ours, idle)
            self.say(f"ping beside {load}: ahead of every peer in user space", lambda: ours < theirs,
                     lambda: f"{ours:.2f} against {theirs:.2f} ms ({whose})", ours, theirs)

    def judge_memory(self):
        rss, rate = (self.report["four_clients"].get(key) for key in ("hub_rss_mib", "tcp_mbit"))
        self.say("the hub's memory with four clients under load: under 32 MB", lambda: rss * MIB < 32e6,
                 lambda: f"{rss * MIB / 1e6:.1f} MB while {rate:,.0f} Mbit/s pass", rss)


LIMITS = (("AES-256-GCM alone", "aead_aes_256_gcm_mbps"), ("ChaCha20-Poly1305 alone", "aead_chacha20_poly1305_mbps"),
          ("copies alone", "copy_mbps"))


def limit_lines(report):
    """What vswitch moves as a part of what one core can do with nothing else to do."""
    ours = measured(report).get(OURS, {}).get("median", {}).get("tcp_up_mbit")
    limits = report["limits"]["median"]
    return [f"{name} {limits[key]:,.0f} Mbit/s, of which vswitch's one stream is {ours / limits[key]:.1%}"
            for name, key in LIMITS if limits.get(key) and ours is not None]


# --- Files ------------------------------------------------------------------------------------------------------------


def chart(report):
    """Two panels of bars: throughput of one stream, ping beside it. The scales are those of the programs in user space;
    the kernel's bars are cut."""
    systems = measured(report)
    panels = []
    for title, key, digits in (("One TCP stream, Mbit/s: more is better", "tcp_up_mbit", 0),
                               ("Ping beside that stream, median, ms: less is better", "loaded_up_median_ms", 2)):
        bars = [(system["label"].replace("`", "") + (", sealed" if system["sealed"] else ", clear"),
                 system["median"].get(key), name.startswith(OURS)) for name, system in systems.items()]
        scale = [system["median"][key] for system in systems.values()
                 if system["user_space"] and system["median"].get(key) is not None]
        panels.append((title, digits, bars, max(scale, default=None)))
    at = report["machine"]
    return svg.bars(panels, note=f"client - hub - client on {at['cores']} cores of {at['cpu']}, Linux {at['kernel']}, "
                    f"{report['date']}")


def readme_part(report, image):
    parts = [f"![throughput and loaded ping of all systems]({image})" if image else "", table(report),
             fill(describe_run(report))]
    if report["four_clients"]:
        parts.append(fill("With four clients, in pairs and with four streams each way, vswitch's hub takes at most "
                          f"{report['four_clients']['hub_rss_mib']:.1f} MiB."))
    limits = limit_lines(report)
    if limits:
        parts.append(fill(f"One core with nothing else to do, in the same run: {'; '.join(limits)}."))
    if report["skipped"]:
        reasons = "; ".join(f"{name} ({why})" for name, why in report["skipped"].items())
        parts.append(fill(f"Not measured: {reasons}."))
    return "\n\n".join(part for part in parts if part)


def fill(text):
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def write_readme(path, report, image):
    write_part(path, README_MARKS, readme_part(report, image))


def write_part(path, marks, part):
    """Puts the part between the two lines of the file that mark its place."""
    text = path.read_text(encoding="utf-8")
    begin, end = marks
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{path} has no such lines: {begin} ... {end}")
    head, rest = text.split(begin)
    path.write_text(f"{head}{begin}\n\n{part}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")

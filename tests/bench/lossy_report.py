"""What is made of the figures of `scripts/bench lossy`: tables, the chart, docs/transports.md's part, and the aims.

A report is a dictionary, which is also what the JSON file holds: `figures[group][line, queue or pair][system]` has the
figures of its `rounds` and one of `all` of them."""
import datetime

import report as reporting
import svg
from lossy_line import RATE_MBIT, RTT_MS
from lossy_measure import ECHO_SIZE

MARKS = ("<!-- lossy: begin, written by scripts/bench lossy --docs -->", "<!-- lossy: end -->")
OURS = "vswitch"
FAIR_MBIT = RATE_MBIT / 3
FAIR_SECONDS = 2.5  # times as long as another transfer: shares take a while to settle
BUSY = 0.9  # of the machine, or of the emulator's core: above it, figures may be theirs
LOSSES = {"clean": 0, "1%": 1, "5%": 5, "10%": 10}  # lines that a chart over loss has, and where
CHARTED = ("raw", "kcptun", "vswitch", "vswitch-lossy", "vswitch-game", "vswitch-datagram-2:1")


def figures(report, group, where, name):
    return report["figures"].get(group, {}).get(where, {}).get(name, {}).get("all", {})


def figure(report, group, where, name, key):
    return figures(report, group, where, name).get(key)


def extra(report, where, name):
    """Bytes that the system's stream takes more than the same without FEC: 0.5 is half as many again."""
    baseline = report["systems"].get(name, {}).get("baseline")
    ours, theirs = (figure(report, "stream", where, one, "wire_bytes_per_s") for one in (name, baseline))
    return None if ours is None or not theirs else ours / theirs - 1


# --- Tables -----------------------------------------------------------------------------------------------------------


def rows_of(report, group, cell):
    """A row for each system that has figures in this group, a column for each line."""
    found = report["figures"].get(group, {})
    lines = [where for where in report["lines"] if where in found]
    rows = [["", *(report["lines"][where]["label"] for where in lines)], ["---", *("---:" for _ in lines)]]
    for name, system in report["systems"].items():
        if any(name in found[where] for where in lines):
            rows.append([system["label"], *(cell(where, name) for where in lines)])
    return rows if len(rows) > 2 else None


def goodput_cell(report):
    def cell(where, name):
        found = figures(report, "goodput", where, name)
        if not found:
            return ""
        wire = f" ({found['wire_per_byte']:.2f})" if found.get("wire_per_byte") else ""
        return f"{found['mbit']:.1f}{wire}"
    return cell


def stream_cell(report):
    def cell(where, name):
        found = figures(report, "stream", where, name)
        if not found:
            return ""
        more = extra(report, where, name)
        times = "" if found["median_ms"] is None else f"; {found['median_ms']:.1f}; {found['p99_ms']:.1f}"
        return f"{found['residual']:.2%}{times}" + ("" if more is None else f"; {more:+.0%}")
    return cell


def queue_rows(report):
    rows = [["queue", "", "Mbit/s", "line in use", "ping idle", "loaded", "p99"],
            ["---", "---", "---:", "---:", "---:", "---:", "---:"]]
    for queue, systems in report["figures"].get("queues", {}).items():
        for name, system in systems.items():
            found = system["all"]
            rows.append([report["queues"][queue], report["systems"][name]["label"], f"{found['mbit']:.1f}",
                         f"{found['fill']:.1%}", *(reporting.cell(found[key], 1) for key in
                         ("idle_median_ms", "loaded_median_ms", "loaded_p99_ms"))])
    return rows if len(rows) > 2 else None


def fair_rows(report):
    rows = [["links", "first", "second", "plain TCP"], ["---", "---:", "---:", "---:"]]
    for pair, systems in report["figures"].get("fair", {}).items():
        found = systems[OURS]["all"]
        rows.append([pair.replace("+", ", "), *(f"{found[which]:.1f} ({found[which] / FAIR_MBIT:.0%})"
                                                for which in ("first", "second", "tcp"))])
    return rows if len(rows) > 2 else None


def tables(report):
    """The tables for which there are figures, each with its title."""
    found = (("**One TCP stream**: goodput in Mbit/s (bytes on the wire, both ways, for each byte delivered)",
              rows_of(report, "goodput", goodput_cell(report)), 1),
             (f"**50 packets of {ECHO_SIZE} bytes a second, there and back**: lost for good; median and p99 of the "
              "round trip in ms; bytes on the wire beyond those of the same settings with `fec = off`",
              rows_of(report, "stream", stream_cell(report)), 1),
             ("**The bottleneck's queue**, on the clean line: one TCP stream and a ping in ms", queue_rows(report), 2),
             ("**Two links and a plain TCP stream on one clean line**, by the links' `congestion`: Mbit/s "
              "(of a third of the line)", fair_rows(report), 1))
    return [(reporting.fill(title + "."), reporting.align(rows, texts)) for title, rows, texts in found if rows]


def describe_run(report):
    at, date = report["machine"], datetime.date.fromisoformat(report["date"])
    return reporting.fill(
        f"`{report['command']}`, {date}; {at['cores']} cores of {at['cpu']}, Linux {at['kernel']}, {at['system']}. "
        f"Lines of {RATE_MBIT} Mbit/s and {RTT_MS} ms of round trip, 512 KB of queue unless it says otherwise; losses "
        f"in each direction. {report['seconds']} s a transfer, {report['stream_seconds']} s a stream; medians over the "
        f"rounds ({report['rounds']}), streams counted together. kcptun carries TCP connections only: its stream is "
        "messages over one of them. The two links and the stream beside them run for "
        f"{FAIR_SECONDS} times as long.")


def doubts(report):
    """Whether the machine may have been the limit of some measurements."""
    found = []
    for group, places in report["figures"].items():
        for key, what in (("machine_load", "the machine"), ("emulator_load", "the link emulator")):
            loads = [one[key] for systems in places.values() for system in systems.values()
                     for one in system["rounds"] if key in one]
            busy = sum(load > BUSY for load in loads)
            if busy:
                found.append(f"{group}: in {busy} of {len(loads)} measurements {what} was busy for more than "
                             f"{BUSY:.0%} of the time")
    return found


# --- The aims ---------------------------------------------------------------------------------------------------------


LOSSY_MBIT = {"clean": 85, "1%": 80, "5%": 80, "10%": 72, "bursts": 70}
RESIDUAL = 0.001
KCPTUN = ("kcptun", "kcptun-2048")


class Aims(reporting.Judge):
    """What the project wants to hold over bad lines."""

    def label(self, where):
        return self.report["lines"][where]["label"]

    def judge(self):
        """Of all groups that have been measured."""
        measured = self.report["figures"]
        for where in measured.get("goodput", {}):
            self.judge_goodput(where)
        if "5%" in measured.get("stream", {}):
            self.judge_game()
            self.judge_thrifty()
        if "clean" in measured.get("stream", {}):
            self.judge_auto()
        if "queues" in measured:
            self.judge_queues()
        self.judge_fair()
        return self.lines

    def judge_goodput(self, where):
        ours = figure(self.report, "goodput", where, "vswitch-lossy", "mbit")
        theirs = max((mbit for name in KCPTUN if (mbit := figure(self.report, "goodput", where, name, "mbit"))),
                     default=None)
        aim = LOSSY_MBIT[where]
        self.say(f"profile = lossy, {self.label(where)}: {aim} Mbit/s", lambda: ours >= aim,
                 lambda: f"{ours:.1f} Mbit/s", ours)
        self.say(f"profile = lossy, {self.label(where)}: above kcptun", lambda: ours > theirs,
                 lambda: f"{ours:.1f} against {theirs:.1f} Mbit/s", ours, theirs)

    def judge_stream(self, name, aim, extra_max, late):
        """`late`: of median, p99 and the path's figures, whether they are in time; and what is said of it."""
        ours, path = (figures(self.report, "stream", "5%", one) for one in (name, "raw"))
        more = extra(self.report, "5%", name)
        self.say(aim, lambda: ours["residual"] < RESIDUAL and more <= extra_max and late(ours, path),
                 lambda: f"{more:+.0%}, {ours['residual']:.3%} lost ({ours['lost']} of {ours['sent']}), median "
                 f"{ours['median_ms']:.1f} ms (path {path['median_ms']:.1f}), p99 {ours['p99_ms']:.1f} "
                 f"({ours['p99_ms'] / path['p99_ms']:.2f} times)", more, ours.get("median_ms"), path.get("median_ms"))

    def judge_game(self):
        self.judge_stream("vswitch-game", "profile = game, small packets at 5 %: at most 220 % extra, under 0.1 % "
                          "lost, median within 2 ms and p99 within 1.3 times the path's", 2.2,
                          lambda ours, path: ours["median_ms"] <= path["median_ms"] + 2 and
                          ours["p99_ms"] <= 1.3 * path["p99_ms"])

    def judge_thrifty(self):
        for name, system in self.report["systems"].items():
            more = extra(self.report, "5%", name)
            if more is not None and more <= 0.6:
                self.judge_stream(name, f"{system['label']}, small packets at 5 %: at most 60 % extra, under 0.1 % "
                                  "lost, p99 within 2.8 times the path's", 0.6,
                                  lambda ours, path: ours["p99_ms"] <= 2.8 * path["p99_ms"])

    def judge_auto(self):
        for name in ("vswitch-datagram-auto", "vswitch-auto"):
            more = extra(self.report, "clean", name)
            label = self.report["systems"].get(name, {}).get("label", name)
            self.say(f"{label}, small packets without loss: under 1 % extra", lambda: more < 0.01,
                     lambda: f"{more:+.2%}", more)

    def judge_queues(self):
        for queue, label in self.report["queues"].items():
            ours = figures(self.report, "queues", queue, OURS)
            fill, mbit, idle, loaded = (ours.get(key) for key in ("fill", "mbit", "idle_median_ms", "loaded_median_ms"))
            self.say(f"default settings, queue of {label}: 90 % of the line in use, 85 Mbit/s",
                     lambda: fill >= 0.9 and mbit >= 85, lambda: f"{fill:.1%}, {mbit:.1f} Mbit/s", fill, mbit)
            self.say(f"default settings, queue of {label}: ping under load below twice the idle one",
                     lambda: loaded < 2 * idle, lambda: f"{loaded:.1f} ms (p99 {ours['loaded_p99_ms']:.1f}); "
                     f"idle {idle:.1f}", idle, loaded)

    def judge_fair(self):
        for pair, systems in self.report["figures"].get("fair", {}).items():
            least = min(systems[OURS]["all"].values())
            links = pair.replace("+", " and ")
            self.say(f"links with {links} beside plain TCP: nobody below a fifth of the fair share",
                     lambda: least >= FAIR_MBIT / 5, lambda: f"the least is {least:.1f} Mbit/s, "
                     f"{least / FAIR_MBIT:.0%} of {FAIR_MBIT:.1f}")


# --- The chart and the page -------------------------------------------------------------------------------------------


def over_loss(report, title, unit, group, key, scale=1):
    """A line for each charted system over the loss of the line; None if there are no figures."""
    series = []
    for name in CHARTED:
        points = [(LOSSES[where], value * scale) for where in report["lines"] if where in LOSSES and
                  (value := figure(report, group, where, name, key)) is not None]
        if points:
            series.append((report["systems"][name]["label"].replace("`", ""), points))
    return svg.LineChart(title, "loss in each direction, %", unit, series) if series else None


def in_bursts(report, title, group, key, digits):
    """Bars of the charted systems on the line that loses in bursts."""
    bars = [(report["systems"][name]["label"].replace("`", ""), value, name.startswith(OURS)) for name in CHARTED
            if (value := figure(report, group, "bursts", name, key)) is not None]
    return svg.BarChart(title, bars, digits, width=460) if bars else None


def chart(report):
    charts = (over_loss(report, "One TCP stream: goodput", "Mbit/s", "goodput", "mbit"),
              over_loss(report, "... and bytes on the wire for each delivered", "", "goodput", "wire_per_byte"),
              over_loss(report, "Small packets: lost for good", "%", "stream", "residual", 100),
              over_loss(report, "Small packets: p99 of the round trip", "ms", "stream", "p99_ms"),
              in_bursts(report, "5 % in bursts of 4: goodput, Mbit/s", "goodput", "mbit", 1),
              in_bursts(report, "5 % in bursts of 4: p99 of small packets, ms", "stream", "p99_ms", 0))
    at = report["machine"]
    return svg.page(f"Over a line of {RATE_MBIT} Mbit/s and {RTT_MS} ms", [one for one in charts if one],
                    note=f"{at['cores']} cores of {at['cpu']}, Linux {at['kernel']}, {report['date']}")


def docs_part(report):
    parts = ["![goodput, losses and delays over lossy lines](lossy.svg)"]
    for title, table in tables(report):
        parts += [title, table]
    if report["skipped"]:
        parts.append(reporting.fill("Not measured: " + "; ".join(report["skipped"]) + "."))
    return "\n\n".join([*parts, describe_run(report)])

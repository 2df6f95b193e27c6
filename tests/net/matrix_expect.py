#!/usr/bin/env python3
"""What must hold in the matrix test, given what its probes saw.

matrix_expect.py PLAN RESULTS

PLAN is matrix_plan.py's output, RESULTS the directory where PC.json is what the member PC saw of the stations that it
asked (matrix_traffic.py). Prints a line for each of these, `ok` or `not ok`, a tab, and the figures; and such lines for
what must hold of all cells together. Exit status 1 if anything does not.

The line under each cell loses 2 % and reorders 2 % of what it carries. No bound depends on how fast the machine is, but
all leave room for a frame that CoDel drops here and there where the machine is short of time."""
import json
import pathlib
import sys

from matrix_traffic import DATAGRAMS, FULL_FRAMES

REFERENCE = "pc1"  # its line is good, its port reliable
# How many of a hundred datagrams must arrive, each way, over one such line.
RELIABLE = 95.0   # the ARQ loses none; what all cells send to the reference may run full there
OVER_TCP = 95.0   # TCP loses nothing, but while it waits for a lost segment the queue in front of it may run full
FEC_FIXED = 94.0
FEC_AUTO = 90.0   # parity comes when loss has been reported
BARE = 88.0
FULL_RELIABLE, FULL_DATAGRAM = FULL_FRAMES * 8 // 10, FULL_FRAMES // 2


def is_reliable(cell):
    return cell is None or cell["mode"] == "reliable"


def arrival(cell):
    if cell is None:
        return 100.0
    if cell["mode"] == "reliable":
        return RELIABLE
    if cell["carrier"] == "tcp":
        return OVER_TCP
    return {"off": BARE, "auto": FEC_AUTO}.get(cell["fec"], FEC_FIXED)


def ranges(numbers):
    """1, 2, 3, 7 as "1-3 7"."""
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


class Seen:
    """What a probe saw; `cells` are those of its two ends, None for the reference."""

    def __init__(self, cells, seen):
        self.cells = cells
        self.seen = seen
        there, back = seen["there"], seen["back"]
        self.shares = (100 * there["arrived"] / DATAGRAMS, 100 * back["arrived"] / max(there["arrived"], 1))
        self.lost = DATAGRAMS - back["arrived"]

    def count(self, what):
        return self.seen["there"][what] + self.seen["back"][what]

    def figures(self):
        return "{:.1f} % there, {:.1f} % back, {} full frames of {}, ARP at question {}, TCP in {} s".format(
            *self.shares, self.seen["full_frames"], FULL_FRAMES, self.seen["arp_questions"],
            self.seen["transfer_sec"])

    def faults(self):
        there, back = self.seen["there"], self.seen["back"]
        reliable = all(is_reliable(cell) for cell in self.cells)
        at_least = arrival(self.cells[0]) * arrival(self.cells[1]) / 100
        if self.seen["arp_questions"] is None:
            yield "no answer by ARP"
        if not self.seen["sent"]:
            yield "TCP: not what was sent"
        if not self.seen["fetched"]:
            yield "TCP: not what was fetched"
        if min(self.shares) < at_least:
            yield "UDP: less than {:.1f} % each way, missing there: {}; there or back: {}".format(
                at_least, ranges(there["missing"]), ranges(back["missing"]))
        for what in ("damaged", "duplicates"):
            if self.count(what):
                yield f"UDP: {self.count(what)} {what}"
        if reliable and self.count("late"):
            yield f"UDP: {self.count('late')} out of order"
        if self.seen["full_frames"] < (FULL_RELIABLE if reliable else FULL_DATAGRAM):
            yield "too few frames of 1500 bytes"


def describe(seen, pc, to):
    first, second = (cell["name"] if cell else "the reference" for cell in seen.cells)
    return f"{pc} ({first}) to {to} ({second}): {seen.figures()}"


def lossy_end(seen):
    """The cell whose line's losses show in what the probe saw, if there is just one: only FEC makes them good."""
    lossy = [cell for cell in seen.cells if not is_reliable(cell) and cell["carrier"] != "tcp"]
    return lossy[0] if len(lossy) == 1 and all(is_reliable(cell) or cell in lossy for cell in seen.cells) else None


def judge_group(title, group):
    """Loss there and back, in percent, in all of the group; None if it is empty."""
    if not group:
        return None
    loss = 100 * sum(seen.lost for seen in group) / (len(group) * DATAGRAMS)
    print(f"# {title}: {loss:.2f} % of {len(group) * DATAGRAMS} datagrams lost, there and back")
    return loss


def judge_all(probes):
    """Yields (whether it holds, what)."""
    by_fec = {"off": [], "K:M": [], "auto": []}
    for seen in probes:
        cell = lossy_end(seen)
        if cell:
            by_fec["K:M" if ":" in cell["fec"] else cell["fec"]].append(seen)
    judge_group("mode = reliable", [seen for seen in probes if all(is_reliable(cell) for cell in seen.cells)])
    bare, fixed, auto = (judge_group(f"mode = datagram, fec = {fec}", group) for fec, group in by_fec.items())
    if bare is None:
        return
    yield bare > 0, "without retransmission and FEC the line's losses show"
    if fixed is not None:
        yield fixed < bare / 4, "FEC makes good at least three of four"
    if auto is not None:
        yield auto < bare, "... and automatic FEC some"


def main(plan_file, results):
    cells = {REFERENCE: None}
    for line in pathlib.Path(plan_file).read_text(encoding="utf-8").splitlines():
        cell = json.loads(line)
        cells[cell["pc"]] = cell
    probes, verdicts = [], []
    for path in sorted(pathlib.Path(results).glob("pc*.json"), key=lambda path: int(path.stem[2:])):
        for to, what in json.loads(path.read_text(encoding="utf-8")).items():
            seen = Seen((cells[path.stem], cells[to]), what)
            faults = list(seen.faults())
            verdicts.append((not faults, "; ".join([describe(seen, path.stem, to), *faults])))
            probes.append(seen)
    verdicts += judge_all(probes)
    for holds, what in verdicts:
        print("ok" if holds else "not ok", what, sep="\t")
    return 0 if all(holds for holds, _ in verdicts) else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))

#!/usr/bin/env python3
"""The cells of the matrix test: which settings of a port are tried together.

matrix_plan.py [--full] [--batch SIZE] [--only GLOB]... [--table]

Without --full the cells are a pairwise cover: any two values of two different factors meet in a cell. Most faults of
settings that go wrong together are those of two (Kuhn, Wallace and Gallo, IEEE TSE 30(6), 2004), and 20-odd cells show
them all; --full is the product. The choice is greedy and without chance: each cell is the one that brings the most
pairs that had not met, of equals the one whose values are used least so far, of these the first of the product.

Output is JSON, one object a cell; a batch is a set of cells that are on one switch at the same time, pc1 being the
member that all of them talk to. `partner` is who a cell talks to besides: the member whose port is least like its own.
--only keeps the cells whose name matches, such as 'tcp-*-none-*'; --table prints them for people."""
import argparse
import collections
import fnmatch
import itertools
import json
import sys

FACTORS = {
    "carrier": ("udp", "faketcp", "tcp"),
    "mode": ("reliable", "datagram"),
    "cipher": ("auto", "aes-256-gcm", "chacha20-poly1305", "auth", "none"),
    "fec": ("off", "4:2", "1:2", "auto"),
    "ip": ("4", "6"),
}


def product():
    return [dict(zip(FACTORS, values)) for values in itertools.product(*FACTORS.values())]


def pairs(cell):
    """What meets in a cell: ((factor, value), (other factor, its value))."""
    return set(itertools.combinations(cell.items(), 2))


def pairwise(cells):
    """Some of the cells, in which each pair is that is in any of them."""
    missing = set().union(*(pairs(cell) for cell in cells))
    used = collections.Counter()
    chosen = []
    while missing:
        best = max(cells, key=lambda cell: (len(pairs(cell) & missing), -sum(used[value] for value in cell.items())))
        chosen.append(best)
        missing -= pairs(best)
        used.update(best.items())
    return chosen


def name(cell):
    return "-".join(cell.values())


def likeness(cell, other):
    return sum(cell[factor] == other[factor] for factor in FACTORS)


def choose_partners(batch):
    """Of those that are equally unlike, the one whom fewest others talk to."""
    asked = dict.fromkeys((cell["pc"] for cell in batch), 0)
    for cell in batch:
        others = [other for other in batch if other is not cell]
        if not others:
            cell["partner"] = None
            continue
        partner = min(others, key=lambda other: (likeness(cell, other), asked[other["pc"]]))
        cell["partner"] = partner["pc"]
        asked[partner["pc"]] += 1


def plan(cells, batch_size):
    """The cells, with where and when they are tried. Batches are of about the same size."""
    batches = -(-len(cells) // batch_size)
    planned = []
    for batch in range(batches):
        members = [{"batch": batch, "pc": f"pc{n}", "name": name(cell), **cell}
                   for n, cell in enumerate(cells[batch::batches], start=2)]
        choose_partners(members)
        planned += members
    return planned


def print_table(planned):
    columns = ("batch", "pc", *FACTORS, "partner")
    rows = [columns, *(["-" if cell[column] is None else str(cell[column]) for column in columns] for cell in planned)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="the whole product")
    parser.add_argument("--batch", type=int, default=24, metavar="SIZE", help="cells at the same time, at most")
    parser.add_argument("--only", action="append", metavar="GLOB", help="only cells with such a name; may repeat")
    parser.add_argument("--table", action="store_true", help="a table instead of JSON")
    options = parser.parse_args()

    cells = product() if options.full else pairwise(product())
    if options.only:
        cells = [cell for cell in cells if any(fnmatch.fnmatchcase(name(cell), glob) for glob in options.only)]
    if not cells:
        sys.exit("matrix_plan.py: there is no such cell")
    planned = plan(cells, options.batch)
    if options.table:
        print_table(planned)
        return
    for cell in planned:
        print(json.dumps(cell))


if __name__ == "__main__":
    main()

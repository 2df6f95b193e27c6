#!/usr/bin/env python3
"""Guards the cost of the hot paths: counts the instructions of fixed workloads in the link and the switch, with
valgrind's callgrind, and compares them with those in baseline.json. Never measures time, so that it says the same on a
busy machine.

A workload that has become dearer than the tolerance fails. One that has become cheaper passes; renew the baseline then,
or the next change may give away what this one has gained. The counts depend on compiler, flags and libraries: where
these are not the baseline's, the test is skipped (77)."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BASELINE = pathlib.Path(__file__).with_name("baseline.json")
TOLERANCE_PERCENT = 5.0
SKIP = 77
TIMEOUT = 300
JOBS = min(4, os.cpu_count() or 1)

# The same instructions whatever the processor: memcpy() and its like as every x86-64 has them. Addresses do not matter:
# valgrind lays memory out as it likes, and the same each time.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "LC_ALL": "C",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX_Fast_Unaligned_Load,-SSSE3,-SSE4_1,-ERMS,-FSRM",
}
CALLGRIND = ("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no")


class Failure(Exception):
    """What ends the program with a message."""


def run(*command):
    try:
        done = subprocess.run(command, env=ENVIRONMENT, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{' '.join(command)}: not done after {TIMEOUT} s") from error
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


def made_with(program):
    return dict(line.strip().split(": ", 1) for line in run(program, "--made-with").splitlines())


def workloads(program):
    """{name: (unit, what)}, in the program's order."""
    lines = [line.split(" ", 2) for line in run(program, "--list").splitlines()]
    return {name: (unit, what) for name, unit, what in lines}


def chosen(known, names):
    for name in names:
        if name not in known:
            raise Failure(f"there is no workload {name}; there are: {', '.join(known)}")
    return list(names) or list(known)


def count(program, name, out):
    """(instructions, units) of a workload; callgrind's own output goes to `out`."""
    units = int(run(*CALLGRIND, f"--callgrind-out-file={out}", program, name))
    found = re.search(r"^totals: (\d+)$", out.read_text(encoding="utf-8"), re.MULTILINE)
    if not found or int(found[1]) == 0:
        raise Failure(f"{name}: callgrind has counted nothing")
    return int(found[1]), units


def measure(program, names):
    """{name: instructions per unit}"""
    def one(name):
        with tempfile.TemporaryDirectory(prefix="vswitch-perf.") as scratch:
            instructions, units = count(program, name, pathlib.Path(scratch, "out"))
        return round(instructions / units, 2)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return dict(zip(names, pool.map(one, names)))


# --- The baseline -------------------------------------------------------------------------------------------------------


def read_baseline(path):
    if not path.exists():
        raise Failure(f"{path} is not there; make it with --renew")
    return json.loads(path.read_text(encoding="utf-8"))


def difference(baseline, now):
    """Why counts of now cannot be compared with the baseline's; None: they can."""
    for key in sorted(baseline["made_with"].keys() | now.keys()):
        was, is_now = baseline["made_with"].get(key, "unknown"), now.get(key, "unknown")
        if was != is_now:
            return f"the baseline was made with {key} {was!r}, this is {is_now!r}"
    return None


def renew(path, program, known, names):
    now = made_with(program)
    old = read_baseline(path) if path.exists() else {}
    kept = old.get("workloads", {})
    if len(names) < len(known) and old and difference(old, now):
        raise Failure(f"renew all workloads: {difference(old, now)}")
    counts = measure(program, names)
    entries = {}
    for name, (unit, _) in known.items():
        if name in counts:
            entries[name] = {"unit": unit, "instructions": counts[name]}
        elif name in kept:
            entries[name] = kept[name]
    tolerance = old.get("tolerance_percent", TOLERANCE_PERCENT)
    new = {"tolerance_percent": tolerance, "made_with": now, "workloads": entries}
    path.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
    print(f"renewed {path}")


# --- The comparison -----------------------------------------------------------------------------------------------------


def verdict(percent, tolerance):
    if percent > tolerance:
        return "FAILED: dearer"
    if percent < -tolerance:
        return "cheaper: renew the baseline"
    return "ok"


def table(rows):
    head = ("workload", "per", "baseline", "now", "percent", "")
    rows = [head] + rows
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        cells = [cell.rjust(width) if 2 <= i <= 4 else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def compare(baseline, known, counts):
    """Prints instructions per unit, before and now; returns the names of those that fail."""
    tolerance = baseline["tolerance_percent"]
    rows, failed = [], []
    for name, now in counts.items():
        unit = known[name][0]
        before = baseline["workloads"].get(name)
        if not before or before["unit"] != unit:
            rows.append((name, unit, "-", f"{now:.1f}", "-", "FAILED: not in the baseline"))
            failed.append(name)
            continue
        percent = 100 * (now / before["instructions"] - 1)
        said = verdict(percent, tolerance)
        rows.append((name, unit, f"{before['instructions']:.1f}", f"{now:.1f}", f"{percent:+.2f}", said))
        if said.startswith("FAILED"):
            failed.append(name)
    table(rows)
    return failed


def check(path, program, known, names):
    baseline = read_baseline(path)
    reason = difference(baseline, made_with(program))
    if reason:
        return skip(reason)
    failed = compare(baseline, known, measure(program, names))
    gone = sorted(baseline["workloads"].keys() - known.keys())
    if gone:
        print(f"in the baseline, but no workload any more: {', '.join(gone)}")
    if failed or gone:
        print(f"FAILED: {', '.join(failed + gone)}. Find out where with --profile WORKLOAD; if the price is right, "
              "renew the baseline with --renew and say in the commit what it buys.")
    return 1 if failed or gone else 0


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    return SKIP


# --- Where the instructions go ------------------------------------------------------------------------------------------


def annotate(program, out, *options):
    """[(instructions, source file, function)] of callgrind_annotate's table. A file is called by its room and name; all
    of a library by the library's. There is no object in the rows of what was inlined from another file."""
    text = run("callgrind_annotate", "--auto=no", "--show-percs=no", "--threshold=100", *options, str(out))
    rows = []
    for cost, where, function, code in re.findall(r"^ *([\d,]+) +(\S+):(\S+)(?: \[(.*)\])?$", text, re.MULTILINE):
        path = pathlib.PurePath(where)
        source = f"{path.parent.name}/{path.name}" if code in ("", program) else pathlib.PurePath(code).name
        rows.append((int(cost.replace(",", "")), source, function))
    return rows


def print_shares(title, shares, units, total, least):
    print(f"\n{title:<52} {'instructions':>12} {'share':>7}")
    for name, cost in sorted(shares.items(), key=lambda item: -item[1]):
        if cost >= least * total:
            print(f"{name:<52} {cost / units:12.1f} {100 * cost / total:6.1f} %")


def profile(program, known, names):
    """For each workload: the instructions of each source file (their sum is the total) and, with all that they call, of
    the functions."""
    for name in names:
        with tempfile.TemporaryDirectory(prefix="vswitch-perf.") as scratch:
            out = pathlib.Path(scratch, "out")
            total, units = count(program, name, out)
            own = annotate(program, out)
            inclusive = annotate(program, out, "--inclusive=yes")
        unit, what = known[name]
        print(f"{name}: {what}: {total / units:.1f} instructions a {unit} ({units} of them)")
        files, functions = {}, {}
        for cost, source, _ in own:
            files[source] = files.get(source, 0) + cost
        for cost, source, function in inclusive:
            # Not the workload's own. A function has a row for each file that a part of it was inlined from, and one
            # with all of them.
            if not source.startswith("perf/") and source.endswith(".c"):
                key = f"{function} ({source})"
                functions[key] = max(functions.get(key, 0), cost)
        print_shares("by source file", files, units, total, 0.001)
        print_shares("by function, with what it calls", functions, units, total, 0.01)
        print()


def missing():
    """What lacks for counting, or None."""
    for tool in ("valgrind", "callgrind_annotate"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="tests/perf-workloads of a build")
    parser.add_argument("workload", nargs="*", help="only these")
    parser.add_argument("--baseline", type=pathlib.Path, default=BASELINE, help="the file to compare with")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--renew", action="store_true", help="write the baseline anew")
    how.add_argument("--profile", action="store_true", help="show where the instructions go; compare nothing")
    options = parser.parse_intermixed_args()
    program = str(pathlib.Path(options.program).resolve())
    if missing():
        return skip(missing())
    known = workloads(program)
    names = chosen(known, options.workload)
    if options.renew:
        return renew(options.baseline, program, known, names)
    if options.profile:
        return profile(program, known, names)
    return check(options.baseline, program, known, names)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"perf: {failure}")

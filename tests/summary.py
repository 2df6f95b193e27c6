#!/usr/bin/env python3
"""summary.py TESTLOG...: sums up Meson's test logs (testlog.json): what failed, by name, what was skipped, and as the last
line "N passed, N failed" (", N skipped"). Exit status 0 if something passed and nothing failed."""
import json
import pathlib
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}


def read(path):
    """The tests of a log, one JSON object a line; none if there is no log: that is a failure of its own."""
    if not path.exists():
        return [{"name": f"{path}: the tests did not run", "result": "ERROR", "duration": 0}]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def reason(test):
    for line in test.get("stdout", "").splitlines():
        if "# SKIP" in line:
            return line.split("# SKIP", 1)[1].strip()
    return "no reason given"


def main(paths):
    tests = [test for path in paths for test in read(pathlib.Path(path))]
    failed = [test for test in tests if test["result"] not in PASSED | SKIPPED]
    skipped = [test for test in tests if test["result"] in SKIPPED]
    passed = len(tests) - len(failed) - len(skipped)
    for test in skipped:
        print(f"skipped: {test['name']}: {reason(test)}")
    for test in failed:
        print(f"failed: {test['name']}: {test['result']} after {test['duration']:.1f} s")
    print(f"{passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

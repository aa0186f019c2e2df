#!/usr/bin/env python3
"""`weft bench models`: its table, its lines, its JSON and its picture have what was measured, and waiting takes its time.

S002-05, S000-02 to S000-04, S000-30, S001-43, S001-44, S001-100, S001-109, S004-40, S004-41. How fast anything is, is no
matter of a test. Environment: WEFT.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

WEFT = os.environ.get("WEFT", "build/weft")
MODELS = ["Line", "Thread", "Process", "Coroutine"]
failures = []


def check(condition, text, detail=""):
    if not condition:
        failures.append(text)
        print("FAIL %s %s" % (text, str(detail)[:800]))


def bench(*arguments, status=0):
    done = subprocess.run([WEFT, "bench", *arguments], capture_output=True, timeout=200, stdin=subprocess.DEVNULL)
    out, err = done.stdout.decode(), done.stderr.decode()
    check(done.returncode == status, "bench %s exits with %d" % (arguments, status), (done.returncode, out, err))
    if status != 0:
        check(out == "" and err.count("\n") == 1, "bench %s says one line" % (arguments,), err)
    return out if status == 0 else err


def check_times(report, sets):
    times = {(t["set"], t["job"], t["model"]): t["seconds"] for t in report["times"]}
    check(set(times) == {(s, job, model) for s in sets for job in ("computing", "waiting", "files") for model in MODELS},
          "every job by every model", sorted(times))
    for one in sets:
        check(times[one, "waiting", "Line"] >= 0.2, "two tasks wait one after the other", times)
        for model in MODELS:
            check(times[one, "waiting", model] >= 0.1, "a wait takes its time: " + model, times)
            check(times[one, "computing", model] > 0 and times[one, "files", model] > 0, "measured: " + model, times)


def main():
    small = ["models", "--tasks", "2", "--work", "20"]
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        picture = os.path.join(folder, "models.svg")
        report = json.loads(bench(*small, "--json", "--one-core", "--curve", "--locks", "--gil", "100", "--svg", picture))
        drawn = xml.etree.ElementTree.parse(picture).getroot()
        texts = [e.text for e in drawn.iter("{http://www.w3.org/2000/svg}text")]
        check(all(texts.count(model) == 3 for model in MODELS), "the picture has each model in each panel", texts)
        check("waiting 64" in " ".join(texts) or any((t or "").startswith("waiting ") for t in texts), "and the curve", texts)
    check(report["gil_steps"] == 100 and report["tasks"] == 2 and report["processors"] >= 1, "the settings", report)
    check_times(report, ["weft", "one_core"])
    check([p["at_once"] for p in report["curve"]] == [1, 2, 4, 8, 16, 32, 64], "the curve", report["curve"])
    check(all(value > 0 for value in report["locks"].values()) and len(report["locks"]) == 4, "the locks", report["locks"])

    table = bench(*small, "--gil", "5ms")
    check(all(word in table for word in MODELS + ["computing", "waiting", "files", "after 5 ms"]), "the table", table)
    lines = bench(*small, "--classic").splitlines()
    names = ["Line CPU ", "Thread CPU: ", "Process CPU: ", "Line IO ", "Thread io: ", "Process io: "]
    check(len(lines) == 6 and all(re.fullmatch(re.escape(name) + r"\d+\.\d+", line) for name, line in zip(names, lines)),
          "six lines as the tutorials print", lines)
    report = json.loads(bench(*small, "--json", "--python"))
    check(re.fullmatch(r"3\.\d+\.\S+", report["python"]), "python's version", report["python"])
    check_times(report, ["weft", "cpython"])

    for arguments, words in (([], "which one"), (["modles"], "no 'modles'"), (["models", "--gil", "often"], "--gil takes"),
                             (["models", "--gil", "0"], "--gil takes"), (["models", "--tasks", "0"], "from 1 to 1024"),
                             (["models", "--svg", "/no/such/picture", "--work", "1"], "cannot be written")):
        check(words in bench(*arguments, status=2), "bench %s says %r" % (arguments, words))
    check("Examples:" in bench("--help"), "bench --help")
    print("bench_test: %d failed" % len(failures))
    return 1 if failures else 0


sys.exit(main())

#!/usr/bin/env python3
"""Measures `weft load` beside wrk and prints JSON lines; tools/bench makes a table of them.

Both load the floor server, which does the least a server can, so that the generator and not the server is the limit as far
as that is possible: server on one core, generator with one thread on another. They take turns; a figure is the median
of the ratios of neighbours. Requests a second is the figure with a target; processor time a request says how much of
it is the generator's own doing when the server was the slower of the two.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile

import options
import servers
import web

SECONDS, ROUNDS = 2, 5  # wrk takes whole seconds
TARGET = 1.2
WRK_PIPELINE = """
init = function(args)
    local r = {}
    for i = 1, %d do r[i] = wrk.format(nil, wrk.path) end
    requests = table.concat(r)
end
request = function() return requests end
"""


class Workload:
    def __init__(self, name, size, connections=64, depth=1):
        self.name, self.size, self.connections, self.depth = name, size, connections, depth

    @property
    def large(self):
        return self.size >= 16384


WORKLOADS = [Workload("hello_64", 13), Workload("small_64", 1024), Workload("small_1000", 1024, connections=1000),
             Workload("pipelined_64", 13, depth=16)]


def run(argv, core):
    """(what it printed, processor seconds)."""
    with subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, text=True,
                          preexec_fn=servers.run_on(core)) as process:
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise servers.Failed(f"{argv[0]} ended with {process.returncode}")
    return out, usage.ru_utime + usage.ru_stime


def run_weft(args, workload, url, core, seconds, _):
    out, cpu = run([args.weft, "load", url, "--threads", 1, "--connections", workload.connections, "--duration", seconds,
                    "--pipeline", workload.depth, "--json"], core)
    report = json.loads(out)
    return {"rps": report["rate"], "generator_cpu_ns": cpu * 1e9 / report["answers"]}


def run_wrk(args, workload, url, core, seconds, directory):
    argv = [servers.find("wrk"), "-t1", f"-c{workload.connections}", f"-d{seconds}s"]
    if workload.depth > 1:
        script = pathlib.Path(directory) / "pipeline.lua"
        script.write_text(WRK_PIPELINE % workload.depth)
        argv += ["-s", script]
    out, cpu = run(argv + [url], core)
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", out)[1])
    count = int(re.search(r"(\d+) requests in", out)[1])
    return {"rps": rate, "generator_cpu_ns": cpu * 1e9 / count}


def measure(args, workload, directory):
    """Values by generator and metric, one a round."""
    cores, rounds = (args.cores[0], args.cores[-1]), 1 if args.quick else ROUNDS
    values = {"weft-load": {}, "wrk": {}}
    folder = pathlib.Path(directory)
    with servers.floor(args.floor).start(folder, cores[0], folder / "floor", workload) as server:
        for turn in range(rounds):
            pair = [("weft-load", run_weft), ("wrk", run_wrk)]
            for name, generator in pair if turn % 2 == 0 else reversed(pair):
                for metric, value in generator(args, workload, server.url, cores[1], SECONDS, directory).items():
                    values[name].setdefault(metric, []).append(value)
    return values


def report(workload, values):
    for metric, target in (("rps", TARGET), ("generator_cpu_ns", None)):
        ours, wrk = values["weft-load"][metric], values["wrk"][metric]
        ratio = web.spread([a / b for a, b in zip(ours, wrk)])
        line = {"bench": f"load/{workload.name}", "metric": metric, "subject": "weft-load", "value": web.spread(ours),
                "baseline": "wrk", "baseline_value": web.spread(wrk), "ratio": ratio, "verdict": "-"}
        if target is not None:
            line["ratio_at_least"] = target
            line["verdict"] = "PASS" if round(ratio[1], 2) >= target else "MISS"
        print(json.dumps(line), flush=True)


def main():
    args = options.parse(__doc__, "load", WORKLOADS, [("weft", "the command weft"), ("floor", "the floor server")], "one round",
                         servers=False)
    if not servers.find("wrk"):
        web.note("wrk is not installed; its figures are left out")
        return
    web.enter_namespace()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as directory:
        for workload in args.chosen:
            try:
                report(workload, measure(args, workload, directory))
            except (servers.Failed, OSError) as failure:
                print(json.dumps({"bench": f"load/{workload.name}", "metric": "rps", "subject": "weft-load",
                                  "note": str(failure), "verdict": "MISS"}), flush=True)


if __name__ == "__main__":
    main()

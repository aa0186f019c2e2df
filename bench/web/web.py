#!/usr/bin/env python3
"""Measures `weft web` beside nginx, h2o and lighttpd and prints JSON lines; tools/bench makes a table of them.

A round starts each server anew, pinned to one core, loads it with httpload on another, and stops it; the servers take
turns within a round, so that neighbours in time are compared. A figure is the median, over the rounds, of our value
divided by the baseline's of the same round. Where a difference of a hundredth counts, all servers run at once instead and
are loaded in many short turns, which a restless machine does not tell apart. All of it happens in a network namespace of its own: no firewall, nobody
else's traffic, and the same congestion control on every machine.
"""

import contextlib
import fcntl
import fnmatch
import json
import os
import pathlib
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile

import options
import servers

DISTURBED = 0.10  # share of a core that others may use during a run before it is taken again
RETRIES = 1
SLICE_SECONDS, SLICES = 0.08, 16  # of load on servers in turns
IDLE_SOURCES = 16  # loopback addresses that idle connections come from


class Workload:
    def __init__(self, name, size, connections=64, depth=1, seconds=1.5, rounds=5, idle=0, options=(), weft_options=(),
                 ours_only=False, retries=RETRIES, half=False, in_turns=False, turns=0, turn_seconds=SLICE_SECONDS):
        self.name, self.size, self.connections, self.depth = name, size, connections, depth
        self.seconds, self.rounds = seconds, rounds
        self.weft_options, self.ours_only, self.retries = list(weft_options), ours_only, retries
        self.options = list(options) + (["--idle", idle] if idle else [])
        self.idle, self.held = idle, connections + idle
        self.turns, self.turn_seconds = turns, turn_seconds  # short ones of servers that all run, instead of rounds
        self.in_turns = in_turns  # what idle connections cost in speed is told by two servers, loaded in turns
        self.half = half  # something else computes on the server's core: the server has half of it, and is the limit

    @property
    def large(self):
        """Whether sending the file straight from the page cache pays off."""
        return self.size >= 16384

    @property
    def file(self):
        return f"file{self.size}.txt"


WORKLOADS = [
    Workload("hello_64", 13),
    Workload("small_64", 1024),
    Workload("small_1000", 1024, connections=1000),
    Workload("pipelined_64", 1024, depth=16),
    Workload("file_16k", 16384),
    Workload("file_1m", 1 << 20, connections=16, options=["--trunc"], turns=80),
    Workload("fresh_64", 13, options=["--fresh"]),
    Workload("fresh_half", 13, connections=512, options=["--fresh"], half=True),
    Workload("idle_10k", 1024, idle=10000, seconds=1, rounds=3, in_turns=True),
    Workload("slow_900", 1024, connections=16, seconds=4, rounds=3, ours_only=True,
             options=["--slow", "900", "--fresh", "--pause", "10"], weft_options=["--max-connections", "512"]),
]


class Target:
    """One figure of a workload: `metric` of each of our servers that `ours` names, divided by the baseline's ("best": the
    best peer by this metric; a name: that peer; None: the value itself)."""

    def __init__(self, workload, metric, baseline, at_most=None, at_least=None, ours="weft-*"):
        self.workload, self.metric, self.baseline, self.ours = workload, metric, baseline, ours
        self.at_most, self.at_least = at_most, at_least

    def met(self, value):
        value = round(value, 2)
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)


FEWER = round(1 / 1.15, 2)
TARGETS = [
    Target("hello_64", "server_cpu_ns", "best", at_most=1, ours="weft-epoll*"),
    Target("hello_64", "server_cpu_ns", "best", at_most=FEWER, ours="weft-uring"),
    Target("small_64", "server_cpu_ns", "best", at_most=1, ours="weft-epoll*"),
    Target("small_64", "server_cpu_ns", "best", at_most=FEWER, ours="weft-uring"),
    Target("small_1000", "server_cpu_ns", "best", at_most=1, ours="weft-epoll*"),
    Target("small_1000", "server_cpu_ns", "best", at_most=FEWER, ours="weft-uring"),
    Target("pipelined_64", "rps", "nginx", at_least=5),
    Target("file_16k", "rps", "best", at_least=1),
    Target("file_16k", "server_cpu_ns", "best", at_most=1),
    Target("file_1m", "rps", "best", at_least=1),
    Target("file_1m", "server_cpu_ns", "best", at_most=1),
    Target("fresh_64", "rps", "nginx", at_least=1),
    Target("fresh_64", "server_cpu_ns", "nginx", at_most=1),
    Target("fresh_half", "rps", "nginx", at_least=1),
    Target("idle_10k", "rss_per_idle", None, at_most=512),
    Target("idle_10k", "rps_kept", None, at_least=0.95),
    Target("idle_10k", "idle_lost", None, at_most=0),
    Target("slow_900", "p99_us", None, at_most=100000),
]
METRICS = ["server_cpu_ns", "rps", "p99_us", "server_busy", "generator_busy", "bytes_per_s", "rss_per_idle", "kernel_per_idle",
           "rps_kept", "cpu_grown", "turned_away", "idle_lost", "errors"]
HIGHER_IS_BETTER = {"rps", "bytes_per_s", "rps_kept"}


def note(text):
    print(f"web: {text}", file=sys.stderr, flush=True)


# --- the network namespace ---------------------------------------------------------------------------------------------


def loopback_up():
    with socket.socket() as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING


def enter_namespace():
    """Start this program again in a network namespace of its own. Returns when that is so, or cannot be.

    Who is not root becomes root of a user namespace to make it, and then a plain user again in a second one: some servers
    would try to change their user if they were started as root."""
    stage = os.environ.get("WEFT_BENCH_NETNS")
    user = os.environ.setdefault("WEFT_BENCH_USER", f"{os.geteuid()} {os.getegid()}").split()
    if stage == "ready":
        return
    if stage == "made":
        loopback_up()
        # Every kernel has reno and lets every namespace choose it; without loss it does what cubic does. With bbr the
        # pacing timers would be measured rather than the servers.
        pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("reno")
        os.environ["WEFT_BENCH_NETNS"] = "ready"
        if user[0] != "0":
            again(["unshare", f"--map-user={user[0]}", f"--map-group={user[1]}"])
        return
    unshare = ["unshare", "--net"] if user[0] == "0" else ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") and subprocess.run(unshare + ["true"], stderr=subprocess.DEVNULL).returncode == 0:
        os.environ["WEFT_BENCH_NETNS"] = "made"
        again(unshare)
    note("no network namespace of our own: firewall, congestion control and others' traffic are this machine's")


def again(wrapper):
    os.execvp(wrapper[0], wrapper + [sys.executable] + sys.argv)


# --- runs --------------------------------------------------------------------------------------------------------------


def load(httpload, server, workload, cores, seconds, *instead):
    """What httpload says of a run with the workload's options, or with those `instead`."""
    argv = [httpload, "--connections", workload.connections, "--depth", workload.depth, "--seconds", seconds,
            "--cpu", cores[1], "--server-cpu", cores[0], "--server-pid", ",".join(map(str, server.pids)),
            *(instead or workload.options), server.url + workload.file]
    run = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=300,
                         preexec_fn=servers.run_on(cores[1]))
    if run.returncode != 0:
        raise servers.Failed(run.stderr.strip() or f"httpload ended with {run.returncode}")
    return json.loads(run.stdout)


def disturbance(workload, windows):
    """The largest share of either core that somebody else used during a window."""
    servers_core = [] if workload.half else [w["core_busy"] - w["server_busy"] for w in windows]
    return max(servers_core + [w["generator_core_busy"] - w["generator_busy"] for w in windows])


@contextlib.contextmanager
def sharing(core):
    """Something else computes on this core, with the same claim to it as a server."""
    other = subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=servers.run_on(core))
    try:
        yield
    finally:
        other.kill()
        other.wait()


def connect(host, port, path, source):
    """A connection that has asked once, and is kept."""
    connection = socket.create_connection((host, port), 10, source_address=(source, 0))
    connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    size = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None)
    if size is None:
        raise servers.Failed("an idle connection's answer has no size")
    while len(body) < size:
        more = connection.recv(65536)
        if not more:
            raise servers.Failed("an idle connection's answer was cut short")
        body += more
    return connection


@contextlib.contextmanager
def idle_connections(server, workload):
    """So many connections to it that say nothing; a function that tells how many of them it has ended."""
    host, _, port = server.url.split("/")[2].partition(":")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []

    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        try:
            for i in range(workload.idle):
                held.append(stack.enter_context(connect(host, int(port), workload.file, f"127.0.0.{2 + i % IDLE_SOURCES}")))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        yield lambda: sum(has_ended(connection) for connection in held)


def has_ended(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def figures(result):
    """From what httpload printed, one number a metric."""
    windows = result["windows"]
    values = {metric: windows[0][metric]
              for metric in ("server_cpu_ns", "rps", "p99_us", "bytes_per_s", "server_busy", "generator_busy")}
    values["errors"] = sum(result["errors"].values())
    if result["slow"]:
        values["turned_away"] = result["slow_closed"] + result["slow_refused"]
    if len(windows) == 3:
        without = (windows[0]["rps"] + windows[2]["rps"]) / 2
        values["rps_kept"] = windows[1]["rps"] / without
        values["cpu_grown"] = 2 * windows[1]["server_cpu_ns"] / (windows[0]["server_cpu_ns"] + windows[2]["server_cpu_ns"])
        values["rss_per_idle"] = max(0, windows[1]["server_rss"] - windows[0]["server_rss"]) / result["idle"]
        values["idle_lost"] = result["idle"] - result["idle_alive"]
        gone = windows[0]["available"] - windows[1]["available"]
        ours = sum(windows[1][side] - windows[0][side] for side in ("server_rss", "generator_rss"))
        values["kernel_per_idle"] = max(0, gone - ours) / result["idle"]
    return values


class Bench:
    def __init__(self, args, directory):
        self.args, self.directory = args, pathlib.Path(directory)
        self.root = self.directory / "root"
        self.root.mkdir()
        self.cores = (args.cores[0], args.cores[-1])
        self.disturbed = 0
        os.chmod(directory, 0o755)
        for size in {workload.size for workload in WORKLOADS}:
            (self.root / f"file{size}.txt").write_bytes((b"All that waits, waits in one place.\n" * (size // 36 + 1))[:size])

    def run_once(self, kind, workload):
        seconds = workload.seconds * (0.3 if self.args.quick else 1)
        for attempt in range(1 if self.args.quick else workload.retries + 1):
            with (kind.start(self.root, self.cores[0], self.directory / kind.name, workload) as server,
                  sharing(self.cores[0]) if workload.half else contextlib.nullcontext()):
                result = load(self.args.httpload, server, workload, self.cores, seconds)
                server.check_alive()
            if any(result["errors"].values()):
                causes = ", ".join(f"{count} {cause}" for cause, count in result["errors"].items() if count)
                note(f"{workload.name}: {kind.name}: failed responses: {causes}")
            if disturbance(workload, result["windows"]) <= DISTURBED:
                break
        else:
            self.disturbed += 1
        return figures(result) | (self.in_turns(kind, workload) if workload.in_turns else {})

    def in_turns(self, kind, workload):
        """Two servers at the same time, one of which holds idle connections, loaded in turns that are so short that what
        changes on the machine changes for both: the median of the ratios of neighbours."""
        kept, grown = [], []
        with (kind.start(self.root, self.cores[0], self.directory / kind.name, workload) as without,
              kind.start(self.root, self.cores[0], self.directory / f"{kind.name}-holding", workload) as holding,
              idle_connections(holding, workload) as lost):
            for turn in range(SLICES // 4 if self.args.quick else SLICES):
                pair = {}
                for server in (without, holding) if turn % 2 == 0 else (holding, without):
                    result = load(self.args.httpload, server, workload, self.cores, SLICE_SECONDS, "--warmup", 0.02)
                    pair[server] = result["windows"][0]
                kept.append(pair[holding]["rps"] / pair[without]["rps"])
                grown.append(pair[holding]["server_cpu_ns"] / pair[without]["server_cpu_ns"])
            without.check_alive()
            holding.check_alive()
            if lost() > 0:
                raise servers.Failed(f"it has ended {lost()} of the idle connections")
        return {"rps_kept": statistics.median(kept), "cpu_grown": statistics.median(grown)}

    def run_workload(self, workload, kinds):
        """Values by server and metric, one a round; and why, for each server that failed once and is left out."""
        if workload.turns:
            return self.run_side_by_side(workload, kinds), {}
        values, failed = {kind.name: {} for kind in kinds}, {}
        rounds = min(workload.rounds, 2) if self.args.quick else workload.rounds
        for turn in range(rounds):
            order = kinds[turn % len(kinds):] + kinds[:turn % len(kinds)]
            for kind in [kind for kind in order if kind.name in values]:
                try:
                    for metric, value in self.run_once(kind, workload).items():
                        values[kind.name].setdefault(metric, []).append(value)
                except (servers.Failed, subprocess.TimeoutExpired, OSError) as failure:
                    note(f"{workload.name}: {kind.name} is left out: {failure}")
                    failed[kind.name] = str(failure)
                    del values[kind.name]
        return values, failed

    def run_side_by_side(self, workload, kinds):
        values = {kind.name: {} for kind in kinds}
        with contextlib.ExitStack() as stack:
            running = [(kind, stack.enter_context(kind.start(self.root, self.cores[0], self.directory / kind.name, workload)))
                       for kind in kinds]
            for turn in range(workload.turns // 4 if self.args.quick else workload.turns):
                at = turn % len(running)
                for kind, server in running[at:] + running[:at]:
                    result = load(self.args.httpload, server, workload, self.cores, workload.turn_seconds,
                                  "--warmup", workload.turn_seconds / 4, *workload.options)
                    for metric, value in figures(result).items():
                        values[kind.name].setdefault(metric, []).append(value)
            for _, server in running:
                server.check_alive()
        return values


# --- report ------------------------------------------------------------------------------------------------------------


def spread(values):
    return [min(values), statistics.median(values), max(values)]


def best_peer(values, peers, metric):
    known = [name for name in peers if metric in values.get(name, {})]
    choose = max if metric in HIGHER_IS_BETTER else min
    return choose(known, key=lambda name: statistics.median(values[name][metric])) if known else None


def generator_was_the_limit(values, *names):
    """Of all of these: it had no time left, and the servers had. False where that was not measured."""
    return all("generator_busy" in values[name] and statistics.median(values[name]["generator_busy"]) > 0.95
               and statistics.median(values[name]["server_busy"]) < 0.9 for name in names)


def report_target(target, values, failed, peers, group="web"):
    """A line for each of our servers. One that failed, or whose responses failed, misses, however fast it was else."""
    for name in fnmatch.filter(failed, target.ours):
        print(json.dumps({"bench": f"{group}/{target.workload}", "metric": target.metric, "subject": name, "note": failed[name],
                          "verdict": "MISS"}), flush=True)
    ours = fnmatch.filter(values, target.ours)
    baseline = best_peer(values, peers, target.metric) if target.baseline == "best" else target.baseline
    for name in ours:
        line = {"bench": f"{group}/{target.workload}", "metric": target.metric, "subject": name,
                "value": spread(values[name][target.metric])}
        judged = line["value"][1]
        limit = "ratio" if target.baseline else "value"
        if target.baseline and baseline in values:
            line["baseline"] = baseline
            line["baseline_value"] = spread(values[baseline][target.metric])
            ratios = [a / b for a, b in zip(values[name][target.metric], values[baseline][target.metric])]
            line["ratio"] = spread(ratios)
            judged = line["ratio"][1]
        elif target.baseline:
            judged = None
        if target.at_most is not None:
            line[f"{limit}_at_most"] = target.at_most
        if target.at_least is not None:
            line[f"{limit}_at_least"] = target.at_least
        if target.metric == "rps" and baseline in values and generator_was_the_limit(values, name, baseline):
            line["note"] = "the generator was the limit"
        errors = sum(values[name]["errors"])
        if errors:
            line["note"] = f"{errors} responses failed"
        line["verdict"] = "NO BASELINE" if judged is None else "PASS" if target.met(judged) and not errors else "MISS"
        print(json.dumps(line), flush=True)


def print_row(table, server, metrics):
    print(json.dumps({"table": table, "server": server,
                      **{metric: spread(metrics[metric]) for metric in METRICS if metric in metrics}}), flush=True)


def report(workload, values, failed, peers):
    for name, metrics in values.items():
        print_row(f"web/{workload.name}", name, metrics)
    for target in TARGETS:
        if target.workload == workload.name:
            report_target(target, values, failed, peers)


def takes_part(kind, workload):
    if workload.ours_only and not kind.ours:
        return False
    if kind.can_hold(workload.held):
        return True
    note(f"{workload.name}: {kind.name} cannot have {workload.held} connections under this machine's limit of open files")
    return False


def main():
    args = options.parse(__doc__, "web", WORKLOADS, [("weft", "the command weft"), ("httpload", "the load generator"),
                                                     ("floor", "the floor server")], "two short rounds")
    enter_namespace()
    peers, missing = servers.peers()
    for name in missing:
        note(f"{name} is not installed")
    kinds = [servers.weft(args.weft, poller) for poller in ("epoll", "epoll-et", "uring")] if os.access(args.weft, os.X_OK) else []
    if not kinds:
        note(f"{args.weft} is not built")
    kinds += peers + [servers.floor(args.floor)]
    kinds = options.named(kinds, args)
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as directory:
        bench = Bench(args, directory)
        for workload in args.chosen:
            taking_part = [kind for kind in kinds if takes_part(kind, workload)]
            if taking_part:
                report(workload, *bench.run_workload(workload, taking_part), [kind.name for kind in peers])
        if bench.disturbed:
            note(f"{bench.disturbed} runs were disturbed by other work on this machine, and were kept")


if __name__ == "__main__":
    main()

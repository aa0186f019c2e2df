#!/usr/bin/env python3
"""Measures echo servers and prints JSON lines; tools/bench makes a table of them.

The same handler under our models, beside a bare epoll loop in C (level- and edge-triggered), libuv and Go: 64 bytes there and
back on 1, 64 and 1,000 connections, server on one core and generator on the other, in turns, as web.py does it. And many
connections: 1,000 busy ones are measured without, with and again without so many that are held and say nothing, each of which is
asked once at the end; what one of them costs is told apart into the server's memory and the kernel's.
"""

import pathlib
import resource
import tempfile

import options
import servers
import web

SIZE = 64
SPARE_FILES = 1000  # beside the connections
MODELS = ("epoll", "epoll-et", "uring", "coroutine")


class Workload(web.Workload):
    def __init__(self, name, connections, held=0, **how):
        super().__init__(name, 0, connections, idle=held, options=["--echo", SIZE], ours_only=False, **how)

    @property
    def file(self):
        return ""


WORKLOADS = [Workload("echo_1", 1, rounds=9), Workload("echo_64", 64, turns=80), Workload("echo_1000", 1000, turns=80, turn_seconds=0.2),
             Workload("held_100k", 1000, held=99000, seconds=2, rounds=3),
             Workload("held_1m", 1000, held=999000, seconds=2, rounds=1, retries=0)]
ONLY_IF_NAMED = {"held_1m"}  # takes 8 GB and some minutes
HELD_SERVERS = ("weft-epoll-et", "weft-uring", "bare-lt")

TARGETS = [web.Target(f"echo_{n}", metric, baseline, ours=ours, **target)
           for n in (1, 64, 1000)
           for metric, target in (("rps", {"at_least": 1}), ("server_cpu_ns", {"at_most": 1}))
           for ours in ("weft-*",)
           for baseline in ("bare", "libuv", "go")]
TARGETS += [web.Target("held_100k", "rss_per_idle", None, at_most=512), web.Target("held_100k", "rps_kept", None, at_least=0.8),
            web.Target("held_100k", "idle_lost", None, at_most=0), web.Target("held_1m", "rss_per_idle", None, at_most=512),
            web.Target("held_1m", "idle_lost", None, at_most=0)]


def weft(program, model):
    """With as many processes as the limit of open files makes necessary."""

    def argv(path, root, workload):
        processes = -(-workload.held // (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES))
        return [path, model, workload.held // processes + 10, processes if processes > 1 else 0]

    return servers.Kind(f"weft-{model}", program, argv, ours=True)


def kinds_of(args):
    bare = args.peers / "epoll_echo"
    kinds = [weft(args.echo, model) for model in MODELS]
    kinds += [servers.Kind(f"bare-{mode}", bare, lambda path, root, workload, mode=mode: [path, mode]) for mode in ("lt", "et")]
    for name, program in (("libuv", "libuv_echo"), ("go", "go_echo")):
        if (args.peers / program).exists():
            kinds.append(servers.Kind(name, args.peers / program, lambda path, root, workload: [path]))
        else:
            web.note(f"{program} is not built; its figures are left out")
    return options.named(kinds, args)


def allow_files(most):
    """Raise the limit of open files that the servers inherit, as far as it is permitted; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (most, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def report(workload, values, failed):
    """As web.report, where "bare" is the better of the two bare loops by this metric."""
    print_table(workload, values)
    for target in TARGETS:
        if target.workload != workload.name:
            continue
        baseline = web.best_peer(values, ["bare-lt", "bare-et"], target.metric) if target.baseline == "bare" else target.baseline
        if target.baseline and baseline is None:
            continue
        web.report_target(web.Target(workload.name, target.metric, baseline, target.at_most, target.at_least, target.ours),
                          values, failed, [], "echo")


def print_table(workload, values):
    for name, metrics in values.items():
        web.print_row(f"echo/{workload.name}", name, metrics)


def main():
    args = options.parse(__doc__, "echo", WORKLOADS, [
        ("echo", "our echo server", {"type": pathlib.Path}),
        ("peers", "where epoll_echo, libuv_echo and go_echo are", {"type": pathlib.Path}),
        ("httpload", "the load generator")], "two short rounds", only_if_named=ONLY_IF_NAMED)
    files = allow_files(max(workload.held for workload in args.chosen) + SPARE_FILES)
    web.enter_namespace()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as directory:
        bench = web.Bench(args, directory)
        for workload in args.chosen:
            kinds = kinds_of(args)
            if workload.name.startswith("held"):
                kinds = [kind for kind in kinds if kind.name in HELD_SERVERS and (kind.ours or workload.held + 200 <= files)]
            report(workload, *bench.run_workload(workload, kinds))
        if bench.disturbed:
            web.note(f"{bench.disturbed} runs were disturbed by other work on this machine, and were kept")


if __name__ == "__main__":
    main()

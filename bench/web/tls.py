#!/usr/bin/env python3
"""Measures `weft web` over TLS beside nginx and h2o and prints JSON lines; tools/bench makes a table of them.

One certificate, its key on P-256, for all; the cipher is checked to be the same. The generator is `weft load` with one thread on
another core, so a figure of requests a second may be the generator's limit; what a request costs the server is not: the processor
time of all its processes, over the whole run, by the number of answers. They take turns, each started anew; a figure is the median
of the ratios of neighbours. And what TLS costs who does not use it: the same program built without, over plain HTTP.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import time

import options
import servers
import web

NGINX_TLS = servers.NGINX.replace("listen 127.0.0.1:{port} backlog", "listen 127.0.0.1:{port} ssl backlog").replace(
    "root {root};", "root {root}; ssl_protocols TLSv1.2 TLSv1.3;\n"
    "        ssl_certificate {root}/../cert.pem; ssl_certificate_key {root}/../key.pem;")
H2O_TLS = servers.H2O.replace("  port: {port}\n", "  port: {port}\n  ssl:\n    certificate-file: {root}/../cert.pem\n"
                              "    key-file: {root}/../key.pem\n    neverbleed: OFF\n")


class Workload:
    large, weft_options = False, []

    def __init__(self, name, size, *options, connections=64, tls=True, seconds=2, rounds=7):
        self.name, self.size, self.options, self.connections, self.tls = name, size, options, connections, tls
        self.seconds, self.rounds = seconds, rounds
        self.file = f"file{size}.txt"


WORKLOADS = [Workload("small_64", 1024), Workload("file_16k", 16384), Workload("fresh_64", 13, "--no-keep-alive"),
             Workload("resumed_64", 13, "--no-keep-alive", "--tls-resume"), Workload("plain_64", 13, tls=False, seconds=1, rounds=15)]
TARGETS = [web.Target("small_64", "server_cpu_ns", "nginx", at_most=1), web.Target("small_64", "rps", "nginx", at_least=1),
           web.Target("file_16k", "server_cpu_ns", "nginx", at_most=1), web.Target("file_16k", "rps", "nginx", at_least=1),
           web.Target("fresh_64", "server_cpu_ns", "nginx", at_most=1), web.Target("resumed_64", "server_cpu_ns", "nginx", at_most=1),
           web.Target("plain_64", "server_cpu_ns", "without-tls", at_most=1.02)]


def make_certificate(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", directory / "key.pem", "-out", directory / "cert.pem", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    os.chmod(directory / "key.pem", 0o600)


def secure(kind):
    def argv(path, root, workload):
        certificate = ["--tls-cert", root.parent / "cert.pem", "--tls-key", root.parent / "key.pem"]
        return kind.argv(path, root, workload) + (certificate if workload.tls else [])

    return servers.Kind(kind.name, kind.program, argv, ours=True)


def cpu_of(pids):
    """Processor time, in ns, of processes with all their threads: their own clocks."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def run_once(args, kind, workload, root, directory, seconds):
    with kind.start(root, args.cores[0], directory / kind.name, workload) as server:
        url = server.url.replace("http://", "https://") if workload.tls else server.url
        argv = [args.weft, "load", url + workload.file, "--threads", 1, "--connections", workload.connections,
                "--duration", seconds, "--json", *workload.options] + (["--insecure"] if workload.tls else [])
        before = cpu_of(server.pids)
        run = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=100,
                             preexec_fn=servers.run_on(args.cores[-1]))
        used = cpu_of(server.pids) - before
        server.check_alive()
    if run.returncode not in (0, 1):
        raise servers.Failed(run.stderr.strip() or f"weft load ended with {run.returncode}")
    report = json.loads(run.stdout)
    return report, {"server_cpu_ns": used / max(report["answers"], 1), "rps": report["rate"], "errors": sum(report["errors"].values())}


def run_workload(args, workload, kinds, root, directory):
    values, failed, ciphers = {kind.name: {} for kind in kinds}, {}, {}
    for turn in range(1 if args.quick else workload.rounds):
        for kind in kinds[turn % len(kinds):] + kinds[:turn % len(kinds)]:
            if kind.name in failed:
                continue
            try:
                report, metrics = run_once(args, kind, workload, root, directory, 0.5 if args.quick else workload.seconds)
            except (servers.Failed, subprocess.TimeoutExpired, OSError) as failure:
                web.note(f"{workload.name}: {kind.name} is left out: {failure}")
                failed[kind.name] = str(failure)
                del values[kind.name]
                continue
            for metric, value in metrics.items():
                values[kind.name].setdefault(metric, []).append(value)
            if workload.tls:
                ciphers[kind.name] = report["tls"]
            if "--tls-resume" in workload.options and report["resumed"] < report["handshakes"] - 2 * workload.connections:
                web.note(f"{workload.name}: {kind.name} resumed {report['resumed']} of {report['handshakes']} sessions")
    if len(set(ciphers.values())) > 1:
        web.note(f"{workload.name}: not all spoke the same: {ciphers}")
    return values, failed


def kinds_of(args, workload):
    kinds = [servers.weft(args.weft, poller) for poller in ("epoll", "uring")]
    if not workload.tls:
        without = servers.weft(args.without, "epoll") if args.without else None
        return [secure(kinds[0])] + ([servers.Kind("without-tls", args.without, without.argv)] if without else [])
    kinds = [secure(kind) for kind in kinds]
    for name, words, template, user in (("nginx", ["-p", "{dir}", "-c", "{conf}"], NGINX_TLS, "user root;"),
                                        ("h2o", ["-c", "{conf}"], H2O_TLS, "user: root")):
        if servers.find(name):
            kinds.append(servers.Kind(name, servers.find(name), words, template, user=user))
    return options.named(kinds, args)


def main():
    args = options.parse(__doc__, "tls", WORKLOADS, [("weft", "the command weft"),
                                                     ("without", "the same, built without TLS", {"required": False})],
                         "one short round")
    if not servers.find("openssl"):
        web.note("openssl is not installed; the figures of TLS are left out")
        return
    web.enter_namespace()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as directory:
        directory = pathlib.Path(directory)
        os.chmod(directory, 0o755)
        root = directory / "root"
        root.mkdir()
        make_certificate(directory)
        for workload in args.chosen:
            (root / workload.file).write_bytes((b"All that waits, waits in one place.\n" * (workload.size // 36 + 1))[:workload.size])
            values, failed = run_workload(args, workload, kinds_of(args, workload), root, directory)
            for name, metrics in values.items():
                web.print_row(f"tls/{workload.name}", name, metrics)
            for target in TARGETS:
                if target.workload == workload.name:
                    web.report_target(target, values, failed, [], "tls")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What `weft web` does beside files: virtual hosts, a limit of requests, a reload, the status page and its numbers."""

import json
import os
import re
import select
import signal
import socket
import struct
import threading
import time

from web import Client, Failure, PATIENCE, Server, Tree, check, get, run


def ask(server, host, path="/", method="GET"):
    with Client(server) as c:
        c.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        return c.answer(method)


def until(true, what, limit=20):
    end = time.monotonic() + limit * PATIENCE
    while not true():
        check(time.monotonic() < end, what)
        time.sleep(0.02)


# ---- virtual hosts ----

def hosts():
    with Tree() as t:
        for host in ("a.example", "b.example", "default", "[2001:db8::1]"):
            t.write(f"{host}/index.html", f"this is {host}")
            t.write(f"{host}/dir/file", host)
        t.write("a.example/404.html", "a's own")
        t.write("secret", "x")
        with Server(t.path, "--hosts", "--listing") as s:
            for host, expected in (("a.example", "a.example"), ("A.Example:80", "a.example"), ("b.example", "b.example"),
                                   ("c.example", "default"), ("127.0.0.1", "default"), ("[::1]:99", "default"),
                                   ("secret", "default"), ("default", "default"),
                                   # A dot at the end is the same name, one; so is an address, however it is written.
                                   ("b.example.", "b.example"), ("B.Example.:8080", "b.example"), ("b.example:", "b.example"),
                                   ("b.example..", "default"), (".", "default"), (".:80", "default"), ("..", "default"),
                                   ("[2001:db8::1]", "[2001:db8::1]"), ("[2001:DB8:0::0:1]:8080", "[2001:db8::1]"),
                                   ("[2001:db8::1]:", "[2001:db8::1]"), ("[2001:db8::2]", "default")):
                a = ask(s, host)
                check(a.body == f"this is {expected}".encode(), f"{host}: {a.status} {a.body!r}")
            check(ask(s, "a.example", "/nothing").body == b"a's own", "a host's own page for 404")
            check(ask(s, "b.example", "/nothing").body != b"a's own", "but not another's")
            a = ask(s, "b.example", "/dir")
            check((a.status, a["Location"]) == (301, "/dir/"), f"a redirect names no host's directory: {a['Location']}")
            a = ask(s, "b.example", "/dir/")
            check(b"<h1>/dir/</h1>" in a.body and b"b.example" not in a.body, "nor does a listing")
            check(ask(s, "a.example", "/../b.example/index.html").status == 400, "no way up")
            check(ask(s, "a.example", "/%2e%2e/b.example/index.html").status == 400, "no way up, escaped")
            with Client(s) as c:
                c.send("GET http://b.example/dir/file HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
                check(c.answer().body == b"b.example", "the target's host counts")


def hosts_out_of_reach():
    """A directory that no request reaches is named at the start, beside the one that takes its place."""
    with Tree() as t:
        for host in ("example.com", "Example.com", "Alone.example", "b.example", "b.example.", "c.example:80", "default",
                     "d.example"):
            t.write(f"{host}/index.html", f"this is {host}")
        os.symlink("d.example", os.path.join(t.path, "D.Example"))  # the same one
        t.write("README", "no directory")
        t.write("No Host/index.html", "nor a host")
        says = [f"weft web: warning: --hosts serves '{there}', and never '{name}'"
                for there, name in (("example.com", "Example.com"), ("b.example", "b.example."))]
        says += [f"weft web: warning: --hosts never serves '{name}'; that host's directory would be '{wanted}'"
                 for name, wanted in (("Alone.example", "alone.example"), ("c.example:80", "c.example"))]
        with Server(t.path, "--hosts", says=says) as s:
            check(ask(s, "Example.com").body == b"this is example.com", "the one in lower case")
            check(ask(s, "Alone.example").body == b"this is default", "as if there was none")
        with Server(t.path):
            pass  # they are no hosts


# ---- the limit ----

def rate():
    with Tree() as t:
        t.write("index.html", "x")
        with Server(t.path, "--rate-limit", "2") as s:
            with Client(s) as c:
                answers = []
                for _ in range(100):  # on a slow machine some more are let through, but never so many
                    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                    answers.append(c.answer())
                refused = [a for a in answers if a.status == 429]
                check(all(a.status == 200 for a in answers[:2]), "the first two are answered")
                check(refused and all(int(a["Retry-After"]) >= 1 for a in refused), "then it is 429 with Retry-After")
                check(all(a["Connection"] is None for a in answers), "the connection goes on")


def per_address():
    """One address has so many connections and no more, whatever process has them; it gets 503, and that is counted."""
    request = "GET / HTTP/1.1\r\nHost: t\r\n\r\n"
    with Tree() as t:
        t.write("index.html", "x")
        for arguments in ((), ("--processes", "3"), ("--model", "process"), ("--model", "prefork", "--processes", "5")):
            with Server(t.path, "--max-per-address", "2", "--status", "/status", *arguments) as s:
                def come(source):
                    c = Client(s, source=source)
                    c.send(request)
                    return c, c.answer()

                def refused():
                    return json.loads(get(s, "/status.json").body)["connections_refused_address_total"]

                def served_again():
                    c, answer = come("127.0.0.2")
                    if answer.status == 200:
                        clients.append(c)
                    else:
                        c.socket.close()
                    return answer.status == 200

                clients = [come("127.0.0.2") for _ in range(2)]
                check(all(a.status == 200 for _, a in clients), f"{arguments}: two are served")
                clients = [c for c, _ in clients]
                for _ in range(3):
                    c, answer = come("127.0.0.2")
                    check((answer.status, answer["Connection"]) == (503, "close"), f"{arguments}: {answer.status}")
                    check(c.at_end(), f"{arguments}: and closed")
                    c.socket.close()
                others = [come(f"127.0.0.{n}") for n in (3, 4)]  # one in 65,536 shares the limit of the first
                statuses = sorted(a.status for _, a in others)
                met = statuses.count(503)
                check(statuses in ([200, 200], [200, 503]), f"{arguments}: another address is served: {statuses}")
                clients += [c for c, _ in others]
                check(refused() == 3 + met, f"{arguments}: it is counted")
                text = get(s, "/metrics").body.decode()
                check(f"\nweft_connections_refused_address_total {3 + met}\n" in text, f"{arguments}: {text}")
                clients.pop(0).socket.close()
                until(served_again, f"{arguments}: a place that is left is taken")
                for c in clients:
                    c.socket.close()


def rate_of_the_reset():
    """Who resets his connections is no stranger: the limit counts them, and the log has his address."""
    with Tree() as t:
        t.write("index.html", "x")
        log = t.path + ".log"
        try:
            with Server(t.path, "--rate-limit", "2", "--model", "thread", "--log", log) as s:
                for _ in range(50):
                    with Client(s) as c:
                        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n" * 10)
                until(lambda: os.path.getsize(log) > 0, "somebody is logged")
            with open(log, encoding="ascii") as file:
                lines = file.read().splitlines()
            strange = [line for line in lines if not line.startswith("127.0.0.1 ")]
            check(not strange, f"all have an address: {strange[:2]}")
            check(any('" 429 ' in line for line in lines), f"and are counted: {lines[-2:]}")
        finally:
            os.unlink(log)


def log_of_a_cut_head():
    """A head that does not come to its end has in the log what was read of it, and nothing of others (S001-130)."""
    with Tree() as t:
        log = t.path + ".log"
        for arguments in (["--model", "thread"], ["--model", "epoll"], ["--model", "uring"]):
            try:
                with Server(t.path, "--head-timeout", "1", "--log", log, *arguments) as s:
                    with Client(s) as slow:
                        slow.send("GET /of-the-slow-one HTTP/1.1\r\nHost: t\r\n")
                        while not select.select([slow.socket], [], [], 0.05)[0]:
                            get(s, "/of-another-one")
                        check(slow.answer().status == 408, f"{arguments}: it is told that it was too slow")
                with open(log, "rb") as file:
                    lines = [line for line in file if b'" 408 ' in line]
                check(len(lines) == 1 and b'] "GET /of-the-slow-one HTTP/1.1" 408 ' in lines[0], f"{arguments}: {lines}")
            finally:
                os.unlink(log)


# ---- reload ----

def reload():
    with Tree() as t:
        t.write("one/index.html", "one")
        t.write("two/index.html", "two")
        link = os.path.join(t.path, "now")
        os.symlink("one", link)
        with Server(link) as s:
            stop, problems, asked = threading.Event(), [], [0]

            def load():
                try:
                    with Client(s) as c:
                        while not stop.is_set():
                            c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                            a = c.answer()
                            check(a is not None and a.status == 200 and a.body in (b"one", b"two"), f"{a and a.status}")
                            asked[0] += 1
                except (Failure, OSError) as e:
                    problems.append(str(e))

            threads = [threading.Thread(target=load) for _ in range(4)]
            for thread in threads:
                thread.start()
            until(lambda: asked[0] > 100 or problems, "the load begins")
            for name in ("two", "one", "two"):
                os.symlink(name, link + ".new")
                os.rename(link + ".new", link)
                s.process.send_signal(signal.SIGHUP)
                until(lambda: get(s, "/").body == name.encode() or problems, f"SIGHUP: {name} is served")
            stop.set()
            for thread in threads:
                thread.join()
            check(not problems, f"a request was dropped: {problems}")


# ---- the status page ----

def status():
    with Tree() as t:
        t.write("index.html", "x")
        with Server(t.path, "--status", "/status") as s:
            for _ in range(5):
                get(s, "/")
            for _ in range(3):
                get(s, "/none")

            def numbers():
                return json.loads(get(s, "/status.json").body)

            until(lambda: numbers()["request_errors_total"] == 3, "the errors are counted")
            d = numbers()
            check(d["requests_total"] >= 8 and d["status"][1] >= 5 and d["status"][3] == 3, f"{d}")
            check(sum(d["latency"]) >= 8 and d["connections"] >= 1 and d["pid"] == s.process.pid, f"{d}")
            check(any(x["name"] == "MainThread" for x in d["thread_list"]), "the threads are listed")
            check(d["sleepers"] and all(x["kind"] in ("thread", "coroutine") for x in d["sleepers"]), "who waits for what")
            page = get(s, "/status")
            check(page.status == 200 and page["Content-Type"].startswith("text/html"), "the page")
            check(page["Cache-Control"] == "no-store" and b"http" not in page.body.replace(b"'http://'+", b""),
                  "it asks nothing of another host")
            metrics = get(s, "/metrics")
            check(metrics["Content-Type"].startswith("text/plain; version=0.0.4"), "the metrics' type")
            prometheus(metrics.body.decode())
        with Server(t.path) as s:
            check(get(s, "/status").status == 404 and get(s, "/metrics").status == 404, "off by default")


def processes():
    """Whichever process answers, it tells the counts of all, and of which process the rest is."""
    with Tree() as t:
        t.write("index.html", "x")
        with Server(t.path, "--status", "/status", "--processes", "3") as s:
            clients, pids = [], set()
            try:
                while len(pids) < 2 and len(clients) < 200:
                    clients.append(Client(s))
                    clients[-1].send("GET /status.json HTTP/1.1\r\nHost: t\r\n\r\n")
                    pids.add(json.loads(clients[-1].answer().body)["pid"])
                check(len(pids) == 2 and s.process.pid not in pids, f"several processes answer: {pids}")
                for c in clients:
                    c.send("GET /none HTTP/1.1\r\nHost: t\r\n\r\n")
                    check(c.answer().status == 404, "no such file")
                for c in (clients[0], clients[-1]):
                    def numbers():
                        c.send("GET /status.json HTTP/1.1\r\nHost: t\r\n\r\n")
                        return json.loads(c.answer().body)

                    until(lambda: numbers()["request_errors_total"] == len(clients), "the errors of all are counted")
                    d = numbers()
                    check(d["requests_total"] >= 2 * len(clients) and d["status"][3] == len(clients), f"{d}")
                    check(d["connections"] == len(clients), f"{d}")
                    c.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n")
                    text = c.answer().body.decode()
                    prometheus(text)
                    check(f'\nweft_request_errors_total {len(clients)}\n' in text, f"a count is of all: {text}")
                    for name in ("weft_threads{", 'weft_sleepers{kind="coroutine",'):
                        check(f'\n{name}pid="{d["pid"]}"}} ' in text, f"{name} is of one: {text}")
            finally:
                for c in clients:
                    c.socket.close()


def prometheus(text):
    """The exposition format, strictly: each sample behind its HELP and TYPE, buckets that only grow."""
    known, last = None, 0
    for line in text.splitlines():
        if line.startswith("# HELP "):
            known = line.split()[2]
        elif line.startswith("# TYPE "):
            check(line.split()[2] == known, f"TYPE of another: {line}")
        else:
            found = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? ([0-9.e+]+)', line)
            check(found and found[1].startswith(known), f"a sample: {line!r} behind {known}")
            if found[1].endswith("_bucket"):
                check(float(found[3]) >= last, f"a bucket that shrinks: {line}")
                last = float(found[3])
    check(last > 0 and f"weft_request_seconds_count {int(last)}" in text, "the count is that of the last bucket")


if __name__ == "__main__":
    run([(f.__name__, f) for f in (hosts, hosts_out_of_reach, rate, per_address, rate_of_the_reset, log_of_a_cut_head,
                                   reload, status, processes)])

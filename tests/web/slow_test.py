#!/usr/bin/env python3
"""900 slow clients against a server of 512 connections: with slow heads, slow bodies, slow reading, and doing nothing at all.
Meanwhile others are served, 99 of 100 within two seconds also on a busy machine; kept out, they would wait for ten."""

import os
import resource
import selectors
import socket
import sys
import threading
import time

from web import Client, Failure, PATIENCE, Server, Tree, check, run

SLOW = 900
SECONDS = 6


class SlowClients:
    """SLOW connections that are opened again whenever the server ends one; each sends or reads a little now and then."""

    def __init__(self, server, first, again, read):
        self.server, self.first, self.again, self.read = server, first, again, read
        self.selector = selectors.DefaultSelector()
        self.stopping = False
        self.opened = 0
        self.thread = threading.Thread(target=self.work)

    def __enter__(self):
        for _ in range(SLOW):
            self.open()
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stopping = True
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()

    def open(self):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.setblocking(False)
        s.connect_ex((self.server.host, self.server.port))
        self.selector.register(s, selectors.EVENT_READ, [False])
        self.opened += 1

    def end(self, s):
        self.selector.unregister(s)
        s.close()

    def work(self):
        """One step for each connection a second, spread over the second; those that ended come back, at most 300 a second."""
        step = 0
        while not self.stopping:
            keys = list(self.selector.get_map().values())
            for key in keys[step % 10::10]:
                s, sent = key.fileobj, key.data
                try:
                    if not sent[0]:
                        s.send(self.first)
                        sent[0] = True
                    elif self.again:
                        s.send(self.again)
                except BlockingIOError:
                    pass
                except OSError:
                    self.end(s)
                    continue
                try:
                    if self.read and s.recv(self.read) == b"":
                        self.end(s)
                except BlockingIOError:
                    pass
                except OSError:
                    self.end(s)
            for _ in range(min(30, SLOW - len(self.selector.get_map()))):
                self.open()
            step += 1
            time.sleep(0.1)


def others(server, latencies, errors, end):
    """A client that comes anew for each request, as a visitor does."""
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            with Client(server) as c:
                c.send("GET /small.txt HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                a = c.answer()
                if a is None or a.status != 200:
                    errors.append(f"{a and a.status}")
        except (Failure, OSError) as e:
            errors.append(str(e))
        latencies.append(time.monotonic() - start)
        time.sleep(0.002)


def attack(first, again="", read=0, *arguments):
    with Tree() as tree:
        tree.write("small.txt", "x" * 1000)
        tree.write("large.bin", b"x" * 20000000)
        with Server(tree.path, "--max-connections", "512", *arguments) as server:
            with SlowClients(server, first.encode(), again.encode(), read) as slow:
                time.sleep(1.5)
                latencies, errors = [], []
                end = time.monotonic() + SECONDS
                threads = [threading.Thread(target=others, args=(server, latencies, errors, end)) for _ in range(3)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                opened = slow.opened
            latencies.sort()
            p99 = latencies[len(latencies) * 99 // 100] * 1000
            print(f"  {len(latencies)} requests, p99 {p99:.1f} ms, {len(errors)} not answered, {opened} slow connections",
                  flush=True)
            check(len(latencies) > 30, f"only {len(latencies)} requests")
            check(p99 < 2000 * PATIENCE, f"99th percentile {p99:.1f} ms")
            check(len(errors) * 100 <= len(latencies), f"{len(errors)} of {len(latencies)} not answered, such as {errors[:3]}")


HEAD = "GET /large.bin HTTP/1.1\r\nHost: t\r\n"


def slow_heads():
    attack(HEAD, "X: y\r\n")


def slow_heads_threads():
    attack(HEAD, "X: y\r\n", 0, "--model", "thread")


def slow_heads_uring():
    attack(HEAD, "X: y\r\n", 0, "--poller", "uring")


def slow_bodies():
    attack("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n", "x")


def slow_readers():
    attack(HEAD + "\r\n", "", 64)


def slow_readers_uring():
    attack(HEAD + "\r\n", "", 64, "--poller", "uring")


def silent():
    attack("", "")


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        print("SKIP: fewer than 2048 descriptors")
        sys.exit(77)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    only = sys.argv[1:]
    run([(f.__name__.replace("_", " "), f) for f in (slow_heads, slow_heads_threads, slow_heads_uring, slow_bodies,
                                                     slow_readers, slow_readers_uring, silent)
         if not only or f.__name__ in only])

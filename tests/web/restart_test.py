#!/usr/bin/env python3
"""`weft web` replaced while it serves (SIGUSR2), reloaded (SIGHUP), and looked after by a service manager: no request is lost,
no connection refused, no process left; a successor that fails costs nothing; after a rotation is acknowledged no line goes into
the old log, and each request has its line."""

import ctypes
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from web import Certificate, Client, Failure, PATIENCE, SecureSocket, Server, Tree, WEFT, check, get, has_tls, run

MODELS = (["--model", "coroutine"], ["--model", "thread"], ["--model", "process"], ["--model", "prefork", "--processes", "12"],
          ["--model", "pool", "--threads", "12"], ["--model", "iterative"], ["--model", "prefork", "--processes", "2"], ["--model", "epoll"], ["--model", "uring"], ["--processes", "2"])
RESTARTS = 20  # of the first model; the others get a share

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Whoever is left without a parent becomes our child: so nobody can be left unseen."""
    check(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, "prctl")


def wait_until(condition, text, seconds=20):
    end = time.monotonic() + seconds * PATIENCE
    while not condition():
        check(time.monotonic() < end, text() if callable(text) else text)
        time.sleep(0.005)


def wait_for_nobody():
    """All that was started has ended, and has been waited for."""
    def nobody():
        try:
            while os.waitpid(-1, os.WNOHANG)[0] > 0:
                pass
            return False
        except ChildProcessError:
            return True
    wait_until(nobody, lambda: f"left behind: {subprocess.run(['ps', '-ef'], capture_output=True, text=True).stdout}", 40)


class Site:
    """`weft web` over a small tree with a file of its number; stopped by that number, as it may be another process by then."""

    def __init__(self, *arguments, weft=None, tls=None, **popen):
        if tls is not None:
            arguments = (*arguments, "--tls-cert", tls.certificate, "--tls-key", tls.key)
        self.arguments, self.weft, self.tls, self.popen = arguments, weft or WEFT, tls, popen

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="weft-web-")
        os.mkdir(self.path("site"))
        with open(self.path("site/a.txt"), "w") as f:
            f.write("a")
        self.pid_file = self.path("pid")
        self.errors = open(self.path("errors"), "w+")
        self.process = subprocess.Popen(
            [self.weft, "web", self.path("site"), "--port", "0", "--pid-file", self.pid_file, *self.arguments],
            stdout=subprocess.PIPE, stderr=self.errors, **self.popen)
        self.first = self.process.pid
        ready, _, _ = select.select([self.process.stdout], [], [], 20 * PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.fullmatch(r"https?://(.*):(\d+)/\n", line)
        check(found, f"no URL but {line!r}; {self.said()}")
        self.host, self.port = found[1], int(found[2])
        return self

    def __exit__(self, *exc):
        try:
            pid = self.pid()
            if pid != 0:
                os.kill(pid, signal.SIGTERM)
            if exc[0] is None:
                self.wait_end()
                check(not os.path.exists(self.pid_file), "the file with the number is left")
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
            self.errors.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def said(self):
        with open(self.path("errors")) as f:  # of its own: an offset that was shared would move where they write
            return f.read()

    def pid(self):
        try:
            with open(self.pid_file) as f:
                return int(f.read())
        except FileNotFoundError:
            return 0

    def connect(self, timeout=10):
        s = socket.create_connection((self.host, self.port), timeout=timeout * PATIENCE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return SecureSocket(s, self.tls.context(), "localhost") if self.tls is not None else s

    def restart(self):
        """The number of the new process, once it serves."""
        old = self.pid()
        os.kill(old, signal.SIGUSR2)
        wait_until(lambda: self.pid() != old, lambda: f"no successor; {self.said()}")
        return self.pid()

    def wait_end(self):
        self.process.poll()
        wait_for_nobody()
        self.process.returncode = self.process.returncode or 0


class Load:
    """Threads that keep a connection for as long as they are let, and threads that open one for each request."""

    def __init__(self, site, kept=3, fresh=2, path=lambda n: "/a.txt"):
        self.site, self.path = site, path
        self.failures, self.done, self.stopping = [], 0, False
        self.lock = threading.Lock()
        self.numbers = 0
        self.threads = [threading.Thread(target=self.guard, args=(f,)) for f in [self.keep] * kept + [self.come] * fresh]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.stopping = True
        for t in self.threads:
            t.join()
        if exc[0] is None:
            check(not self.failures, f"{len(self.failures)} failed of {self.done}: {self.failures[:3]}; {self.site.said()}")

    def guard(self, work):
        try:
            while not self.stopping:
                work()
        except (Failure, OSError) as e:
            self.failures.append(f"{work.__name__}: {type(e).__name__}: {e}")

    def ask(self, c, last):
        with self.lock:
            self.numbers += 1
            n = self.numbers
        c.send(f"GET {self.path(n)} HTTP/1.1\r\nHost: t\r\n{'Connection: close' if last else 'X: y'}\r\n\r\n")
        answer = c.answer()
        check(answer is not None, "closed without an answer")
        check(answer.status in (200, 404), f"status {answer.status}")
        with self.lock:
            self.done += 1
        return answer["Connection"] == "close"

    def keep(self):
        with Client(self.site) as c:
            while not self.ask(c, self.stopping):
                pass

    def come(self):
        with Client(self.site) as c:
            self.ask(c, True)

    def more(self, n):
        """Wait until n more requests are answered."""
        wanted = self.done + n
        wait_until(lambda: self.done >= wanted or self.failures, lambda: f"the load stands still; {self.site.said()}")
        check(not self.failures, f"{self.failures[:3]}; {self.site.said()}")


def restarts_lose_nothing():
    for i, arguments in enumerate(MODELS):
        with Site(*arguments) as site:
            seen = {site.pid()}
            with Load(site) as load:
                for _ in range(RESTARTS if i == 0 else RESTARTS // 5):
                    load.more(20)
                    seen.add(site.restart())
                load.more(20)
            check(len(seen) == 1 + (RESTARTS if i == 0 else RESTARTS // 5), f"{arguments}: {seen}")
            check(site.said() == "", f"{arguments}: it said {site.said()}")


def restarts_lose_nothing_over_tls():
    if not has_tls():
        return
    with Tree() as keys:
        tls = Certificate(keys.path)
        for arguments in (["--model", "coroutine"], ["--model", "thread"], ["--model", "prefork", "--processes", "12"]):
            with Site(*arguments, tls=tls) as site:
                with Load(site) as load:
                    for _ in range(3):
                        load.more(20)
                        site.restart()
                    load.more(20)
                check(site.said() == "", f"{arguments}: it said {site.said()}")


def a_large_answer_is_finished_by_the_old():
    with Site("--model", "coroutine") as site:
        data = os.urandom(1 << 20) * 24
        with open(site.path("site/large.bin"), "wb") as f:
            f.write(data)
        with Client(site, 20) as c:
            c.send("GET /large.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            while len(c.buffer) < 100000:
                check(c.fill(), "closed")
            site.restart()
            with Client(site) as other:
                other.send("GET /a.txt HTTP/1.1\r\nHost: t\r\n\r\n")
                check(other.answer().body == b"a", "the successor does not serve")
            check(c.answer().body == data, "the answer under way was cut")


def an_idle_connection_is_answered_by_the_old():
    for arguments in MODELS:
        with Site(*arguments) as site:
            with Client(site) as c:
                c.send("GET /a.txt HTTP/1.1\r\nHost: t\r\n\r\n")
                check(c.answer().body == b"a", "not served")
                old = site.pid()
                site.restart()
                c.send("GET /a.txt HTTP/1.1\r\nHost: t\r\n\r\n")
                answer = c.answer()
                check(answer is not None and answer.body == b"a", f"{arguments}: its request was lost")
                wait_until(lambda: answer["Connection"] == "close" or c.at_end(), f"{arguments}: it is kept")
            wait_until(lambda: site.process.poll() is not None, f"{arguments}: {old} does not end")
            check(site.process.returncode == 0, f"{arguments}: exit status {site.process.returncode}")


def a_successor_that_cannot_start_changes_nothing():
    """A broken program, one that is missing, a directory that is gone, a port of another: the old goes on and says so."""
    with tempfile.TemporaryDirectory() as programs:
        weft = os.path.join(programs, "weft")
        shutil.copy(WEFT, weft)
        for arguments in (["--model", "coroutine"], ["--processes", "2"]):
            with Site(*arguments, weft=weft) as site:
                old = site.pid()

                def fails(text):
                    before = site.said()
                    os.kill(old, signal.SIGUSR2)
                    wait_until(lambda: text in site.said()[len(before):], lambda: f"no '{text}' in {site.said()!r}")
                    check("going on" in site.said()[len(before):], site.said())
                    check(site.pid() == old, "the number has changed")
                    check(get(site, "/a.txt").body == b"a", "the old one does not serve")

                os.rename(weft, weft + ".good")
                fails("No such file")
                for content, text in ((b"#!/bin/sh\nexit 7\n", "status 7"), (b"#!/bin/sh\nkill -SEGV $$\n", "signal 11"),
                                      (b"\x7fELF broken", "no successor could be started")):
                    with open(weft, "wb") as f:
                        f.write(content)
                    os.chmod(weft, 0o755)
                    fails(text)
                os.rename(weft + ".good", weft)
                os.rename(site.path("site"), site.path("elsewhere"))
                before = site.said()
                os.kill(old, signal.SIGUSR2)
                wait_until(lambda: "status 2" in site.said()[len(before):], lambda: site.said())
                os.rename(site.path("elsewhere"), site.path("site"))
                check(get(site, "/a.txt").body == b"a", "the old one does not serve")
                check(site.restart() != old, "no successor")
                check(get(site, "/a.txt").body == b"a", "the successor does not serve")


def a_successor_without_a_place_for_its_number_takes_nobody():
    """What can fail is tried before it accepts: no client is lost with it."""
    for arguments in (["--model", "coroutine"], ["--model", "uring"], ["--model", "process"]):
        with Site(*arguments) as site:
            old = site.pid()
            os.rename(site.pid_file, site.path("away"))
            os.mkdir(site.pid_file)
            try:
                with Load(site) as load:
                    for i in range(RESTARTS):
                        load.more(20)
                        os.kill(old, signal.SIGUSR2)
                        wait_until(lambda: site.said().count("status 2") == i + 1, lambda: site.said())
                    load.more(20)
            finally:
                os.rmdir(site.pid_file)
                os.rename(site.path("away"), site.pid_file)


def the_end_during_a_restart_is_the_end():
    """Told to stop while a successor starts that never will serve: both end."""
    with tempfile.TemporaryDirectory() as programs:
        weft = os.path.join(programs, "weft")
        shutil.copy(WEFT, weft)
        with Site(weft=weft) as site:
            os.rename(weft, weft + ".good")
            with open(weft, "w") as f:
                f.write(f"#!/bin/sh\necho $$ >{site.path('started')}\nexec sleep 1000\n")
            os.chmod(weft, 0o755)
            os.kill(site.pid(), signal.SIGUSR2)
            wait_until(lambda: os.path.exists(site.path("started")), "not started")
            os.kill(site.pid(), signal.SIGUSR2)  # one at a time
            check(get(site, "/a.txt").body == b"a", "the old one does not serve meanwhile")


def the_end_before_a_successor_serves_is_its_end():
    """The same, with one that comes to serve while the old one still finishes what is under way."""
    with tempfile.TemporaryDirectory() as programs:
        weft = os.path.join(programs, "weft")
        shutil.copy(WEFT, weft)
        with Site("--grace", "60", weft=weft) as site:
            data = os.urandom(1 << 20) * 24
            with open(site.path("site/large.bin"), "wb") as f:
                f.write(data)
            os.rename(weft, weft + ".good")
            with open(weft, "w") as f:
                f.write(f"#!/bin/sh\necho $$ >{site.path('started')}\nread x <{site.path('go')}\nexec {weft}.good \"$@\"\n")
            os.chmod(weft, 0o755)
            os.mkfifo(site.path("go"))
            with Client(site, 20) as c:
                c.send("GET /large.bin HTTP/1.1\r\nHost: t\r\n\r\n")
                while len(c.buffer) < 100000:
                    check(c.fill(), "closed")
                old = site.pid()
                os.kill(old, signal.SIGUSR2)
                wait_until(lambda: os.path.exists(site.path("started")), "not started")
                go = os.open(site.path("go"), os.O_RDWR)  # for read and write: waits for nobody
                os.kill(old, signal.SIGTERM)
                os.write(go, b"go\n")
                check(c.answer().body == data, "the answer under way was cut")
            site.wait_end()
            os.close(go)
            check(site.process.returncode == 0, f"exit status {site.process.returncode}")
            check(not os.path.exists(site.pid_file), "the file with the number is left")


class Manager:
    """A service manager's socket."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(b"\0weft-test-%d" % os.getpid())
        self.socket.settimeout(30 * PATIENCE)
        self.environment = dict(os.environ, NOTIFY_SOCKET=f"@weft-test-{os.getpid()}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def expect(self, pattern):
        try:
            text = self.socket.recv(4096).decode()
        except socket.timeout:
            raise Failure(f"nothing is said instead of {pattern}")
        found = re.fullmatch(pattern, text)
        check(found, f"{text!r} instead of {pattern}")
        return found


def a_service_manager_is_told():
    with Manager() as manager, Site(env=manager.environment) as site:
        manager.expect("READY=1")
        old = site.pid()
        os.kill(old, signal.SIGHUP)
        manager.expect(r"RELOADING=1\nMONOTONIC_USEC=\d+")
        manager.expect("READY=1")
        new = site.restart()
        said = {manager.socket.recv(4096).decode() for _ in range(2)}  # the successor's and ours
        check(said == {"READY=1", f"MAINPID={new}"}, f"{said}")
        os.kill(new, signal.SIGTERM)
        manager.expect("STOPPING=1")


def sockets_of_a_service_manager_are_served():
    """Started by a socket unit: the listening socket is descriptor 3; it works on when the server ends."""
    for arguments in (["--model", "coroutine"], ["--model", "prefork"], ["--model", "uring"], ["--processes", "2"]):
        with socket.socket() as listener, Tree() as tree:
            tree.write("a.txt", "a")
            listener.bind(("127.0.0.1", 0))
            listener.listen(100)
            for _ in range(2):
                script = 'exec 3<&$1; export LISTEN_FDS=1 LISTEN_PID=$$; shift; exec "$@"'
                process = subprocess.Popen(
                    ["bash", "-c", script, "-", str(listener.fileno()), WEFT, "web", tree.path, *arguments],
                    stdout=subprocess.PIPE, pass_fds=[listener.fileno()])
                try:
                    line = process.stdout.readline().decode()
                    check(line == f"http://127.0.0.1:{listener.getsockname()[1]}/\n", f"{arguments}: {line!r}")
                    server = Server(tree.path)
                    server.host, server.port = "127.0.0.1", listener.getsockname()[1]
                    check(get(server, "/a.txt").body == b"a", f"{arguments}: not served")
                finally:
                    process.terminate()
                    process.wait(30 * PATIENCE)
                    process.stdout.close()
                check(process.returncode == 0, f"{arguments}: exit status {process.returncode}")
                with socket.create_connection(listener.getsockname()):  # it waits for the next server
                    pass
                listener.setblocking(True)
                listener.accept()[0].close()


LINE = re.compile(r'"GET /(\d+) HTTP/1\.1" 404 ')


def a_rotation_loses_no_line():
    """Under load: rename the log, SIGHUP, wait until it is acknowledged; the old file is then complete."""
    for arguments in MODELS:
        with Manager() as manager, Site("--log", "log", *arguments, env=manager.environment, cwd=None) as site:
            manager.expect("READY=1")
            old = {}
            with Load(site, path=lambda n: f"/{n}") as load:
                for i in range(5):
                    load.more(30)
                    os.rename("log", site.path(f"log.{i}"))
                    os.kill(site.pid(), signal.SIGHUP)
                    manager.expect(r"RELOADING=1\nMONOTONIC_USEC=\d+")
                    manager.expect("READY=1")
                    old[i] = os.path.getsize(site.path(f"log.{i}"))
                load.more(30)
            os.kill(site.pid(), signal.SIGTERM)
            manager.expect("STOPPING=1")
            site.wait_end()
            for i, size in old.items():
                now = os.path.getsize(site.path(f"log.{i}"))
                check(now == size, f"{arguments}: {now - size} bytes more in log.{i} after the acknowledgement")
            text = ""
            for name in [site.path(f"log.{i}") for i in old] + ["log"]:
                with open(name) as f:
                    text += f.read()
            os.remove("log")
            lines = sorted(int(n) for n in LINE.findall(text))
            check(lines == list(range(1, load.numbers + 1)),
                  f"{arguments}: {load.numbers} requests, {len(lines)} lines, {len(set(lines))} different ones")


def a_replaced_worker_writes_into_the_new_log():
    """A worker that takes the place of a dead one after a reload has what was reloaded."""
    with Manager() as manager, Site("--log", "log", "--processes", "2", env=manager.environment) as site:
        manager.expect("READY=1")
        os.rename("log", site.path("log.0"))
        os.kill(site.pid(), signal.SIGHUP)
        manager.expect(r"RELOADING=1\nMONOTONIC_USEC=\d+")
        manager.expect("READY=1")
        supervisor = children(site.pid())[0]
        first = children(supervisor)
        for worker in first:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: len(set(children(supervisor)) - set(first)) == 2, "not replaced")
        for _ in range(20):
            check(get(site, "/a.txt").body == b"a", "not served")
        os.kill(site.pid(), signal.SIGTERM)
        manager.expect("STOPPING=1")
        site.wait_end()
        with open("log") as f, open(site.path("log.0")) as g:
            check((len(f.readlines()), len(g.readlines())) == (20, 0), "lines in the old log")
        os.remove("log")


def what_cannot_be_opened_anew_is_named():
    """SIGHUP while the directory, or the log's, is not there: the old ones go on, and the message says which it was."""
    os.mkdir("logs")
    with Manager() as manager, Site("--log", "logs/log", env=manager.environment) as site:
        manager.expect("READY=1")
        for what, named in (("logs", "logs/log"), (site.path("site"), site.path("site"))):
            os.rename(what, what + ".away")
            os.kill(site.pid(), signal.SIGHUP)
            manager.expect(r"RELOADING=1\nMONOTONIC_USEC=\d+")
            manager.expect("READY=1")
            os.rename(what + ".away", what)
            check(f"'{named}' cannot be opened anew: No such file" in site.said(), site.said())
            check(get(site, "/a.txt").body == b"a", "not served")
    shutil.rmtree("logs")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


if __name__ == "__main__":
    adopt_orphans()
    os.chdir(tempfile.mkdtemp(prefix="weft-restart-"))
    only = sys.argv[1:]
    try:
        run([(f.__name__.replace("_", " "), f) for f in (
            restarts_lose_nothing, restarts_lose_nothing_over_tls, a_large_answer_is_finished_by_the_old, an_idle_connection_is_answered_by_the_old,
            a_successor_that_cannot_start_changes_nothing,
            a_successor_without_a_place_for_its_number_takes_nobody, the_end_during_a_restart_is_the_end,
            the_end_before_a_successor_serves_is_its_end, a_service_manager_is_told,
            sockets_of_a_service_manager_are_served, a_rotation_loses_no_line, a_replaced_worker_writes_into_the_new_log,
            what_cannot_be_opened_anew_is_named)
            if not only or f.__name__ in only])
    finally:
        os.rmdir(os.getcwd())

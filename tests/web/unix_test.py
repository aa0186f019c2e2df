#!/usr/bin/env python3
"""`weft web --bind unix:PATH`: under every model, plain and with TLS, it answers over a Unix socket that is this user's alone
and goes when it stops; a successor goes on with it; a dead server's file is replaced; what is wrong is said."""

import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

from web import PATIENCE, Certificate, SecureSocket, WEFT, check, has_tls, run

MODELS = (["--model", "coroutine"], ["--model", "thread"], ["--model", "process"], ["--model", "prefork", "--processes", "2"],
          ["--model", "pool"], ["--model", "pool", "--processes", "2"], ["--model", "iterative"], ["--model", "select"],
          ["--model", "poll"], ["--model", "epoll", "--threads", "2"], ["--model", "epoll-et"], ["--model", "uring"],
          ["--processes", "2"])


class Site:
    """`weft web` over one file, on a Unix socket in a directory of its own."""

    def __init__(self, directory, *arguments, tls=None, bind=True, **popen):
        self.directory, self.tls = directory, tls
        self.path = os.path.join(directory, "socket")
        self.site = os.path.join(directory, "site")
        os.makedirs(self.site, exist_ok=True)
        with open(os.path.join(self.site, "a.txt"), "w") as f:
            f.write("well")
        secure = ("--tls-cert", tls.certificate, "--tls-key", tls.key) if tls else ()
        where = ("--bind", "unix:" + self.path) if bind else ()
        self.command = [WEFT, "web", self.site, *where, *secure, *arguments]
        self.popen = popen

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **self.popen)
        self.first_line()
        return self

    def first_line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], 20 * PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        want = f"http{'s' if self.tls else ''}+unix:{self.path}\n"
        check(line == want, f"{' '.join(self.command)}: the first line is {line!r}, not {want!r}")

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=30 * PATIENCE)
        if exc[0] is None:
            check(self.process.returncode == 0 and errors == b"", f"ended with {self.process.returncode}: {errors!r}")

    def get(self, target="/a.txt"):
        """The whole answer to one request on a connection of its own."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20 * PATIENCE)
            s.connect(self.path)
            c = SecureSocket(s, self.tls.context(), "localhost") if self.tls else s
            c.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := c.recv(65536):
                answer += data
            return answer

    def check_answers(self):
        answer = self.get()
        check(answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nwell"), f"the answer is {answer!r}")


def serves(directory, arguments, tls):
    with Site(directory, *arguments, tls=tls) as site:
        mode = os.lstat(site.path).st_mode
        check(stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, f"the file's mode is {mode:o}")
        for _ in range(5):
            site.check_answers()
        with socket.socket(socket.AF_UNIX) as s:  # a client that vanishes
            s.connect(site.path)
            s.sendall(b"GET /a.t")
        site.check_answers()
    check(not os.path.lexists(site.path), f"{arguments}: the file is left")


def test_every_model_serves_and_takes_its_file_away(directory):
    for arguments in MODELS:
        serves(directory, arguments, None)


def test_every_model_serves_with_tls(directory):
    if not has_tls():
        return
    certificate = Certificate(directory)
    for arguments in MODELS:
        serves(directory, arguments, certificate)


def test_curl_gets_a_file(directory):
    with Site(directory) as site:
        got = subprocess.run(["curl", "-s", "--max-time", "20", "--unix-socket", site.path, "http://localhost/a.txt"],
                             capture_output=True)
        check(got.returncode == 0 and got.stdout == b"well", f"curl: {got}")


def test_the_log_and_the_status_page_know_such_clients(directory):
    log = os.path.join(directory, "log")
    with Site(directory, "--log", log, "--status", "/status") as site:
        site.check_answers()
        answer = site.get("/status.json")
        check(answer.startswith(b"HTTP/1.1 200 ") and f'"address":"unix:{site.path}"'.encode() in answer, f"{answer!r}")
    with open(log) as f:
        lines = f.read().splitlines()
    check(len(lines) == 2 and lines[0].startswith("unix: - - ["), f"the log is {lines}")


def test_the_file_of_a_killed_server_is_replaced(directory):
    site = Site(directory)
    site.process = subprocess.Popen(site.command, stdout=subprocess.PIPE)
    site.first_line()
    site.process.kill()
    site.process.communicate()
    check(os.path.lexists(site.path), "the file is gone with a server that was killed")
    with Site(directory) as site:
        site.check_answers()
    check(not os.path.lexists(site.path), "the file is left")


def test_a_successor_has_the_socket(directory):
    pid_file = os.path.join(directory, "pid")
    with Site(directory, "--pid-file", pid_file) as site:
        site.process.send_signal(signal.SIGUSR2)
        while site.process.poll() is None:  # until it has left, the two of them answer
            site.check_answers()
        for _ in range(5):
            site.check_answers()
        with open(pid_file) as f:
            successor = int(f.read())
        check(successor != site.process.pid, "there is no successor")
        pidfd = os.pidfd_open(successor)
        os.kill(successor, signal.SIGTERM)
        check(select.select([pidfd], [], [], 20 * PATIENCE)[0], "the successor does not end")
        os.close(pidfd)
    check(os.path.lexists(site.path), "the file of a socket that others may have is gone")
    with Site(directory) as site:
        site.check_answers()
    check(not os.path.lexists(site.path), "the file is left")


def test_a_successor_that_does_not_serve_leaves_no_file(directory):
    """It fails; or the end is asked for while it still starts."""
    for script, then in (("exit 7", "the successor has ended with status 7"), ("echo starting >&2; exec sleep 1000", "starting")):
        site = Site(directory)
        program = os.path.join(directory, "weft")
        shutil.copy(WEFT, program)
        site.command[0] = program
        site.process = subprocess.Popen(site.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        site.first_line()
        os.unlink(program)
        with open(program, "w") as f:
            f.write(f"#!/bin/sh\n{script}\n")
        os.chmod(program, 0o755)
        site.process.send_signal(signal.SIGUSR2)
        ready, _, _ = select.select([site.process.stderr], [], [], 20 * PATIENCE)
        line = site.process.stderr.readline().decode() if ready else ""
        check(then in line, f"said {line!r}, not {then!r}")
        site.check_answers()
        site.process.send_signal(signal.SIGTERM)
        site.process.communicate(timeout=30 * PATIENCE)
        check(site.process.returncode == 0, f"ended with {site.process.returncode}")
        check(not os.path.lexists(site.path), f"{script}: the file is left")


def test_a_service_manager_gives_the_socket(directory):
    """With LISTEN_FDS; and as all clients have one address, which is none, the rate of one does not limit them."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(directory, "socket"))
        listener.listen(100)
        given = os.dup(listener.fileno())

        site = Site(directory, "--rate-limit", "1", bind=False)
        command = ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&%d' % given, "sh", *site.command]
        site.command, site.popen = command, {"pass_fds": [given]}
        with site:
            for _ in range(10):
                site.check_answers()
        os.close(given)
    check(os.path.lexists(site.path), "the file is gone that is the manager's")


def refused(words, *arguments):
    got = subprocess.run([WEFT, "web", ".", *arguments], capture_output=True, text=True, timeout=20 * PATIENCE)
    lines = got.stderr.splitlines()
    check(got.returncode == 2 and got.stdout == "" and len(lines) == 1 and words in lines[0],
          f"{arguments}: status {got.returncode}, {got.stdout!r}, {got.stderr!r}; wanted {words!r}")


def test_what_is_wrong_is_said(directory):
    path = os.path.join(directory, "it")
    refused("1 to 107 bytes", "--bind", "unix:")
    refused("1 to 107 bytes", "--bind", "unix:/tmp/" + "x" * 200)
    refused("no directory", "--bind", f"unix:{path}/deeper")
    refused("no address", "--bind", f"unix:{path}", "--rate-limit", "5")
    check(not os.path.lexists(path), "a server that was refused has left a file")
    with open(path, "w") as f:
        f.write("mine")
    refused("no socket", "--bind", f"unix:{path}")
    refused("no directory", "--bind", f"unix:{path}/deeper")
    with open(path) as f:
        check(f.read() == "mine", "a file that is no socket was changed")
    with Site(directory) as site:
        refused("another program listens", "--bind", f"unix:{site.path}")
        site.check_answers()
    if os.geteuid() != 0:
        os.chmod(directory, 0o500)
        refused("may not", "--bind", f"unix:{directory}/other")
        os.chmod(directory, 0o700)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="weft-web-") as top:
        def case(test):
            return test.__name__[5:].replace("_", " "), lambda: test(tempfile.mkdtemp(dir=top))

        run([case(test) for name, test in sorted(globals().items()) if name.startswith("test_")])

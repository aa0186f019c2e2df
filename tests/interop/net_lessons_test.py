#!/usr/bin/env python3
"""The network lessons beside Python programs that are written as the tutorials write them: each server with Python's
client, each client with Python's server, the same bytes on the wire and the same lines on the screen.

X-06, X-13; S001-16, -17, -19, -20, -104, -105, -120 to -123. Environment: WEFT, the command.
"""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading

WEFT = os.environ.get("WEFT", "build/weft")
LIMIT = 60  # seconds; only a hang takes that long
MESSAGES = ["你好", "hello", "x" * 900]
ADDRESS = r"\('127\.0\.0\.1', \d+\)"
failures = []


def check(condition, text, detail=""):
    if not condition:
        failures.append(text)
        print("FAIL %s %s" % (text, str(detail)[:1500]))


# ---- the lessons ----


class Lesson:
    """A lesson's server, in a process of its own: its port, and at the end its lines."""

    def __init__(self, name, port=0):
        self.process = subprocess.Popen([WEFT, "lesson", "run", name, "--server=%d" % port], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = int(self.process.stderr.readline().split()[1])

    def children(self):
        """(state, pid) of each child."""
        pid, found = self.process.pid, []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
                if int(parent) == pid:
                    found.append((state, int(name)))
        return found

    def stop(self, name):
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=LIMIT)
        check(self.process.returncode == 0 and err == "", "%s ends well" % name, (self.process.returncode, out, err))
        return out.splitlines()


def run_client(name, port, messages):
    """What the lesson's client prints when a person types this."""
    done = subprocess.run([WEFT, "lesson", "run", name, "--client=%d" % port], timeout=LIMIT, capture_output=True,
                          input="".join(m + "\n" for m in messages).encode() + b"\n")
    check(done.returncode == 0 and done.stderr == b"", "%s client" % name, done)
    return done.stdout.decode()


# ---- Python's counterparts ----


def python_clients(port, messages, stream, anew):
    """What a client in Python gets for each message; `anew`: by a new connection."""
    got, sock = [], None
    for message in messages:
        if sock is None:
            sock = socket.socket(type=socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
            sock.settimeout(LIMIT)
            sock.connect(("127.0.0.1", port))
        sock.send(message.encode())
        got.append(sock.recv(1024))
        if anew:
            check(sock.recv(1024) == b"", "the server ends the connection")
            sock.close()
            sock = None
    if sock is not None:
        sock.close()
    return got


class PythonServer(threading.Thread):
    """Answers each message; keeps what came, by connection."""

    def __init__(self, answer, stream, anew):
        super().__init__(daemon=True)
        self.answer, self.stream, self.anew, self.came = answer, stream, anew, []
        self.sock = socket.socket(type=socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        if stream:
            self.sock.listen(3)
        self.port = self.sock.getsockname()[1]
        self.start()

    def run(self):
        while not self.stream:
            data, peer = self.sock.recvfrom(1024)
            if data == b"":
                return
            self.came.append([data])
            self.sock.sendto(self.answer, peer)
        while True:
            connection, _ = self.sock.accept()
            with connection:
                messages = []
                while data := connection.recv(1024):
                    messages.append(data)
                    connection.send(self.answer)
                    if self.anew:
                        break
                if not messages:
                    return
                self.came.append(messages)

    def end(self):
        """What came."""
        with socket.socket(type=self.sock.type) as sock:
            sock.connect(("127.0.0.1", self.port))
            if not self.stream:
                sock.send(b"")
        self.join(LIMIT)
        self.sock.close()
        return self.came


# name, what is answered, the server's lines for a message, the client's line for an answer, its last line
KINDS = [
    ("udp", b"Thanks", ADDRESS + " 接收到: %s", "从服务端收到: %s", None),
    ("tcp", b"Thanks", "收到: %s", "从服务器收到: %s", None),
    ("fork_server", b"OK", "客户端: %s", "服务器： %s", "客户端退出"),
    ("thread_server", b"OK", "客户端: %s", "服务器： %s", "客户端退出"),
    ("select_server", b"ok", "客户端: %s", "服务器： %s", "客户端退出"),
    ("poll_server", b"ok", "收到： %s", "服务器： %s", "客户端退出"),
    ("epoll_server", b"ok", "收到： %s", "服务器： %s", "客户端退出"),
]


def check_server(name, answer, line):
    """The lesson's server and Python's client; then its own, and two of Python's at the same time."""
    stream, anew = name != "udp", name == "tcp"
    lesson = Lesson(name)
    got = python_clients(lesson.port, MESSAGES, stream, anew)
    check(got == [answer] * len(MESSAGES), "%s answers Python's client" % name, got)
    run_client(name, lesson.port, ["own"])
    if stream and not anew:  # who is there and silent keeps nobody waiting
        with socket.create_connection(("127.0.0.1", lesson.port)) as silent:
            check(python_clients(lesson.port, ["beside"], True, False) == [answer], "%s: two at once" % name)
            silent.send("silent".encode())
            check(silent.recv(1024) == answer, "%s: the silent one" % name)
    zombies = [child for child in lesson.children() if child[0] == "Z"]
    check(not zombies or name != "fork_server", "%s leaves no zombie" % name, zombies)
    lines = lesson.stop(name)
    for message in MESSAGES + ["own"]:
        found = [each for each in lines if re.fullmatch(line % re.escape(message), each)]
        check(len(found) == 1, "%s shows %s" % (name, message[:20]), lines)
    if stream:
        connections = [each for each in lines if re.fullmatch("Connect from " + ADDRESS, each)]
        check(len(connections) == (len(MESSAGES) + 1 if anew else 4), "%s shows who connects" % name, lines)
    again = Lesson(name, lesson.port)  # the port can be taken again at once
    check(again.port == lesson.port, "%s: the same port again" % name)
    check(python_clients(again.port, ["again"], stream, anew) == [answer], "%s answers again" % name)
    return again.stop(name)


def check_client(name, answer, shown, last):
    """The lesson's client and Python's server, which gets the same bytes as from Python's client."""
    stream, anew = name != "udp", name == "tcp"
    server = PythonServer(answer, stream, anew)
    out = run_client(name, server.port, MESSAGES)
    ours = server.end()
    wanted = "".join(">>" + shown % answer.decode() + "\n" for _ in MESSAGES) + ">>" + (last + "\n" if last else "")
    check(out == wanted, "%s: the client's lines" % name, (out, wanted))
    server = PythonServer(answer, stream, anew)
    python_clients(server.port, MESSAGES, stream, anew)
    check(ours == server.end(), "%s: the same bytes as Python's client" % name, ours)


def main():
    ends = {}
    for name, answer, line, shown, last in KINDS:
        ends[name] = check_server(name, answer, line)
        check_client(name, answer, shown, last)
    check(ends["fork_server"][-1] == "服务端退出！！", "fork_server's last line", ends["fork_server"])
    check(ends["thread_server"][-1] == "服务端退出", "thread_server's last line", ends["thread_server"])
    check(ends["tcp"].count("Waiting for connect ....") == 2, "tcp waits twice", ends["tcp"])
    check("发送了6 bytes" in ends["udp"], "udp says what it sent", ends["udp"])
    for name in ("fork_server", "thread_server"):
        check(re.fullmatch(r"Listen the port \d+\.\.\.", ends[name][0]), "%s's first line" % name, ends[name])
    print("net_lessons_test: %d failed" % len(failures))
    return 1 if failures else 0


sys.exit(main())

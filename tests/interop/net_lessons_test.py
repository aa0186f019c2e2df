#!/usr/bin/env python3
"""The network lessons beside Python programs that are written as the tutorials write them: each server with Python's
client, each client with Python's server, the same bytes on the wire and the same lines on the screen.

X-06, X-08, X-13; S001-16 to -20, -86 to -88, -104, -105, -107, -120 to -123, -133, -134, -138, -139. Environment: WEFT, the command.
"""
import contextlib
import http.client
import os
import random
import re
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

WEFT = os.path.abspath(os.environ.get("WEFT", "build/weft"))
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

    def __init__(self, name, port=0, *flags, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen([WEFT, "lesson", "run", name, "--server=%d" % port, *flags], text=True,
                                        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.port = int(self.process.stderr.readline().split()[1])

    def has_no_zombie(self):
        """Soon, that is: a child whose threads are still leaving looks like one."""
        end = time.monotonic() + LIMIT
        while any(state == "Z" for state, _ in self.children()):
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

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


def port_for(stream):
    """A port that is free, and that the system gives nobody who has not asked for it: free between two servers as well."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = map(int, file.read().split())
    for port in random.sample([p for p in range(10000, 65536) if not first <= p <= last], 1000):
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as sock:
            sock.bind(("", port))
            return port
    raise AssertionError("no port is free")


def run_client(name, port, messages, folder=None, flags=()):
    """What the lesson's client prints when a person types this."""
    done = subprocess.run([WEFT, "lesson", "run", name, "--client=%d" % port, *flags], timeout=LIMIT, capture_output=True, cwd=folder,
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
    lesson = Lesson(name, port_for(stream))
    got = python_clients(lesson.port, MESSAGES, stream, anew)
    check(got == [answer] * len(MESSAGES), "%s answers Python's client" % name, got)
    if stream:  # who vanishes with a reset, before he is accepted or after, is known by his address all the same
        with socket.create_connection(("127.0.0.1", lesson.port)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.send(b"reset")
    run_client(name, lesson.port, ["own"])
    if stream and not anew:  # who is there and silent keeps nobody waiting
        with socket.create_connection(("127.0.0.1", lesson.port)) as silent:
            check(python_clients(lesson.port, ["beside"], True, False) == [answer], "%s: two at once" % name)
            silent.send("silent".encode())
            check(silent.recv(1024) == answer, "%s: the silent one" % name)
    check(lesson.has_no_zombie(), "%s leaves no zombie" % name, lesson.children())
    lines = lesson.stop(name)
    for message in MESSAGES + ["own"]:
        found = [each for each in lines if re.fullmatch(line % re.escape(message), each)]
        check(len(found) == 1, "%s shows %s" % (name, message[:20]), lines)
    if stream:
        connections = [each for each in lines if re.fullmatch("Connect from " + ADDRESS, each)]
        check(not [each for each in lines if "?" in each], "%s knows everybody's address" % name, lines)
        check(len(connections) == (len(MESSAGES) + 2 if anew else 5), "%s shows who connects" % name, lines)
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


def check_udp_sizes():  # S001-13, S001-16, S001-17: recvfrom(1024) of the server and recvfrom(1000) of the client
    lesson = Lesson("udp")
    sizes = [0, 1024, 1025, 5000]
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.connect(("127.0.0.1", lesson.port))
        for size in sizes:
            sock.send(b"x" * size)
            check(sock.recv(1024) == b"Thanks", "udp: %d bytes are answered" % size)
    got = [line.rpartition(" ")[2] for line in lesson.stop("udp") if " 接收到: " in line]
    check(got == ["x" * min(size, 1024) for size in sizes], "udp: the server shows 1024 bytes at the most", [len(g) for g in got])
    for size in (1000, 1001, 5000):
        server = PythonServer(b"y" * size, False, False)
        out = run_client("udp", server.port, ["hello", "again"])
        server.end()
        check(out == 2 * (">>从服务端收到: " + "y" * 1000 + "\n") + ">>", "udp: the client shows 1000 of %d bytes" % size, out)


# ---- the chat room ----


class Chatter:
    """A client of the chat room in Python."""

    def __init__(self, port):
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.settimeout(LIMIT)
        self.sock.connect(("127.0.0.1", port))

    def say(self, text):
        self.sock.send(text if isinstance(text, bytes) else text.encode())

    def hear(self):
        return self.sock.recv(4096).decode()

    def enter(self, name):
        self.say("L " + name)
        return self.hear()


def check_chat_server():
    lesson = Lesson("chat_room")
    lily, tom, other = (Chatter(lesson.port) for _ in range(3))
    check(lily.enter("Lily") == "OK", "chat: Lily enters")
    check(other.enter("Lily") == "Fail", "chat: the name is taken")
    for text in (b"", b"L", b"L ", b"C", b"X y z", b"Q nobody", b"C nobody hello", b"\0", b"L " + b"n" * 200, b"\xff" * 50, b"C " * 512):
        other.say(text)  # nobody is hurt by what is malformed, or said under a name of nobody
    other.say("C Lily not me")
    other.say("Q Lily")
    check(tom.enter("Tom") == "OK", "chat: Tom enters")
    check(lily.hear() == "欢迎 Tom 进入聊天室", "chat: Lily hears that Tom is there")
    tom.say("C Tom 你好  Lily, two  spaces")
    check(lily.hear() == "Tom : 你好  Lily, two  spaces", "chat: Lily hears Tom")
    lily.say("C Lily \x1b[2J")
    check(tom.hear() == "Lily : ?[2J", "chat: no control bytes")
    tom.say("Q Tom")
    check(lily.hear() == "Tom 退出聊天室", "chat: Lily hears that Tom has left")
    check(other.enter("Tom") == "OK" and lily.hear() == "欢迎 Tom 进入聊天室", "chat: the name is free again")
    for chatter in (lily, tom, other):
        chatter.sock.close()
    lesson.stop("chat_room")


def check_chat_administrator():  # S001-88
    lesson = Lesson("chat_room", stdin=subprocess.PIPE)
    lily, tom = Chatter(lesson.port), Chatter(lesson.port)
    check(lily.enter("Lily") == "OK" and tom.enter("Tom") == "OK", "chat: two are there")
    check(lily.hear() == "欢迎 Tom 进入聊天室", "chat: Lily hears of Tom first")
    lesson.process.stdin.write("今晚八点 维护\n")
    lesson.process.stdin.flush()
    check(lily.hear() == "管理员消息： 今晚八点 维护" == tom.hear(), "chat: the announcement reaches all")
    tom.say("Q Tom")
    check(lily.hear() == "Tom 退出聊天室", "chat: and nothing else")
    for chatter in (lily, tom):
        chatter.sock.close()
    lesson.stop("chat_room")  # while the administrator could still type


def check_chat_client():
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        came = []

        def serve():
            while not came or not came[-1].startswith(b"Q"):
                data, peer = sock.recvfrom(1024)
                came.append(data)
                if data.startswith(b"L"):
                    sock.sendto(b"Fail" if data == b"L Lily" else b"OK", peer)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        out = run_client("chat_room", sock.getsockname()[1], ["Lily", "Tom", "你好", "two  spaces", "quit"])
        thread.join(LIMIT)
    wanted = ["L Lily", "L Tom", "C Tom 你好", "C Tom two  spaces", "Q Tom"]
    check([data.decode() for data in came] == wanted, "chat: the bytes of the client", came)
    check(out == "Name:该用户已存在\nName:进入聊天室\n发言:发言:发言:您已退出聊天室\n", "chat: the client's lines", out)


# ---- losses, hybrids, C10K ----


def check_udp_loss():
    lesson = Lesson("udp_loss", 0, "--fast")
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.connect(("127.0.0.1", lesson.port))
        for message, answer in ((b"7 hello", b"7"), ("100 第100条消息".encode(), b"100"), (b"", b""), (b"x" * 5000, b"x" * 15)):
            sock.send(message)
            check(sock.recv(100) == answer, "udp_loss: what is confirmed", message[:20])
    lesson.stop("udp_loss")
    with socket.socket(type=socket.SOCK_DGRAM) as sock:  # Python's server loses the first one of each odd number
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(LIMIT)
        seen, odd = {}, []

        def serve():
            while data := sock.recvfrom(1024):
                if data[0] == b"":
                    return
                number, text = data[0].decode().split(" ")
                odd.extend([] if text == "第%s条消息" % number else [data[0]])
                seen[int(number)] = seen.get(int(number), 0) + 1
                if int(number) % 2 == 0 or seen[int(number)] > 1:
                    sock.sendto(number.encode(), data[1])
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        lines = run_client("udp_loss", sock.getsockname()[1], []).splitlines()
        with socket.socket(type=socket.SOCK_DGRAM) as end:
            end.sendto(b"", sock.getsockname())
        thread.join(LIMIT)
    check(sorted(seen) == list(range(1, 101)) and min(seen.values()) >= 2 and not odd, "udp_loss: the client's bytes", (seen, odd))
    check(re.fullmatch(r"可靠: 发送了\d+次, 100个全部到达", lines[-1]), "udp_loss: all of it arrives", lines)


def run_many(name, n, answer, *flags):
    """The lesson's client, whose connections send n messages to Python's server: its lines, and what came. Each message
    is answered, with itself if there is no other answer."""
    came, socks = [], []

    def serve(listener):
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while len(came) < n:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        socks.append(listener.accept()[0])
                        selector.register(socks[-1], selectors.EVENT_READ)
                        continue
                    came.append(key.fileobj.recv(1024))
                    key.fileobj.sendall(answer or came[-1])
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        out = run_client(name, listener.getsockname()[1], [], flags=flags)
        thread.join(LIMIT)
    for sock in socks:
        sock.close()
    return out, came


def check_hybrid():
    lesson = Lesson("hybrid")
    socks = [socket.create_connection(("127.0.0.1", lesson.port), timeout=LIMIT) for _ in range(8)]
    answers = []
    for sock in socks:
        sock.sendall("在".encode())
        answers.append(sock.recv(100).decode())
    check(len(set(answers)) == 2 and all(re.fullmatch(r"进程\d+", a) for a in answers), "hybrid: two processes, four threads each", answers)
    for sock in socks:
        sock.close()
    lines = lesson.stop("hybrid")
    check(lines.count("客户端: 在") == 8, "hybrid: what the server shows", lines)
    out, came = run_many("hybrid", 8, "进程1".encode())
    check(out == "8个客户端同时在线\n" and came == ["你好".encode()] * 8, "hybrid: the client and its bytes", (out, came))


def check_c10k():
    lesson = Lesson("c10k", 0, "--fast")
    socks = [socket.create_connection(("127.0.0.1", lesson.port), timeout=LIMIT) for _ in range(300)]
    for sock in socks:
        sock.sendall("在吗?\n".encode())
    check(all(sock.recv(100) == "在吗?\n".encode() for sock in socks), "c10k: Python's clients are answered")
    for sock in socks:
        sock.close()
    lesson.stop("c10k")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    out, came = run_many("c10k", 2000, None, "--fast")  # each asks twice
    check(out == "1000个客户端, 连接了1000个, 得到回答的有1000个\n" and came == ["在吗?\n".encode()] * 2000, "c10k: the client", out)


# ---- the file server ----


class FileClient:
    """A client of the file server in Python."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        self.file = self.sock.makefile("rb")

    def ask(self, line, body=b""):
        """(the answer's line, the bytes that follow)."""
        self.sock.sendall(line.encode() + b"\n" + body)
        answer = self.file.readline().decode().rstrip("\n")
        return answer, self.file.read(int(answer[3:])) if answer.startswith("OK ") else b""

    def close(self):
        self.sock.sendall(b"Q\n")
        check(self.file.read() == b"", "files: the server ends the connection")
        self.file.close()
        self.sock.close()


def check_file_server():  # S002-13, S002-14
    big = os.urandom(300000)
    with tempfile.TemporaryDirectory(prefix="weft-lesson-") as folder:
        public = os.path.join(folder, "public")
        os.mkdir(public)
        os.symlink("/etc/passwd", os.path.join(public, "link"))
        for name, data in (("public/big", big), ("public/.hidden", b"h"), ("secret", b"s")):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        lesson = Lesson("file_server", 0, "--folder=" + public)
        one, two = FileClient(lesson.port), FileClient(lesson.port)
        check(one.ask("L") == ("OK 4", b"big\n") and two.ask("L") == ("OK 4", b"big\n"), "files: the list, twice")
        check(one.ask("G big") == ("OK 300000", big), "files: get")
        for name in ("../secret", "none", ".hidden", "link", "/etc/passwd", ".", "..", "", "a/b"):
            check(two.ask("G " + name) == ("文件不存在", b""), "files: nobody gets %r" % name)
        check(two.ask("P new file 5", b"12345") == ("OK", b""), "files: put, with a space in the name")
        check(one.ask("P new file 3", b"abc") == ("文件已存在", b""), "files: nothing is overwritten")
        check(one.ask("P ../out 3", b"abc")[0] != "OK" and not os.path.exists(os.path.join(folder, "out")), "files: not outside")
        check(one.ask("G new file") == ("OK 5", b"12345") and one.ask("P empty 0") == ("OK", b""), "files: what was put")
        half = FileClient(lesson.port)
        half.sock.sendall(b"P half 1000\nabc")
        half.file.close()
        half.sock.close()
        for line in (b"P nothing\n", b"P x -1\n", b"P x 99999999999999999999\n", b"what\n", b"x" * 2000 + b"\n", b"\n"):
            with socket.create_connection(("127.0.0.1", lesson.port), timeout=LIMIT) as sock:
                got = b""
                with contextlib.suppress(OSError):  # it may end before all was sent
                    sock.sendall(line)
                    sock.shutdown(socket.SHUT_WR)
                    got = sock.recv(10)
                check(got == b"", "files: %r ends the connection" % line[:20], got)
        one.close()
        two.close()
        lesson.stop("file_server")
        check(sorted(os.listdir(public)) == [".hidden", "big", "empty", "link", "new file"], "files: no half file is left",
              os.listdir(public))


def check_file_client():
    """Python's server, which only knows the files that it has in a dict."""
    files, came = {"big": os.urandom(100000)}, []

    def serve(sock):
        connection, _ = sock.accept()
        with connection, connection.makefile("rwb") as file:
            for line in file:
                words = line.decode().rstrip("\n").split(" ")
                came.append(words)
                if words[0] == "L":
                    names = "".join(name + "\n" for name in files).encode()
                    file.write(b"OK %d\n" % len(names) + names)
                elif words[0] == "G" and words[1] in files:
                    file.write(b"OK %d\n" % len(files[words[1]]) + files[words[1]])
                elif words[0] == "G":
                    file.write("文件不存在\n".encode())
                elif words[0] == "P":
                    files[words[1]] = file.read(int(words[2]))
                    file.write(b"OK\n")
                else:
                    return
                file.flush()
    with tempfile.TemporaryDirectory(prefix="weft-lesson-") as folder, socket.create_server(("127.0.0.1", 0)) as sock:
        mine = os.urandom(70000)
        with open(os.path.join(folder, "mine"), "wb") as file:
            file.write(mine)
        thread = threading.Thread(target=serve, args=(sock,), daemon=True)
        thread.start()
        out = run_client("file_server", sock.getsockname()[1],
                         ["list", "get big", "get none", "put mine", "put none", "sing", "list", "quit"], folder)
        thread.join(LIMIT)
        with open(os.path.join(folder, "big"), "rb") as file:
            check(file.read() == files["big"], "files: what the client got")
    check(files.get("mine") == mine, "files: what the client put")
    check(came == [["L"], ["G", "big"], ["G", "none"], ["P", "mine", "70000"], ["L"], ["Q"]], "files: the client's lines", came)
    said = re.sub(r"命令\(list, get 文件, put 文件, quit\):", "", out).splitlines()
    check(said == ["big", "下载完成", "文件不存在", "上传完成", "没有这个文件", "没有这个命令", "big", "mine", "谢谢使用"],
          "files: what the client says", out)


# ---- WebServer ----


def check_web_server():
    with tempfile.TemporaryDirectory(prefix="weft-lesson-") as folder:
        pages = {"index.html": "<h1>首页</h1>".encode(), "a.gif": os.urandom(200000), "404.html": b"<h1>Not Find<h1>"}
        for name, data in pages.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        lesson = Lesson("web_server", 0, "--html=" + folder)
        connection = http.client.HTTPConnection("127.0.0.1", lesson.port, timeout=LIMIT)
        for method, path, status, media, body in (
                ("GET", "/", 200, "text/html", pages["index.html"]), ("GET", "/a.gif?x=1", 200, "image/gif", pages["a.gif"]),
                ("HEAD", "/a.gif", 200, "image/gif", b""), ("GET", "/none", 404, "text/html", pages["404.html"])):
            connection.request(method, path)
            answer = connection.getresponse()
            got = (answer.status, answer.headers.get_content_type(), answer.read())
            check(got == (status, media, body) and answer.getheader("Content-Length"), "web: %s %s" % (method, path), got[:2])
        connection.close()
        with socket.create_connection(("127.0.0.1", lesson.port), timeout=LIMIT) as sock:  # not [A-Z]+\s+(/\S*)
            sock.sendall(b"nonsense\r\n\r\n")
            check(b"200" not in sock.recv(1000).partition(b"\r\n")[0], "web: nonsense is no page")
        lines = lesson.stop("web_server")
        check(lines[:5] == ["Listen the port %d" % lesson.port, "请求内容： /", "请求内容： /a.gif?x=1", "请求内容： /a.gif",
                            "请求内容： /none"], "web: the server's lines", lines)
        out = None
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as sock:
            def serve():
                client, _ = sock.accept()
                with client:
                    came.append(client.recv(4096))
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            came = []
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            out = run_client("web_server", sock.getsockname()[1], ["/x"])
            thread.join(LIMIT)
        check(came == [b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"], "web: the client's bytes", came)
        check(out == ">>HTTP/1.1 200 OK hi\n>>", "web: the client's lines", out)


def port_of(process):
    """Where it listens, once it does."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and process.poll() is None:
        inodes = set()
        for fd in os.listdir("/proc/%d/fd" % process.pid):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink("/proc/%d/fd/%s" % (process.pid, fd)))
        with open("/proc/%d/net/tcp" % process.pid, encoding="ascii") as file:
            for words in (line.split() for line in file.readlines()[1:]):
                if words[3] == "0A" and "socket:[%s]" % words[9] in inodes:
                    return int(words[1].split(":")[1], 16)
        time.sleep(0.01)
    raise AssertionError("it does not listen")


def check_small_web_server():  # S001-133 to -135: WebServer(host, port, html) in fifteen lines
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/small_web_server.c")
    with open(path, encoding="utf-8") as file:
        code = [line for line in re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S).splitlines() if line.strip()]
    check(len(code) <= 15, "small web server: fifteen lines", code)
    binary = os.path.join(os.environ.get("WEFT_BUILD", os.path.dirname(WEFT)), "examples", "small_web_server")
    with tempfile.TemporaryDirectory(prefix="weft-lesson-") as folder:
        gif = os.urandom(100000)
        for name, data in (("index.html", b"<h1>hello</h1>"), ("a.gif", gif)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        process = subprocess.Popen([binary, "127.0.0.1", "0", folder], stdout=subprocess.DEVNULL)
        connection = http.client.HTTPConnection("127.0.0.1", port_of(process), timeout=LIMIT)
        for method, path, wanted in (("GET", "/", (200, "text/html", b"<h1>hello</h1>")), ("HEAD", "/a.gif", (200, "image/gif", b"")),
                                     ("GET", "/a.gif?x=1", (200, "image/gif", gif)), ("GET", "/none", (404, None, None))):
            connection.request(method, path)
            answer = connection.getresponse()
            got = (answer.status, answer.headers.get_content_type(), answer.read())
            check(all(w in (None, g) for w, g in zip(wanted, got)), "small web server: %s %s" % (method, path), got[:2])
        connection.close()
        process.terminate()
        process.wait(LIMIT)


def main():
    ends = {}
    for name, answer, line, shown, last in KINDS:
        ends[name] = check_server(name, answer, line)
        check_client(name, answer, shown, last)
    for test in (check_udp_sizes, check_udp_loss, check_hybrid, check_c10k, check_chat_server, check_chat_administrator, check_chat_client, check_file_server, check_file_client, check_web_server,
                 check_small_web_server):
        test()
    check(ends["fork_server"][-1] == "服务端退出！！", "fork_server's last line", ends["fork_server"])
    check(ends["thread_server"][-1] == "服务端退出", "thread_server's last line", ends["thread_server"])
    check(ends["tcp"].count("Waiting for connect ....") == 2, "tcp waits twice", ends["tcp"])
    check("发送了6 bytes" in ends["udp"], "udp says what it sent", ends["udp"])
    for name in ("fork_server", "thread_server"):
        check(re.fullmatch(r"Listen the port \d+\.\.\.", ends[name][0]), "%s's first line" % name, ends[name])
    print("net_lessons_test: %d failed" % len(failures))
    return 1 if failures else 0


sys.exit(main())

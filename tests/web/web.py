"""What the black-box tests of `weft web` share: a server under test, a raw client, a strict reader of answers."""

import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

WEFT = os.path.abspath(os.environ.get("WEFT", "build/weft"))
# Sanitizers and slow machines stretch every limit that is only there to end a test that hangs.
PATIENCE = float(os.environ.get("WEFT_TEST_PATIENCE", "1"))


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Server:
    """`weft web DIR --port 0 ...` as a context; .port and .url once it is entered. tls: a Certificate; .connect then
    speaks TLS. says: the lines on its standard error, in any order."""

    def __init__(self, directory, *arguments, tls=None, says=(), **popen):
        self.tls, self.says = tls, says
        if tls is not None:
            arguments = (*arguments, "--tls-cert", tls.certificate, "--tls-key", tls.key)
        self.command = [WEFT, "web", directory, "--port", "0", *arguments]
        self.popen = popen

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **self.popen)
        ready, _, _ = select.select([self.process.stdout], [], [], 20 * PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.fullmatch(r"http%s://(.*):(\d+)/\n" % ("s" if "--tls-cert" in self.command else ""), line)
        if not found:
            self.process.kill()
            _, errors = self.process.communicate()
            raise Failure(f"{' '.join(self.command)}: no URL but {line!r}; {errors.decode()!r}")
        self.url, self.host, self.port = line.strip(), found[1], int(found[2])
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            _, errors = self.process.communicate(timeout=30 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, errors = self.process.communicate()
            raise Failure("the server did not end within 30 s of SIGTERM")
        self.errors = errors.decode(errors="replace")
        if exc[0] is None:
            check(self.process.returncode == 0,
                  f"the server ended with {self.process.returncode}: {self.errors}")
            check(sorted(self.errors.splitlines()) == sorted(self.says),
                  f"the server wrote to standard error: {self.errors}")

    def connect(self, timeout=10, source=None):
        s = socket.create_connection((self.host.strip("[]"), self.port), timeout=timeout * PATIENCE,
                                     source_address=source and (source, 0))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return SecureSocket(s, self.tls.context(), "localhost") if self.tls is not None else s


class Certificate:
    """A certificate that signs itself, and its key, made in `directory` by openssl(1)."""

    def __init__(self, directory, name="site", hosts=("localhost",)):
        self.certificate, self.key = (os.path.join(directory, f"{name}.{end}") for end in ("pem", "key"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", f"/CN={hosts[0]}", "-addext", "subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts),
             "-keyout", self.key, "-out", self.certificate], check=True, capture_output=True)
        os.chmod(self.key, 0o600)

    def context(self):
        context = ssl.create_default_context(cafile=self.certificate)
        context.set_alpn_protocols(["http/1.1"])
        return context


def has_tls():
    """Whether this weft can speak TLS, and openssl(1) is there to make a certificate."""
    if shutil.which("openssl") is None:
        return False
    found = subprocess.run([WEFT, "web", ".", "--tls-cert", "/dev/null"], capture_output=True)
    return b"built without TLS" not in found.stderr


class SecureSocket:
    """A socket's calls over TLS. An end that the server has not said is a reset; shutdown says ours."""

    def __init__(self, sock, context, host):
        self.sock, self.into, self.out = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_hostname=host)
        self.drive(self.tls.do_handshake)

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def drive(self, call, *arguments):
        while True:
            try:
                result = call(*arguments)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if data:
                    self.into.write(data)
                else:
                    self.into.write_eof()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError as e:
                raise ConnectionResetError("cut without the end of the session") from e

    def flush(self):
        if self.out.pending:
            self.sock.sendall(self.out.read())

    def sendall(self, data):
        self.drive(self.tls.write, data) if data else None

    def recv(self, size):
        return self.drive(self.tls.read, size)

    def shutdown(self, how):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # the server's end comes later
        self.flush()
        self.sock.shutdown(how)


class Answer:
    def __init__(self, status, reason, fields, body):
        self.status, self.reason, self.fields, self.body = status, reason, fields, body

    def __getitem__(self, name):
        values = [v for n, v in self.fields if n == name.lower()]
        check(len(values) <= 1, f"{name} comes {len(values)} times")
        return values[0] if values else None


STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) ([A-Za-z][A-Za-z0-9 -]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT")


class Client:
    """One connection; reads answers and checks what every answer has to be."""

    def __init__(self, server, timeout=10, source=None):
        self.socket = server.connect(timeout) if source is None else server.connect(timeout, source)
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def fill(self):
        """More bytes; False at the end of the connection."""
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            raise Failure("the connection was reset")
        except socket.timeout:
            raise Failure(f"no answer (so far {bytes(self.buffer[:200])!r})")
        self.buffer += data
        return data != b""

    def take(self, n):
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def answer(self, method="GET"):
        """The next answer; None if the connection has ended before it."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                check(self.buffer == b"", f"a cut head: {bytes(self.buffer[:200])!r}")
                return None
        end = self.buffer.index(b"\r\n\r\n")
        head = self.take(end + 4)[:end]
        status_line, *lines = head.split(b"\r\n")
        found = STATUS_LINE.fullmatch(status_line)
        check(found, f"status line {status_line!r}")
        fields = []
        for line in lines:
            field = FIELD_LINE.fullmatch(line)
            check(field, f"field line {line!r}")
            fields.append((field[1].decode().lower(), (field[2] or b"").decode("latin-1")))
        answer = Answer(int(found[1]), found[2].decode(), fields, b"")
        if answer.status == 100:
            check(not fields, "100 with fields")
            return answer
        self.check_head(answer)
        length = answer["Content-Length"]
        if method != "HEAD" and answer.status not in (204, 304):
            check(length is not None, f"{answer.status} without Content-Length")
            while len(self.buffer) < int(length):
                check(self.fill(), f"body cut at {len(self.buffer)} of {length} bytes")
            answer.body = self.take(int(length))
        return answer

    @staticmethod
    def check_head(a):
        for name in ("Content-Length", "Date", "Server", "Content-Type", "ETag", "Last-Modified", "Location",
                     "Content-Range", "Connection", "Vary", "Content-Encoding", "Accept-Ranges", "Allow"):
            a[name]  # at most once
        check(a["Date"] and DATE.fullmatch(a["Date"]), f"Date: {a['Date']}")
        check(a["Transfer-Encoding"] is None, "a chunked answer")
        if a["Content-Length"] is not None:
            check(a["Content-Length"].isdigit(), f"Content-Length: {a['Content-Length']}")
        check(a.status != 204 or a["Content-Length"] is None, "204 with Content-Length")
        check(a.status != 405 or a["Allow"], "405 without Allow")
        check(a.status != 416 or re.fullmatch(r"bytes \*/\d+", a["Content-Range"] or ""), "416 without Content-Range")
        check(a.status != 206 or a["Content-Range"] or "multipart/byteranges" in (a["Content-Type"] or ""), "206 of what?")
        check(a.status != 301 or a["Location"], "301 without Location")

    def at_end(self, timeout=5):
        """Does the connection end without another byte?"""
        self.socket.settimeout(timeout * PATIENCE)
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except socket.timeout:
            return False
        except ConnectionResetError:
            raise Failure("the connection was reset instead of closed")


def get(server, path, fields="", method="GET"):
    """One request on a connection of its own."""
    with Client(server) as c:
        c.send(f"{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{fields}\r\n")
        answer = c.answer(method)
        check(answer is not None, f"{method} {path}: closed without an answer")
        return answer


class Tree:
    """A temporary directory as a context; gone afterwards."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="weft-web-")
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.path, ignore_errors=True)

    def write(self, name, data):
        full = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        return full


def run(cases, *arguments):
    """Run every (name, function); print the failing ones and a summary line; exit 0 or 1."""
    passed = failed = 0
    for name, case in cases:
        start = time.monotonic()
        try:
            case(*arguments)
            passed += 1
        except (Failure, OSError) as e:
            failed += 1
            print(f"FAIL {name}: {e}", flush=True)
        took = time.monotonic() - start
        if os.environ.get("WEFT_TEST_VERBOSE"):
            print(f"{took:6.2f} s  {name}", flush=True)
    print(f"{passed} passed, {failed} failed, 0 skipped", flush=True)
    sys.exit(1 if failed or not passed else 0)

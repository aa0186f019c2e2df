#!/usr/bin/env python3
"""Routes, request bodies, answers in chunks, event streams and WebSockets, on examples/api_server under
every model, plain and over TLS (X-08, S001-129, S001-130)."""

import base64
import hashlib
import os
import re
import select
import struct
import subprocess
import sys

from web import Certificate, Client, Failure, PATIENCE, SecureSocket, Tree, check, has_tls, run

MODELS = ("iterative", "process", "thread", "prefork", "pool", "select", "poll", "epoll", "epoll-et", "coroutine", "uring")
BINARY = os.path.join(os.environ.get("WEFT_BUILD", "build"), "examples", "api_server")


class Service:
    """The example as a context, with what web.Client asks of a server."""

    def __init__(self, model, tls=None):
        self.model, self.tls = model, tls

    def __enter__(self):
        command = [BINARY, "0", self.model, *([self.tls.certificate, self.tls.key] if self.tls else [])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ready, _, _ = select.select([self.process.stdout], [], [], 20 * PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.fullmatch(r"http%s://(.*):(\d+)/\n" % ("s" if self.tls else ""), line)
        if not found:
            self.process.kill()
            raise Failure(f"no URL but {line!r}; {self.process.communicate()[1]!r}")
        self.host, self.port = found[1], int(found[2])
        return self

    def __exit__(self, *exc):
        ended = self.process.poll()
        self.process.terminate()
        _, errors = self.process.communicate(timeout=30 * PATIENCE)
        if exc[0] is None:
            check(ended is None, f"the server ended by itself: {errors.decode()}")

    def connect(self, timeout=10):
        import socket
        s = socket.create_connection((self.host, self.port), timeout=timeout * PATIENCE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return SecureSocket(s, self.tls.context(), "localhost") if self.tls else s


def head_and_rest(c):
    """The next head as (status, {field: value}), whatever its framing; the rest stays unread."""
    while b"\r\n\r\n" not in c.buffer:
        check(c.fill(), f"closed in a head: {bytes(c.buffer[:200])!r}")
    lines = c.take(c.buffer.index(b"\r\n\r\n") + 4)[:-4].decode("latin-1").split("\r\n")
    fields = dict((n.lower(), v) for n, v in (line.split(": ", 1) for line in lines[1:]))
    return int(lines[0].split()[1]), fields


def exactly(c, n):
    while len(c.buffer) < n:
        check(c.fill(), f"closed after {len(c.buffer)} of {n} bytes")
    return c.take(n)


def chunks(c):
    """A chunked body, strictly."""
    body = b""
    while True:
        while b"\r\n" not in c.buffer:
            check(c.fill(), "closed in a chunk's head")
        line = c.take(c.buffer.index(b"\r\n") + 2)[:-2]
        check(re.fullmatch(rb"[0-9a-f]+", line), f"a chunk's size: {line!r}")
        data = exactly(c, int(line, 16) + 2)
        check(data.endswith(b"\r\n"), "a chunk without its end")
        if len(data) == 2:
            return body
        body += data[:-2]


def ask(c, head, body=b""):
    c.send(head.replace("\n", "\r\n") + "\r\nHost: t\r\n\r\n")
    if body:
        c.send(body)


def put(c, name, body, fields=""):
    ask(c, f"PUT /notes/{name} HTTP/1.1\nContent-Length: {len(body)}{fields}", body)
    return c.answer()


# ---- routes and bodies ----

def notes(service):
    with Client(service) as c:
        check(put(c, "a", b"first").status == 201, "PUT of a new note")
        check(put(c, "a", b"second").status == 204, "PUT of one that is there")
        check(put(c, "b%20c", b"").status == 201, "PUT without a byte")
        ask(c, "GET /notes/a HTTP/1.1")
        a = c.answer()
        check((a.status, a.body) == (200, b"second"), f"GET: {a.status} {a.body!r}")
        ask(c, "HEAD /notes/a HTTP/1.1")
        a = c.answer("HEAD")
        check((a.status, a["Content-Length"]) == (200, "6"), "HEAD")
        ask(c, "GET /notes/ HTTP/1.1")
        status, fields = head_and_rest(c)
        check(status == 200 and fields.get("transfer-encoding") == "chunked", f"list: {status} {fields}")
        check(sorted(chunks(c).split(b"\n")[:-1]) == [b"a", b"b c"], "the list of notes")
        ask(c, "HEAD /notes/ HTTP/1.1")
        status, fields = head_and_rest(c)
        check(status == 200, "HEAD of a chunked answer")
        for method, path, expected in (("POST", "/notes/a", 405), ("BREW", "/notes/a", 405), ("GET", "/no", 404),
                                       ("OPTIONS", "/notes/a", 204), ("GET", "/notes/%2e%2e/notes/a", 200),
                                       ("GET", "/notes", 404), ("DELETE", "/notes/a", 204), ("DELETE", "/notes/a", 404)):
            ask(c, f"{method} {path} HTTP/1.1")
            a = c.answer()
            check(a.status == expected, f"{method} {path}: {a.status}")
            if expected == 405 or method == "OPTIONS":
                check(a["Allow"] == "GET, HEAD, PUT, DELETE", f"Allow: {a['Allow']}")
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):  # where there are no files either
            for path in ("/no", "/notes/x%2Fy", "/notes/%00"):
                ask(c, f"{method} {path} HTTP/1.1")
                a = c.answer(method)
                check((a.status, a["Allow"]) == (404, None), f"{method} {path}: {a.status}, {a['Allow']}")
        ask(c, "OPTIONS * HTTP/1.1")
        check(c.answer().status == 204, "OPTIONS of the whole server")


def old_client(service):
    with Client(service) as c:
        c.send("GET /notes/ HTTP/1.0\r\n\r\n")
        status, fields = head_and_rest(c)
        check(status == 200 and "transfer-encoding" not in fields and fields["connection"] == "close", f"{fields}")
        while c.fill():
            pass


def pipelined(service):
    with Client(service) as c:
        c.send(b"".join(b"PUT /notes/p%d HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n%d" % (i, i) for i in range(10)) +
               b"".join(b"GET /notes/p%d HTTP/1.1\r\nHost: t\r\n\r\n" % i for i in range(10)))
        check([c.answer().status for _ in range(10)] == [201] * 10, "ten puts at once")
        check(b"".join(c.answer().body for _ in range(10)) == b"0123456789", "ten gets at once")


def bodies(service):
    large = os.urandom(700000)
    with Client(service) as c:
        check(put(c, "large", large).status == 201, "a large body")
        ask(c, "PUT /notes/chunked HTTP/1.1\nTransfer-Encoding: chunked")
        for at in range(0, len(large), 50000):
            piece = large[at:at + 50000]
            c.send(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
        c.send(b"0\r\nTrailer: x\r\n\r\n")
        check(c.answer().status == 201, "a chunked body")
        for name in ("large", "chunked"):
            ask(c, f"GET /notes/{name} HTTP/1.1")
            check(c.answer().body == large, f"what came back of {name}")
    with Client(service) as c:  # byte by byte
        for b in b"PUT /notes/slow HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n":
            c.send(bytes([b]))
        check(c.answer().status == 201, "byte by byte")
        ask(c, "GET /notes/slow HTTP/1.1")
        check(c.answer().body == b"abcdefg", "byte by byte")
    with Client(service) as c:
        ask(c, "PUT /notes/x HTTP/1.1\nContent-Length: 5\nExpect: 100-continue")
        check(c.answer().status == 100, "100 is awaited")
        c.send(b"hello")
        check(c.answer().status == 201, "after 100")


def bad_bodies(service):
    with Client(service) as c:
        ask(c, f"PUT /notes/x HTTP/1.1\nContent-Length: {(1 << 20) + 1}")
        a = c.answer()
        check((a.status, a["Connection"]) == (413, "close"), f"too large: {a.status}")
    with Client(service) as c:
        ask(c, "PUT /notes/x HTTP/1.1\nTransfer-Encoding: chunked")
        try:
            for _ in range(40):
                c.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        a = c.answer()
        check((a.status, a["Connection"]) == (413, "close"), f"too large in chunks: {a.status}")
    with Client(service) as c:
        ask(c, "PUT /notes/x HTTP/1.1\nTransfer-Encoding: chunked", b"zz\r\n")
        a = c.answer()
        check((a.status, a["Connection"]) == (400, "close") and c.at_end(), f"malformed chunks: {a.status}")
    with Client(service) as c:  # a body that nobody reads must not become a request
        ask(c, "DELETE /notes/none HTTP/1.1\nContent-Length: 37", b"GET /notes/evil HTTP/1.1\r\nHost: t\r\n\r\n")
        check(c.answer().status == 404, "DELETE with a body")
        ask(c, "GET /countdown?from=0 HTTP/1.1")
        status, _ = head_and_rest(c)
        check(status == 200 and b"data: 0" in chunks(c), "the request behind an unread body")
    for method, path, status in (("DELETE", "/notes/none", 404), ("POST", "/notes/x", 405), ("OPTIONS", "/notes/x", 204)):
        with Client(service) as c:  # too large to be read, and nobody has tried: the answer says that it is the last
            ask(c, f"{method} {path} HTTP/1.1\nContent-Length: {(1 << 20) + 1}")
            a = c.answer()
            check((a.status, a["Connection"]) == (status, "close"), f"{method} with a large body: {a.status} {a.fields}")
            check(c.at_end(), f"{method} with a large body: the connection goes on")
    with Client(service) as c:  # it waits for 100 and is refused: nobody knows what follows
        ask(c, "DELETE /notes/none HTTP/1.1\nContent-Length: 5\nExpect: 100-continue")
        a = c.answer()
        check((a.status, a["Connection"]) == (404, "close") and c.at_end(), f"refused before 100: {a.status}")


def gone(service):
    for data in (b"PUT /notes/gone HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc", b"GET /countdown?from=1000000 HTTP/1.1\r\nHost: t\r\n\r\n"):
        with Client(service) as c:
            c.send(data)
            if data.startswith(b"GET"):
                head_and_rest(c)
    with Client(service) as c:
        ask(c, "GET /notes/gone HTTP/1.1")
        check(c.answer().status == 404, "half a body became a note")


# ---- events ----

def events(service):
    with Client(service) as c:
        ask(c, "GET /countdown?x=1&from=%32 HTTP/1.1")
        status, fields = head_and_rest(c)
        check((status, fields["content-type"], fields["cache-control"]) == (200, "text/event-stream", "no-store"), f"{fields}")
        check(chunks(c) == b"event: count\nid: 0\ndata: 2\n\nevent: count\nid: 1\ndata: 1\n\nevent: count\nid: 2\ndata: 0\n\n",
              "the events")
        ask(c, "GET /countdown?from=0 HTTP/1.1")
        check(head_and_rest(c)[0] == 200 and chunks(c) == b"event: count\nid: 0\ndata: 0\n\n", "the connection goes on")


# ---- WebSockets ----

def frame(opcode, data=b"", fin=True, mask=b"\x11\x22\x33\x44"):
    n = len(data)
    size = bytes([128 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
    return bytes([(128 if fin else 0) | opcode]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


def next_frame(c):
    first, second = exactly(c, 2)
    check(first & 0x70 == 0 and second & 128 == 0, "a frame that no server may send")
    n = second & 127
    if n == 126:
        n = struct.unpack(">H", exactly(c, 2))[0]
        check(n >= 126, "not the shortest form")
    elif n == 127:
        n = struct.unpack(">Q", exactly(c, 8))[0]
        check(n >= 65536, "not the shortest form")
    return first, exactly(c, n)


def handshake(c, fields="", key=None):
    key = key or base64.b64encode(os.urandom(16)).decode()
    ask(c, f"GET /echo HTTP/1.1\nUpgrade: WebSocket\nConnection: keep-alive, Upgrade\nSec-WebSocket-Version: 13\n"
           f"Sec-WebSocket-Key: {key}{fields}")
    return key


def open_socket(c, fields=""):
    key = handshake(c, fields)
    status, answer = head_and_rest(c)
    check(status == 101, f"no handshake: {status}")
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    check(answer["sec-websocket-accept"] == accept, "the accepted key")
    check((answer["upgrade"], answer["connection"]) == ("websocket", "Upgrade"), f"{answer}")
    return answer


def close_code(c):
    first, data = next_frame(c)
    check(first == 0x88, f"{first:#x} where a close was expected")
    return struct.unpack(">H", data[:2])[0] if data else None


def echoes(service):
    with Client(service) as c:
        answer = open_socket(c, "\nSec-WebSocket-Protocol: chat, echo\nOrigin: http://t")
        check(answer["sec-websocket-protocol"] == "echo", "the subprotocol")
        for size in (0, 1, 125, 126, 65535, 65536, 300000):
            data = os.urandom(size)
            c.send(frame(2, data))
            check(next_frame(c) == (0x82, data), f"an echo of {size} bytes")
        text = "Grüße, 世界 🧶".encode()
        c.send(frame(1, text))
        check(next_frame(c) == (0x81, text), "text")
        c.send(frame(1, text[:3], fin=False) + frame(9, b"ping") + frame(0, text[3:5], fin=False) + frame(10, b"pong") +
               frame(0, text[5:]))
        check(next_frame(c) == (0x8a, b"ping"), "a pong amid fragments")
        check(next_frame(c) == (0x81, text), "fragments")
        for b in frame(1, b"slow"):
            c.send(bytes([b]))
        check(next_frame(c) == (0x81, b"slow"), "byte by byte")
        c.send(b"".join(frame(1, b"%d" % i) for i in range(200)))
        check([next_frame(c)[1] for i in range(200)] == [b"%d" % i for i in range(200)], "two hundred at once")
        c.send(frame(8, struct.pack(">H", 1000) + b"bye"))
        check(close_code(c) == 1000 and c.at_end(), "the closing handshake")
    with Client(service) as c:
        open_socket(c)
        c.send(frame(8))
        check(close_code(c) is None and c.at_end(), "a close without a code")


def breaks(service):
    for name, data, code in (
            ("not masked", b"\x81\x01a", 1002), ("a reserved bit", frame(0x41, b""), 1002),
            ("a reserved opcode", frame(3), 1002), ("a continuation of nothing", frame(0, b"x"), 1002),
            ("a message within a message", frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
            ("a ping in pieces", frame(9, b"", fin=False), 1002), ("a long ping", frame(9, bytes(126)), 1002),
            ("no UTF-8", frame(1, b"\xc3\x28"), 1007), ("half a letter", frame(1, b"\xf0\x9f\xa7"), 1007),
            ("too large", b"\x82\xff" + struct.pack(">Q", (1 << 20) + 1) + b"mask", 1009),
            ("too large in pieces", frame(2, bytes(1 << 20), fin=False) + frame(0, b"x"), 1009),
            ("a code that is none", frame(8, struct.pack(">H", 1005)), 1002), ("half a code", frame(8, b"\x03"), 1002),
            ("a reason that is no UTF-8", frame(8, struct.pack(">H", 1000) + b"\xff"), 1007)):
        with Client(service) as c:
            open_socket(c)
            c.send(data)
            got = close_code(c)
            check(got == code, f"{name}: {got}, not {code}")
            check(c.at_end(), f"{name}: the connection goes on")


def handshakes_refused(service):
    for name, edit, status in (
            ("another version", lambda h: h.replace("Version: 13", "Version: 8"), 426),
            ("no key", lambda h: re.sub("\nSec-WebSocket-Key: [^\n]*", "", h), 400),
            ("a short key", lambda h: re.sub("Key: [^\n]*", "Key: abc", h), 400),
            ("no upgrade", lambda h: h.replace("Upgrade: websocket\n", ""), 400),
            ("not in Connection", lambda h: h.replace("Connection: Upgrade", "Connection: keep-alive"), 400),
            ("another site's page", lambda h: h + "\nOrigin: http://evil", 403),
            ("HTTP/1.0", lambda h: h.replace("HTTP/1.1", "HTTP/1.0"), 400)):
        with Client(service) as c:
            ask(c, edit("GET /echo HTTP/1.1\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
            a = c.answer()
            check(a.status == status, f"{name}: {a.status}")
            if status == 426:  # RFC 9110 15.5.22, 7.8
                check((a["Sec-WebSocket-Version"], a["Upgrade"], a["Connection"]) == ("13", "websocket", "Upgrade"),
                      f"what 426 says: {a.fields}")


def vanishing(service):
    whole = frame(1, b"hello") + frame(2, bytes(300)) + frame(8, struct.pack(">H", 1000))
    for cut in range(0, len(whole), 7):
        with Client(service) as c:
            open_socket(c)
            c.send(whole[:cut])
    with Client(service) as c:
        open_socket(c)
        c.send(frame(1, b"still there"))
        check(next_frame(c) == (0x81, b"still there"), "after all that")


CASES = [(f.__name__, f) for f in (notes, old_client, pipelined, bodies, bad_bodies, gone, events, echoes, breaks,
                                   handshakes_refused, vanishing)]


def every(case, tls):
    def run_every():
        for model in MODELS:
            try:
                with Service(model, tls) as service:
                    case(service)
            except (Failure, OSError) as e:
                raise Failure(f"{model}{' over TLS' if tls else ''}: {e}") from e
    return run_every


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(__file__))
    with Tree() as t:
        ways = [(None, "")] + ([(Certificate(t.path), "_over_tls")] if has_tls() else [])
        run([(name + suffix, every(case, tls)) for tls, suffix in ways for name, case in CASES])

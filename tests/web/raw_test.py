#!/usr/bin/env python3
"""Raw requests against `weft web`, under every poller and model. raw_cases.py has the table of single requests; here are
the cases that need the answer of one request for the next, and those about time."""

import concurrent.futures
import email.utils
import gzip
import os
import re
import socket
import sys
import time

from raw_cases import A, CLOSE, END, FRAMING, KEEP, METHODS, TARGETS, TYPES, H, request
from web import Certificate, Client, Failure, PATIENCE, Server, Tree, check, get, has_tls

TEXT = b"".join(b"line %d of a text that compresses well\n" % i for i in range(400))


def build(t):
    t.write("index.html", "<p>root</p>\n")
    t.write("a.txt", A)
    t.write("empty.txt", "")
    t.write("text.txt", TEXT)
    t.write("digits.bin", bytes(range(256)) * 4)
    t.write("large.bin", os.urandom(300000))
    t.write("dir/index.html", "<p>dir</p>\n")
    t.write("dir/b.txt", "b\n")
    t.write("bare/file.txt", "x")
    t.write("odd <dir>/index.html", "odd")
    t.write("with space+.txt", "x")
    t.write(".secret", "x")
    t.write(".git/config", "x")
    t.write(".well-known/x", "x")
    t.write("n" * 255, "x")
    t.write(b"latin\xe4.txt".decode("utf-8", "surrogateescape"), "x")
    t.write("\u00e4\U0001f9f6.txt", "x")
    t.write("new\nline.txt", "x")
    t.write("what?.txt", "x")
    t.write("~a&b;c=d.txt", "x")
    for e in ("html css js json svg png jpg wasm txt pdf woff2 mp4 unknown-extension PNG").split():
        t.write(f"types/x.{e}", "x")
    t.write("pre.css", TEXT)
    t.write("pre.css.gz", gzip.compress(b"precompressed: " + TEXT))
    t.write("stale.css", TEXT)
    t.write("stale.css.gz", gzip.compress(b"too old"))
    os.utime(os.path.join(t.path, "stale.css.gz"), (1, 1))
    for name, size in (("to-come.txt", 10), ("to-come.bin", 200000)):
        os.utime(t.write(name, "x" * size), (4000000000, 4000000000))
    for name, to in (("inside.txt", "a.txt"), ("outside", "../../etc/passwd"), ("absolute", "/etc/passwd"),
                     ("outdir", "/etc"), ("loop", "loop")):
        os.symlink(to, os.path.join(t.path, name))
    os.mkfifo(os.path.join(t.path, "fifo"))
    s = socket.socket(socket.AF_UNIX)
    s.bind(os.path.join(t.path, "socket"))
    s.close()


# ---- the table ----

def run_case(server, case):
    _, data, expected, then, *looks = case
    with Client(server) as c:
        try:
            c.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of it was sent: what was answered is looked at below
        answers = []
        for e in expected:
            method = "HEAD" if isinstance(e, tuple) and "HEAD" in e else "GET"
            statuses = e if isinstance(e, tuple) else (e,)
            a = c.answer(method)
            check(a is not None, f"no answer, {statuses} expected")
            if a.status == 100 and 100 in statuses:
                a = c.answer()
            check(a.status in statuses, f"{a.status}, not {e}")
            answers.append(a)
        for look in looks:
            wrong = look(answers)
            check(not wrong, wrong)
        said = (answers[-1]["Connection"] or "").lower() == "close"
        if then == KEEP:
            check(not said, "Connection: close on an answer after which it could go on")
            c.send(request(target="/dir/b.txt"))
            a = c.answer()
            check(a and a.status == 200 and a.body == b"b\n", f"out of step: {a and a.status}")
        elif then == CLOSE:
            check(said, "no Connection: close on the last answer")
            check(c.at_end(), "not closed, or more was answered")
        else:
            check(not said or c.at_end(), "said close and did not")


# ---- conditions and ranges ----

def expect(server, path, fields, status, body=None, method="GET", **wanted):
    a = get(server, path, fields, method)
    check(a.status == status, f"{fields!r}: {a.status}, not {status}")
    if body is not None:
        check(a.body == body, f"{fields!r}: body {a.body[:60]!r}, not {body[:60]!r}")
    for name, value in wanted.items():
        found = a[name.replace("_", "-")]
        check(found == value, f"{fields!r}: {name} is {found!r}, not {value!r}")
    return a


def date(seconds):
    return email.utils.formatdate(seconds, usegmt=True)


def long_lines(name):
    return f'{name}: "{"x" * 900}"\r\n' * 3


def conditions(server):
    a = get(server, "/a.txt")
    tag, modified = a["ETag"], a["Last-Modified"]
    at = email.utils.parsedate_to_datetime(modified).timestamp()
    check(re.fullmatch(r'"[^"]+"', tag), f"ETag {tag} is not strong")
    earlier, later = date(at - 100), date(at + 100)
    rfc850 = time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(at))
    asctime = time.asctime(time.gmtime(at))
    for fields, status in [
        (f"If-None-Match: {tag}\r\n", 304), ("If-None-Match: *\r\n", 304), ('If-None-Match: "x"\r\n', 200),
        (f'If-None-Match: "x", {tag}\r\n', 304), (f'If-None-Match: "x"\r\nIf-None-Match: {tag}\r\n', 304),
        (f"If-None-Match: W/{tag}\r\n", 304), (f"If-None-Match: {tag[1:-1]}\r\n", 200), ('If-None-Match: "x\r\n', 200),
        (f"If-None-Match: , {tag}\r\n", 304),
        (f"If-Modified-Since: {modified}\r\n", 304), (f"If-Modified-Since: {later}\r\n", 304),
        (f"If-Modified-Since: {earlier}\r\n", 200), ("If-Modified-Since: yesterday\r\n", 200),
        (f"If-Modified-Since: {rfc850}\r\n", 304), (f"If-Modified-Since: {asctime}\r\n", 304),
        (f'If-None-Match: "x"\r\nIf-Modified-Since: {modified}\r\n', 200),
        (f"If-None-Match: {tag}\r\nIf-Modified-Since: {earlier}\r\n", 304),
        (f"If-Match: {tag}\r\n", 200), ("If-Match: *\r\n", 200), ('If-Match: "x"\r\n', 412),
        (f"If-Match: W/{tag}\r\n", 412), (f'If-Match: "x", {tag}\r\n', 200),
        (f"If-Unmodified-Since: {modified}\r\n", 200), (f"If-Unmodified-Since: {later}\r\n", 200),
        (f"If-Unmodified-Since: {earlier}\r\n", 412), ("If-Unmodified-Since: never\r\n", 200),
        (f"If-Match: {tag}\r\nIf-Unmodified-Since: {earlier}\r\n", 200),
        (f"If-Match: {tag}\r\nIf-None-Match: {tag}\r\n", 304),
        (f'If-Match: "x"\r\nIf-None-Match: {tag}\r\n', 412),
        # Longer than is put together of several lines: there all the same.
        (long_lines("If-Match"), 412),
        (f"{long_lines('If-None-Match')}If-Modified-Since: {later}\r\n", 200),
    ]:
        expect(server, "/a.txt", fields, status)
        expect(server, "/a.txt", fields, status, method="HEAD")
    a = expect(server, "/a.txt", f"If-None-Match: {tag}\r\n", 304, b"", ETag=tag)
    check(a["Content-Length"] in (None, str(len(A))), "304 with another Content-Length")
    expect(server, "/none", "If-None-Match: *\r\n", 404)
    expect(server, "/none", "If-Match: *\r\n", 404)
    expect(server, "/text.txt", f"If-None-Match: {get(server, '/text.txt')['ETag']}\r\n", 304, Vary="Accept-Encoding")


def modified_in_time_to_come(server):
    """RFC 9110 8.8.2.1: Last-Modified is not after Date; a date that was given for want of a better names no version."""
    for path in ("/to-come.txt", "/to-come.bin"):
        a = get(server, path)
        said, now = (email.utils.parsedate_to_datetime(a[name]).timestamp() for name in ("Last-Modified", "Date"))
        check(said <= now + 1, f"{path}: modified {said - now} s after Date")  # it was loaded, and a second began
        check("2096" not in get(server, path, "Range: bytes=0-0\r\n")["Last-Modified"], f"{path}: nor with a part")
        expect(server, path, f"Range: bytes=0-0\r\nIf-Range: {a['Last-Modified']}\r\n", 200)
        expect(server, path, f"Range: bytes=0-0\r\nIf-Range: {a['ETag']}\r\n", 206)


def ranges(server):
    data = bytes(range(256)) * 4
    a = get(server, "/digits.bin")
    tag, modified = a["ETag"], a["Last-Modified"]
    check(a["Accept-Ranges"] == "bytes", "no Accept-Ranges")
    for value, first, last in [
        ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=100-199", 100, 199), ("bytes=1000-", 1000, 1023),
        ("bytes=-1", 1023, 1023), ("bytes=-24", 1000, 1023), ("bytes=-5000", 0, 1023), ("bytes=1000-5000", 1000, 1023),
        ("bytes=0-", 0, 1023), ("bytes=0-18446744073709551615", 0, 1023), ("Bytes=0-0", 0, 0),
        ("bytes=0-9,5-14", 0, 14), ("bytes=0-9,10-19", 0, 19), ("bytes=, 0-9", 0, 9), ("bytes=0-9,5000-", 0, 9),
    ]:
        expect(server, "/digits.bin", f"Range: {value}\r\n", 206, data[first:last + 1],
               Content_Range=f"bytes {first}-{last}/1024", ETag=tag, Content_Type="application/octet-stream")
    for value in ["bytes=1024-", "bytes=5000-6000", "bytes=-0", "bytes=99999999999999999999-"]:
        expect(server, "/digits.bin", f"Range: {value}\r\n", 416, Content_Range="bytes */1024")
    for value in ["bytes=5-2", "bytes=a-b", "bytes=", "bytes=-", "bytes", "lines=0-1", "bytes=0-0x", "bytes=0 - 1",
                  "bytes=--1", "bytes=1-2-3", "bytes=" + ",".join(f"{i * 3}-{i * 3}" for i in range(17))]:
        expect(server, "/digits.bin", f"Range: {value}\r\n", 200, data)
    expect(server, "/digits.bin", "Range: bytes=0-1\r\nRange: bytes=4-5\r\n", 200, data)
    expect(server, "/digits.bin", "Range: bytes=0-1\r\n", 200, method="HEAD", Content_Length="1024")
    expect(server, "/empty.txt", "Range: bytes=0-\r\n", 416, Content_Range="bytes */0")
    expect(server, "/none", "Range: bytes=0-1\r\n", 404)
    for fields, status in [
        (f"If-Range: {tag}\r\n", 206), (f"If-Range: W/{tag}\r\n", 200), ('If-Range: "x"\r\n', 200),
        (f"If-Range: {modified}\r\n", (200, 206)), ("If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200), ("If-Range: x\r\n", 200),
        ('If-Match: "x"\r\n', 412), (f"If-None-Match: {tag}\r\n", 304), (long_lines("If-Range"), 200),
    ]:
        a = get(server, "/digits.bin", "Range: bytes=0-9\r\n" + fields)
        check(a.status in (status if isinstance(status, tuple) else (status,)), f"{fields!r}: {a.status}, not {status}")


def multipart(server):
    for path, data in (("/digits.bin", bytes(range(256)) * 4), ("/large.bin", server.large)):
        a = get(server, path, "Range: bytes=0-9, 500-509, -10\r\n")
        check(a.status == 206, f"{a.status}")
        found = re.fullmatch(r"multipart/byteranges; boundary=([a-z0-9]+)", a["Content-Type"])
        check(found and a["Content-Range"] is None, f"{a['Content-Type']}")
        parts = a.body.split(b"\r\n--" + found[1].encode())
        check(len(parts) == 5 and parts[0] == b"" and parts[4] == b"--\r\n", "not three parts")
        size = len(data)
        for part, (first, last) in zip(parts[1:4], [(0, 9), (500, 509), (size - 10, size - 1)]):
            head, content = part.split(b"\r\n\r\n", 1)
            check(f"Content-Range: bytes {first}-{last}/{size}".encode() in head, f"{head}")
            check(b"Content-Type: " in head, f"{head}")
            check(content == data[first:last + 1], "wrong bytes in a part")
    a = get(server, "/digits.bin", "Range: bytes=" + ",".join(["0-1023"] * 16) + "\r\n")
    check(len(a.body) <= 1024 + 400, f"{len(a.body)} bytes for a file of 1024")


def coding(server):
    plain = get(server, "/text.txt")
    check(plain.body == TEXT and plain["Content-Encoding"] is None, "identity")
    check(plain["Vary"] == "Accept-Encoding", f"Vary: {plain['Vary']}")
    zipped = get(server, "/text.txt", "Accept-Encoding: gzip, deflate, br\r\n")
    check(zipped["Content-Encoding"] == "gzip" and gzip.decompress(zipped.body) == TEXT, "gzip")
    check(zipped["Vary"] == "Accept-Encoding", "gzip without Vary")
    check(zipped["ETag"] != plain["ETag"], "both forms have one entity tag")
    head = get(server, "/text.txt", "Accept-Encoding: gzip\r\n", "HEAD")
    check(head["Content-Length"] == zipped["Content-Length"] and head["Content-Encoding"] == "gzip", "HEAD of gzip")
    for value, form in [("gzip;q=0", None), ("gzip;q=0.5, identity;q=1", None), ("identity", None), ("br", None), ("", None),
                        ("*", "gzip"), ("x-gzip", "gzip"), ("GZIP", "gzip"), ("gzip;q=0.001", "gzip"), ("*;q=0.5", "gzip"),
                        ("deflate, gzip;q=1.0", "gzip"), ("gzip;q=abc", None)]:
        a = get(server, "/text.txt", f"Accept-Encoding: {value}\r\n")
        if value in ("gzip;q=0.001", "*;q=0.5"):  # identity is as good, or nothing is said of it
            check(a.status == 200, f"{value}: {a.status}")
        else:
            check(a.status == 200 and a["Content-Encoding"] == form, f"{value}: {a['Content-Encoding']}")
    a = get(server, "/text.txt", "Accept-Encoding: identity;q=0\r\n")
    check(a.status in (406, 200), f"nothing acceptable: {a.status}")
    a = get(server, "/text.txt", "Accept-Encoding: gzip\r\nRange: bytes=0-9\r\n")
    check(a.status == 206 and a.body == TEXT[:10] and a["Content-Encoding"] is None, "a range is of the identity form")
    check(get(server, "/text.txt", f"Accept-Encoding: gzip\r\nIf-None-Match: {zipped['ETag']}\r\n").status == 304, "304 of gzip")
    check(get(server, "/text.txt", f"If-None-Match: {zipped['ETag']}\r\n").status == 200, "a tag of the other form")
    for path in ("/digits.bin", "/a.txt", "/empty.txt", "/types/x.png"):
        a = get(server, path, "Accept-Encoding: gzip\r\n")
        check(a["Content-Encoding"] is None, f"{path} compressed")
    a = get(server, "/pre.css", "Accept-Encoding: gzip\r\n")
    check(gzip.decompress(a.body) == b"precompressed: " + TEXT, "the .gz file was not taken")
    check(a["Content-Type"] == "text/css; charset=utf-8" and a["Content-Encoding"] == "gzip", f"{a['Content-Type']}")
    check(get(server, "/pre.css").body == TEXT, "identity beside a .gz file")
    a = get(server, "/stale.css", "Accept-Encoding: gzip\r\n")
    check(gzip.decompress(a.body) == TEXT, "an old .gz file was taken")


# ---- pieces, pauses, halves ----

def two_answers(server, pieces, pause):
    """Send the pieces one by one; again, until that took less than the second that the server gives a head."""
    for _ in range(20):
        with Client(server) as c:
            start = time.monotonic()
            try:
                for piece in pieces:
                    c.send(piece)
                    time.sleep(pause)
            except OSError:
                continue
            if time.monotonic() - start < 0.5:
                return c.answer(), c.answer()
    raise Failure("the machine was too busy for twenty tries")


def byte_by_byte(server):
    data = request("Range: bytes=0-4\r\n") + request("Transfer-Encoding: chunked\r\n") + "5;x=y\r\nhello\r\n0\r\nT: t\r\n\r\n"
    a, b = two_answers(server, data, 0)
    check(a and a.status == 206 and a.body == A[:5], f"{a and a.status}")
    check(b and b.status == 200 and b.body == A, f"{b and b.status}")


def cut_anywhere(server):
    data = "\r\n" + request("X: y\r\nContent-Length: 3\r\n") + "abc" + request(target="/dir/b.txt")
    for cut in range(1, len(data), 3):
        a, b = two_answers(server, (data[:cut], data[cut:]), 0.001)
        check(a and b and a.status == b.status == 200 and b.body == b"b\n", f"cut at {cut}")


def vanish_anywhere(server):
    """Clients that leave in the middle of anything harm nobody."""
    data = request(target="/large.bin") + request("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n"
    for cut in range(0, len(data), 5):
        s = server.connect()
        s.sendall(data[:cut].encode())
        if cut % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        s.close()
    check(get(server, "/a.txt").body == A, "no longer served")


def half_close(server):
    with Client(server) as c:
        c.send(request() + request(target="/large.bin"))
        c.socket.shutdown(socket.SHUT_WR)
        a, b = c.answer(), c.answer()
        check(a and a.body == A and b and b.body == server.large, "answers to a client that sends no more")
        check(c.at_end(), "not closed")


def half_a_head(server):
    with Client(server) as c:
        c.send("GET /a.txt HTT")
        c.socket.shutdown(socket.SHUT_WR)
        a = c.answer()
        check(a is None or a.status == 400, "a cut head was answered")
    with Client(server) as c:
        c.send(request("Content-Length: 10\r\n") + "hello")
        c.socket.shutdown(socket.SHUT_WR)
        a = c.answer()
        check(a is None or a.status == 400, "a cut body was answered with success")


def continues(server):
    with Client(server) as c:
        c.send(request("Content-Length: 5\r\nExpect: 100-continue\r\n"))
        check(c.answer().status == 100, "no 100")
        c.send("hello")
        check(c.answer().status == 200, "no answer after the body")
        c.send(request(target="/dir/b.txt"))
        check(c.answer().body == b"b\n", "out of step after 100")


def refusal_is_read(server):
    """A client that still sends when it is refused gets the answer, not a reset."""
    with Client(server) as c:
        data = b"x" * 2000
        try:
            c.send("GET / HTTP/1.1\r\nContent-Length: 60000\r\nContent-Length: 1\r\n" + H + "\r\n")
            for _ in range(20):
                c.send(data)
        except OSError:
            pass
        a = c.answer()
        check(a and a.status == 400, "no 400")
        check(c.at_end(), "not closed")


def large_pipeline(server):
    """Many requests for a large file, read late: the server waits and does not hoard."""
    with Client(server, 20) as c:
        c.send(request(target="/large.bin") * 30)
        time.sleep(0.2)
        for _ in range(30):
            check(c.answer().body == server.large, "wrong bytes")


def slow_head(server):
    with Client(server) as c:
        c.send("GET /a.txt HTTP/1.1\r\nHost: t\r\n")
        start = time.monotonic()
        for _ in range(40):
            time.sleep(0.1)
            try:
                c.send("X: y\r\n")
            except OSError:
                break
            c.socket.setblocking(False)
            try:
                c.buffer += c.socket.recv(4096)
            except BlockingIOError:
                pass
            c.socket.settimeout(10)
            if c.buffer:
                break
        took = time.monotonic() - start
        a = c.answer()
        check(a and a.status == 408 and a["Connection"] == "close", f"{a and a.status} after {took:.1f} s")
        check(0.8 < took < 8 * PATIENCE, f"408 after {took:.1f} s, not 1")


def idle(server):
    with Client(server) as c:
        c.send(request())
        check(c.answer().status == 200, "no answer")
        start = time.monotonic()
        check(c.at_end(10), "an idle connection is not closed, or not silently")
        check(1 < time.monotonic() - start < 10 * PATIENCE, f"closed after {time.monotonic() - start:.1f} s, not 2")


CASES = [(c[0], lambda s, c=c: run_case(s, c)) for c in FRAMING + METHODS + TARGETS + TYPES] + [
    (f.__name__.replace("_", " "), f)
    for f in (conditions, modified_in_time_to_come, ranges, multipart, coding, byte_by_byte, cut_anywhere, vanish_anywhere,
              half_close, half_a_head, continues, refusal_is_read, large_pipeline, slow_head, idle)
]

SERVERS = [["--model", "thread"]] + [["--poller", p] for p in ("epoll", "epoll-et", "uring", "poll", "select")] + [
    ["--poller", "epoll", "--cache-size", "0"], ["--processes", "2", "--threads", "1"],
    # Where a client has a place for itself there are more of those than clients here: else it is told to close.
    ["--model", "pool", "--threads", "32"], ["--model", "prefork", "--processes", "32"], ["--model", "process"]]


# The same with TLS.
TLS_SERVERS = [["--model", "thread"], ["--poller", "epoll"], ["--poller", "uring"], ["--model", "process"]]


def run_server(tree, arguments, cases, tls):
    """Prints the failures; returns how many cases failed."""
    failed = 0
    with Server(tree.path, "--head-timeout", "1", "--idle-timeout", "2", *arguments, tls=tls) as server:
        with open(os.path.join(tree.path, "large.bin"), "rb") as f:
            server.large = f.read()

        if tls is not None:  # there it is not misdirected: see tls_test.py
            cases = [c for c in cases if c[0] != "absolute-form of https on plain TCP is misdirected"]

        def one(case):
            try:
                case[1](server)
            except (Failure, OSError) as e:
                return f"FAIL {case[0]} [{' '.join(arguments)}{' TLS' if tls else ''}]: {e}"
            return None

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            for text in pool.map(one, cases):
                if text:
                    failed += 1
                    print(text, flush=True)
    return failed


def main():
    only = sys.argv[1:]
    cases = [c for c in CASES if not only or any(o in c[0] for o in only)]
    check(len(set(c[0] for c in CASES)) == len(CASES), "two cases of one name")
    total = failed = 0
    with Tree() as tree, Tree() as keys:
        build(tree)
        time.sleep(0.5)  # a .gz file counts once nobody has written to it for a moment
        servers = [(a, None) for a in SERVERS]
        if has_tls():
            tls = Certificate(keys.path)
            servers += [(a, tls) for a in TLS_SERVERS]
        for arguments, tls in servers if "WEFT_ARGS" not in os.environ else [(os.environ["WEFT_ARGS"].split(), None)]:
            total += len(cases) + 1
            try:
                failed += run_server(tree, arguments, cases, tls)
            except Failure as e:  # it did not start, or did not end well
                failed += 1
                print(f"FAIL [{' '.join(arguments)}{' TLS' if tls else ''}]: {e}", flush=True)
    print(f"{len(cases)} cases, {total - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed or not cases else 0)


if __name__ == "__main__":
    main()

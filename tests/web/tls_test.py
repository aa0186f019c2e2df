#!/usr/bin/env python3
"""`weft web` over TLS: what Python's ssl and openssl(1) say of it, certificates by name, reloading them, and mistakes in
the options. The cases of raw_test.py run over TLS too."""

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading

from site_test import until
from web import WEFT, Certificate, Client, Failure, PATIENCE, SecureSocket, Server, Tree, check, get, has_tls, run


def shown(server, name, context=None):
    """The name of the certificate that is shown to who asks for this host."""
    context = context or ssl._create_unverified_context()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10 * PATIENCE) as s:
        found = SecureSocket(s, context, name).tls.getpeercert(binary_form=True)
        text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=found, capture_output=True)
        return text.stdout.decode().strip().split("=")[-1].strip()


def is_served():
    with Tree() as t, Tree() as k:
        t.write("index.html", "over TLS")
        t.write("large", os.urandom(3000000))
        tls = Certificate(k.path)
        with Server(t.path, tls=tls) as s:
            check(get(s, "/").body == b"over TLS", "the page")
            with open(os.path.join(t.path, "large"), "rb") as f:
                check(get(s, "/large").body == f.read(), "a large file")
            check(s.url.startswith("https://"), "the URL says https")
            check(get(s, "https://localhost/").body == b"over TLS", "an absolute target with https")
            for option, expected in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
                got = s_client(s, option, "-CAfile", tls.certificate, "-verify_return_error", "-servername", "localhost",
                               "-alpn", "h2,http/1.1", "-quiet")
                check(b"HTTP/1.1 200 OK" in got.stdout and got.stdout.endswith(b"over TLS"), f"{expected}: {got}")
            got = s_client(s, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            check(got.returncode != 0 and b"HTTP/1.1" not in got.stdout, "TLS 1.1 is refused")
            with socket.create_connection(("127.0.0.1", s.port)) as plain:
                plain.settimeout(10 * PATIENCE)
                plain.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                answer = b""
                while part := plain.recv(10000):
                    answer += part
                check(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"\r\nContent-Type: text/html" in answer and
                      b"This port speaks HTTPS: " in answer,
                      f"plain HTTP is answered by a plain 400: {answer}")
            check(get(s, "/").status == 200, "and the next is served")


def s_client(server, *options):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *options],
                          input=b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                          capture_output=True, timeout=30 * PATIENCE)


def sessions_are_resumed():
    with Tree() as t, Tree() as k:
        t.write("index.html", "x")
        tls = Certificate(k.path)
        for model in ("coroutine", "prefork"):
            with Server(t.path, "--model", model, tls=tls) as s:
                context, session = tls.context(), None
                for turn in range(3):
                    with socket.create_connection(("127.0.0.1", s.port), timeout=10 * PATIENCE) as sock:
                        c = context.wrap_socket(sock, server_hostname="localhost", session=session)
                        check(c.session_reused == (turn > 0), f"{model}: turn {turn}")
                        c.sendall(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                        while c.recv(65536):
                            pass
                        session = c.session


def names():
    with Tree() as t, Tree() as k:
        for host in ("a.example", "b.example", "default"):
            t.write(f"{host}/index.html", host)
        first = Certificate(k.path, "a", ("a.example", "www.a.example"))
        second = Certificate(k.path, "b", ("b.example", "*.b.example"))
        with Server(t.path, "--hosts", "--tls-cert", first.certificate, "--tls-key", first.key,
                    "--tls-cert", second.certificate, "--tls-key", second.key) as s:
            for name, expected in (("a.example", "a.example"), ("www.a.example", "a.example"), ("b.example", "b.example"),
                                   ("B.Example", "b.example"), ("x.b.example", "b.example"), ("x.y.b.example", "a.example"),
                                   ("other.example", "a.example"), (None, "a.example")):
                check(shown(s, name) == expected, f"{name} is shown {shown(s, name)}")
            with socket.create_connection(("127.0.0.1", s.port), timeout=10 * PATIENCE) as sock:
                c = SecureSocket(sock, second.context(), "b.example")
                c.sendall(b"GET / HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n")
                got = b""
                while data := c.recv(65536):
                    got += data
                check(got.endswith(b"b.example"), f"the host's directory: {got}")


def reload():
    with Tree() as t, Tree() as k:
        t.write("index.html", "x")
        tls, other = Certificate(k.path), Certificate(k.path, "other", ("localhost", "second"))
        third = Certificate(k.path, "third", ("third", "localhost"))
        context = ssl._create_unverified_context()
        for arguments in ((), ("--model", "thread"), ("--processes", "2"), ("--model", "prefork", "--processes", "2"),
                          ("--model", "process")):
            shutil.copy(third.certificate, tls.certificate)
            shutil.copy(third.key, tls.key)
            with Server(t.path, *arguments, tls=tls) as s:
                tls.context = lambda: context
                stop, problems, asked = threading.Event(), [], [0]

                def load():
                    try:
                        with Client(s) as kept:
                            while not stop.is_set():
                                kept.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                                check(kept.answer().status == 200, "a kept connection")
                                check(get(s, "/").status == 200, "a new one")
                                asked[0] += 1
                    except (Failure, OSError) as e:
                        problems.append(str(e))

                thread = threading.Thread(target=load)
                if "prefork" not in arguments:  # there who keeps a connection keeps a process
                    thread.start()
                    until(lambda: asked[0] > 5 or problems, "the load begins")
                check(shown(s, "localhost") == "third", "the first certificate")
                for source, name in ((other, "localhost"), (third, "third")):
                    shutil.copy(source.certificate, tls.certificate)
                    shutil.copy(source.key, tls.key)
                    s.process.send_signal(signal.SIGHUP)
                    until(lambda: all(shown(s, "localhost") == name for _ in range(4)) or problems,
                          f"{arguments}: SIGHUP: {name} is shown")
                stop.set()
                if thread.ident is not None:
                    thread.join()
                check(not problems, f"{arguments}: a request was dropped: {problems}")


def bad_reload():
    """A key that does not fit: the old ones go on, and it is said."""
    with Tree() as t, Tree() as k:
        t.write("index.html", "x")
        tls, other = Certificate(k.path), Certificate(k.path, "other")
        with Server(t.path, tls=tls) as s:
            shutil.copy(other.key, tls.key)
            s.process.send_signal(signal.SIGHUP)
            line = s.process.stderr.readline().decode()
            check("cannot be read anew" in line and "going on with the old" in line, f"it says: {line!r}")
            check(get(s, "/").status == 200, "the old ones go on")


def mistakes():
    with Tree() as t:
        t.write("index.html", "x")
        one, two = Certificate(t.path, "one"), Certificate(t.path, "two")
        t.write("empty", "")
        empty, none = os.path.join(t.path, "empty"), os.path.join(t.path, "none")
        locked = os.path.join(t.path, "locked.key")
        subprocess.run(["openssl", "pkcs8", "-topk8", "-in", one.key, "-passout", "pass:x", "-out", locked], check=True)
        os.chmod(locked, 0o600)
        for arguments, words in (
                (("--tls-cert", one.certificate), "; --tls-key names the file"),
                (("--log", os.path.join(none, "log")), none),
                (("--mime-types", none), none),
                (("--index", "a/b"), "(not 'a/b')"),
                (("--tls-cert", one.certificate, "--tls-key", two.key), "the private key is not the certificate's"),
                (("--tls-cert", none, "--tls-key", one.key), none),
                (("--tls-cert", one.certificate, "--tls-key", none), none),
                (("--tls-cert", empty, "--tls-key", one.key), f"{empty}: no certificate"),
                (("--tls-cert", one.certificate, "--tls-key", empty), f"{empty}: no private key"),
                (("--tls-cert", one.certificate, "--tls-key", locked), f"{locked}: the private key has a password"),
                (("--tls-cert", t.path, "--tls-key", one.key), f"{t.path}: no plain file"),
                (("--tls-cert", one.certificate, "--tls-key", one.key, "--tls-cert", two.certificate, "--tls-key", one.key),
                 f"{two.certificate}: the private key is not the certificate's"),
                (("--tls-key", one.key), "--tls-key needs --tls-cert"),
                (("--tls-cert", one.certificate, "--tls-cert", two.certificate, "--tls-key", one.key),
                 "give each certificate its key")):
            got = subprocess.run([WEFT, "web", t.path, "--port", "0", *arguments], capture_output=True, timeout=20 * PATIENCE)
            errors = got.stderr.decode()
            check(got.returncode == 2 and got.stdout == b"" and errors.count("\n") == 1 and words in errors,
                  f"{arguments}: {got}")
        os.chmod(one.key, 0o644)
        process = subprocess.Popen([WEFT, "web", t.path, "--port", "0", "--tls-cert", one.certificate, "--tls-key", one.key],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(process.stdout.readline().startswith(b"https://"), "it serves all the same")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30 * PATIENCE)
        check(process.returncode == 0 and b"is open to every user" in errors, f"and warns: {errors}")


# ---- weft load ----

def weft_load(*arguments, exits=0):
    got = subprocess.run([WEFT, "load", *map(str, arguments)], capture_output=True, timeout=60 * PATIENCE)
    check(got.returncode == exits, f"load {arguments} exits with {got.returncode}: {got}")
    return got


def load():
    with Tree() as t, Tree() as k:
        t.write("index.html", "x")
        t.write("large", os.urandom(400000))
        tls, other = Certificate(k.path), Certificate(k.path, "other", ("elsewhere.example",))
        with Server(t.path, tls=tls) as s:
            url = f"https://localhost:{s.port}/"
            for arguments, handshakes in ((("--requests", 300, "--connections", 3), (3, 3)),
                                          (("--requests", 300, "--connections", 3, "--pipeline", 8), (3, 3)),
                                          (("--requests", 30, "--connections", 3, "--no-keep-alive"), (30, 33)),
                                          (("--rate", 100, "--duration", 1, "--connections", 3), (3, 3))):
                r = json.loads(weft_load(url, "--ca", tls.certificate, "--json", *arguments).stdout)
                wanted = r["status"].get("200"), r["answers"]
                check(wanted == (100, 100) if "--rate" in arguments else wanted == (arguments[1],) * 2, f"{arguments}: {r}")
                check(handshakes[0] <= r["handshakes"] <= handshakes[1] and r["tls"].startswith("TLSv1.3 "), f"{arguments}: {r}")
            load_resumes(url, tls)
            r = json.loads(weft_load(url + "large", "--insecure", "--requests", 20, "--connections", 2, "--json").stdout)
            check(r["answers"] == 20 and r["received"] > 20 * 400000, f"large answers: {r}")
            text = weft_load(url, "--ca", tls.certificate, "--requests", 3, "--quiet").stdout.decode()
            check("handshakes" in text and "TLSv1.3" in text, f"the report: {text}")
            for arguments in (("--ca", other.certificate), ()):
                got = weft_load(url, "--requests", 3, *arguments, exits=1)
                check(b"cannot be reached" in got.stderr and b"--ca says whom to trust" in got.stderr, f"an unknown authority: {got}")
            got = weft_load(f"https://127.0.0.1:{s.port}/", "--ca", tls.certificate, "--requests", 3, exits=1)
            check(b"for another host; --insecure" in got.stderr, f"a certificate for another host: {got}")
        with Server(t.path) as plain:
            got = weft_load(f"https://localhost:{plain.port}/", "--insecure", "--requests", 3, exits=1)
            check(b"cannot be reached" in got.stderr, f"no TLS there: {got}")
        for arguments, words in ((("http://127.0.0.1:1/", "--insecure"), b"for https:// and tls:// only"),
                                 (("tcp://127.0.0.1:1", "--tls-resume"), b"for https:// and tls:// only"),
                                 (("https://127.0.0.1:1/", "--insecure", "--ca", tls.certificate), b"give one"),
                                 (("https://127.0.0.1:1/", "--ca", os.path.join(k.path, "none")), b"--ca"),
                                 (("https://127.0.0.1:1/", "--ca", os.path.join(t.path, "index.html")), b"no authorities")):
            got = weft_load(*arguments, exits=2)
            check(words in got.stderr and got.stderr.count(b"\n") == 1, f"{arguments}: {got}")
        echo(tls)


def load_resumes(url, tls):
    """A connection's first handshake is whole; those after it are not if they need not be, and each is counted as what it was."""
    for arguments, resumed in ((("--no-keep-alive",), (0, 0)), (("--no-keep-alive", "--tls-resume"), (27, 30)), (("--tls-resume",), (0, 0))):
        r = json.loads(weft_load(url, "--ca", tls.certificate, "--requests", 30, "--connections", 3, "--json", *arguments).stdout)
        full, again = r["handshake_ns"]["full"], r["handshake_ns"]["resumed"]
        check(r["answers"] == 30 and resumed[0] <= r["resumed"] <= resumed[1], f"{arguments}: {r}")
        check(again["count"] == r["resumed"] and full["count"] == r["handshakes"] - r["resumed"] >= 3, f"{arguments}: {r}")
        check(all(0 < h["min"] <= h["p50"] <= h["p99"] <= h["max"] for h in (full, again) if h["count"] > 0), f"{arguments}: {r}")
    text = weft_load(url, "--ca", tls.certificate, "--requests", 30, "--connections", 3, "--no-keep-alive", "--tls-resume",
                     "--quiet").stdout.decode()
    check(any(line.split()[:1] == ["resumed"] and "99 %" in line for line in text.splitlines()) and "full" in text, f"the report: {text}")


def line_of(change):
    """One line from weft load a connection, five of them, from a server that is Python's."""
    with Tree() as k:
        tls = Certificate(k.path)
        listener, port = serve_echo(tls, change)
        r = json.loads(weft_load(f"tls://localhost:{port}", "--ca", tls.certificate, "--requests", 5, "--connections", 1,
                                 "--no-keep-alive", "--tls-resume", "--json").stdout)
        check(r["answers"] == 5 and r["handshakes"] == 5, f"lines: {r}")
        listener.close()
        return r


def load_resumes_elsewhere():
    def without_tickets(context):
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET

    def only_1_2(context):
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    r = line_of(lambda context: None)
    check(r["resumed"] == 4 and r["tls"].startswith("TLSv1.3 "), f"TLS 1.3: {r}")
    r = line_of(only_1_2)
    check(r["resumed"] == 4 and r["tls"].startswith("TLSv1.2 "), f"TLS 1.2: {r}")
    r = line_of(without_tickets)
    check(r["resumed"] == 0, f"no tickets: {r}")


def load_and_ends():
    """An answer without a length ends where the session does, also when its socket stays open; and only there."""
    def answer(c):
        c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\nall that comes")

    def ends(c):
        answer(c)
        c.unwrap()  # and waits for the other's end

    def is_cut(c):
        answer(c)
        socket.socket(fileno=c.detach()).close()

    with Tree() as k:
        tls = Certificate(k.path)
        for serve, answers, closed in ((ends, 3, 0), (is_cut, 0, 3)):
            listener, port = serve_tls(tls, serve)
            r = json.loads(weft_load(f"https://localhost:{port}/", "--ca", tls.certificate, "--requests", 3, "--connections", 1,
                                     "--json", exits=int(closed > 0)).stdout)
            check(r["answers"] == answers and r["errors"]["closed"] == closed, f"{serve.__name__}: {r}")
            listener.close()


def echo(tls):
    """tls://, lines and blocks."""
    listener, port = serve_echo(tls)
    for arguments in (("--body", "line"), ("--size", 100000, "--reply", "echo"), ("--size", 64, "--reply", "echo", "--pipeline", 16)):
        r = json.loads(weft_load(f"tls://localhost:{port}", "--ca", tls.certificate, "--requests", 100, "--connections", 2,
                                 "--json", *arguments).stdout)
        check(r["answers"] == 100 and r["handshakes"] == 2, f"{arguments}: {r}")
    listener.close()


def serve_echo(tls, change=lambda context: None):
    def echo_until_end(c):
        while data := c.recv(65536):
            c.sendall(data)
    return serve_tls(tls, echo_until_end, change)


def serve_tls(tls, talk, change=lambda context: None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    change(context)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve(sock):
        with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as c:
            talk(c)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener, port


if __name__ == "__main__":
    if not has_tls():
        print("no openssl, or a weft without TLS")
        sys.exit(77)
    run([(f.__name__, f) for f in (is_served, sessions_are_resumed, names, reload, bad_reload, mistakes, load,
                                    load_resumes_elsewhere, load_and_ends)])

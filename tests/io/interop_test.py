#!/usr/bin/env python3
"""Sockets, messages and TLS against their counterparts in Python's socket and ssl and openssl's s_client and s_server, in
both directions.

S001-12 to S001-15, S001-19 to S001-29, S001-31, X-06, X-09. libweft.so is called by ctypes, which lets other threads run
meanwhile. Environment: WEFT_BUILD.
"""
import ctypes
import errno
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading

BUILD = os.environ.get("WEFT_BUILD", "build")
PATIENCE = 30
failures = []


def check(condition, text, detail=""):
    if not condition:
        failures.append(text)
        print("FAIL %s %s" % (text, str(detail)[:800]))


# ---- weft by ctypes ----

path = os.path.join(BUILD, "libweft.so")
if not os.path.exists(path):
    print("there is no %s" % path)
    sys.exit(77)
lib = ctypes.CDLL(os.path.abspath(path))
ETRUNCATED, ETLS, EHOSTNAME = 5020, 5021, 5023  # weft/base.h


class Until(ctypes.Structure):
    _fields_ = [("at", ctypes.c_int64)]


class Address(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("bytes", ctypes.c_uint32 * 28)]


class Frame(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_ubyte), ("length_bytes", ctypes.c_ubyte), ("little_endian", ctypes.c_ubyte),
                ("counts_itself", ctypes.c_ubyte), ("delimiter_size", ctypes.c_ubyte), ("delimiter", ctypes.c_char * 16),
                ("size", ctypes.c_size_t), ("limit", ctypes.c_size_t)]


class TlsOptions(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in
                ("certificate", "key", "ca", "certificate_text", "key_text", "ca_text", "alpn")] + [
                    ("verify", ctypes.c_ubyte), ("only_1_3", ctypes.c_ubyte),
                    ("error", ctypes.c_char_p), ("error_size", ctypes.c_size_t)]


for function in ("weft_stream_recv", "weft_stream_send", "weft_datagram_recv", "weft_datagram_send",
                 "weft_buffered_read_frame", "weft_buffered_write_frame"):
    getattr(lib, function).restype = ctypes.c_ssize_t
for function in ("weft_tls_version", "weft_tls_protocol", "weft_tls_host", "weft_tls_error"):
    getattr(lib, function).restype = ctypes.c_char_p
lib.weft_in_ms.restype = Until
lib.weft_in_ms.argtypes = [ctypes.c_int64]
lib.weft_strerror.restype = ctypes.c_char_p


def until():
    return lib.weft_in_ms(PATIENCE * 1000)


def need(err, text):
    if err < 0:
        raise RuntimeError("%s: %s" % (text, lib.weft_strerror(err).decode()))
    return err


class Stream:
    def __init__(self, handle):
        self.handle = handle

    @classmethod
    def make(cls, function, *arguments):
        handle = ctypes.c_void_p()
        need(getattr(lib, function)(ctypes.byref(handle), *arguments), function)
        return cls(handle)

    def port(self):
        return lib.weft_stream_port(self.handle)

    def accept(self):
        return Stream.make("weft_stream_accept", self.handle, until())

    def send(self, data):
        return lib.weft_stream_send(self.handle, data, ctypes.c_size_t(len(data)), until())

    def recv(self, size=65536):
        buf = ctypes.create_string_buffer(size)
        n = lib.weft_stream_recv(self.handle, buf, ctypes.c_size_t(size), until())
        return n if n < 0 else buf.raw[:n]

    def start_tls(self, tls, host=None):
        return lib.weft_tls_start(self.handle, tls, host, until())

    def words(self, what):
        return getattr(lib, "weft_tls_" + what)(self.handle).decode()

    def close(self):
        lib.weft_stream_close(self.handle)


def tcp_listen(host=b"127.0.0.1"):
    return Stream.make("weft_tcp_listen", host, 0, None)


def tcp_connect(port, host=b"127.0.0.1"):
    return Stream.make("weft_tcp_connect", host, port, None, until())


def aside(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def joined(thread, text):
    thread.join(PATIENCE)
    check(not thread.is_alive(), text + " ends")


def python_echo(listener, wrap=lambda s: s):
    """Accept one, send back until its end."""
    s, _ = listener.accept()
    s.settimeout(PATIENCE)
    try:
        s = wrap(s)
        while data := s.recv(65536):
            s.sendall(data)
    except (OSError, ssl.SSLError):
        pass
    s.close()


# ---- streams ----

def exchange_with(stream, other, text):
    """stream is weft's end, other Python's."""
    check(stream.send("你好".encode()) == 6, text + ": send counts bytes")
    check(other.recv(1024) == "你好".encode(), text + ": bytes go")
    other.sendall(b"Thanks")
    check(stream.recv() == b"Thanks", text + ": bytes come")
    large = bytes(range(256)) * 8000
    thread = aside(other.sendall, large)
    got = b""
    while len(got) < len(large) and (part := stream.recv()):
        got += part
    joined(thread, text)
    check(got == large, text + ": much comes")
    other.close()
    check(stream.recv() == b"", text + ": an empty read at the other's end")
    errors = {stream.send(b"x" * 1000) for _ in range(100)}
    check(errors & {-errno.EPIPE, -errno.ECONNRESET}, text + ": a broken pipe is an error", errors)
    stream.close()


def test_streams(work):
    for host in (b"127.0.0.1", b"", b"0.0.0.0", b"localhost"):
        listener = tcp_listen(host)
        other = socket.create_connection(("127.0.0.1", listener.port()), PATIENCE)
        exchange_with(listener.accept(), other, "weft listens on %r" % host)
        listener.close()
    server = socket.create_server(("127.0.0.1", 0))
    stream = tcp_connect(server.getsockname()[1], b"localhost")
    exchange_with(stream, server.accept()[0], "weft connects")
    server.close()
    for name in (work + "/stream", "@weft-interop-%d" % os.getpid()):
        theirs = name.replace("@", "\0")
        listener = Stream.make("weft_unix_listen", name.encode(), None)
        other = socket.socket(socket.AF_UNIX)
        other.settimeout(PATIENCE)
        other.connect(theirs)
        exchange_with(listener.accept(), other, "weft listens on %s" % name)
        listener.close()
        check(name[0] == "@" or not os.path.exists(name), "the socket's file is gone")
        server = socket.socket(socket.AF_UNIX)
        server.bind(theirs)
        server.listen(3)
        exchange_with(Stream.make("weft_unix_connect", name.encode(), None, until()), server.accept()[0],
                      "weft connects to %s" % name)
        server.close()


# ---- datagrams ----

class Datagram:
    def __init__(self, function, *arguments):
        self.handle = ctypes.c_void_p()
        need(getattr(lib, function)(ctypes.byref(self.handle), *arguments), function)

    def send(self, data, to=None):
        return lib.weft_datagram_send(self.handle, data, ctypes.c_size_t(len(data)), to and ctypes.byref(to), until())

    def recv(self, size):
        buf, who = ctypes.create_string_buffer(size), Address()
        n = lib.weft_datagram_recv(self.handle, buf, ctypes.c_size_t(size), ctypes.byref(who), until())
        return (n if n < 0 else buf.raw[:n]), who

    def close(self):
        lib.weft_datagram_close(self.handle)


def address(text):
    a = Address()
    need(lib.weft_address_parse(ctypes.byref(a), text.encode()), text)
    return a


def text_of(a):
    buf = ctypes.create_string_buffer(128)
    lib.weft_address_text(ctypes.byref(a), buf)
    return buf.value.decode()


def test_udp():
    other = socket.socket(type=socket.SOCK_DGRAM)
    other.bind(("127.0.0.1", 0))
    other.settimeout(PATIENCE)
    mine = Datagram("weft_udp_open", b"0.0.0.0", 0, None)
    port = lib.weft_datagram_port(mine.handle)
    other.sendto("你好".encode(), ("127.0.0.1", port))
    data, who = mine.recv(1024)
    check(data == "你好".encode(), "udp: bytes come", data)
    check(text_of(who) == "127.0.0.1:%d" % other.getsockname()[1], "udp: from whom", text_of(who))
    check(mine.send(b"Thanks", who) == 6, "udp: sendto counts")
    check(other.recvfrom(1000) == (b"Thanks", ("127.0.0.1", port)), "udp: bytes go")
    other.sendto(b"", ("127.0.0.1", port))
    check(mine.recv(10)[0] == b"", "udp: an empty one")
    other.sendto(b"0123456789", ("127.0.0.1", port))
    check(mine.recv(4)[0] == -errno.EMSGSIZE, "udp: a cut is told")
    connected = Datagram("weft_udp_connect", b"localhost", other.getsockname()[1], None)
    check(connected.send(b"one") == 3 and other.recvfrom(1000)[0] == b"one", "udp: connected")
    other.close()
    connected.send(b"two")
    check(connected.recv(10)[0] == -errno.ECONNREFUSED, "udp: nobody is there")
    connected.close()
    mine.close()


def test_unix_datagrams(work):
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(work + "/theirs")
    other.settimeout(PATIENCE)
    mine = Datagram("weft_unix_datagram_open", (work + "/ours").encode(), None)
    other.sendto(b"hello", work + "/ours")
    data, who = mine.recv(100)
    check(data == b"hello" and text_of(who) == "unix:" + work + "/theirs", "unix datagrams come", (data, text_of(who)))
    check(mine.send(b"Thanks", who) == 6, "unix datagrams: counted")
    check(other.recvfrom(100) == (b"Thanks", work + "/ours"), "unix datagrams go")
    other.close()
    mine.close()


# ---- messages ----

def test_frames():
    kinds = [
        ("1-byte length", Frame(length_bytes=1), lambda m: struct.pack("B", len(m)) + m),
        ("2-byte length", Frame(length_bytes=2), lambda m: struct.pack(">H", len(m)) + m),
        ("4-byte length", Frame(), lambda m: struct.pack(">I", len(m)) + m),
        ("4-byte little-endian", Frame(little_endian=1), lambda m: struct.pack("<I", len(m)) + m),
        ("8-byte length of all", Frame(length_bytes=8, counts_itself=1), lambda m: struct.pack(">Q", len(m) + 8) + m),
        ("lines", Frame(kind=1), lambda m: m + b"\n"),
        ("end mark", Frame(kind=1, delimiter=b"\r\n.\r\n", delimiter_size=5), lambda m: m + b"\r\n.\r\n"),
        ("fixed", Frame(kind=2, size=5), lambda m: m),
    ]
    for text, frame, wrapped in kinds:
        listener = tcp_listen()
        other = socket.create_connection(("127.0.0.1", listener.port()), PATIENCE)
        handle, stream = ctypes.c_void_p(), listener.accept()
        need(lib.weft_buffered_open(ctypes.byref(handle), stream.handle, None), "buffered")
        messages = [b"hello", b"world"] if frame.kind == 2 else [b"", b"one", "粘包".encode(), b"x" * 200]
        other.sendall(b"".join(wrapped(m) for m in messages))  # all stick together
        for m in messages:
            data = ctypes.c_void_p()
            n = lib.weft_buffered_read_frame(handle, ctypes.byref(frame), ctypes.byref(data), until())
            check(n == len(m) and ctypes.string_at(data, n) == m, "%s: read" % text, n)
        for m in messages:
            n = lib.weft_buffered_write_frame(handle, ctypes.byref(frame), m, ctypes.c_size_t(len(m)), until())
            check(n == len(m), "%s: write" % text, n)
        lib.weft_buffered_close(handle)
        got = b""
        while part := other.recv(1000):
            got += part
        check(got == b"".join(wrapped(m) for m in messages), "%s: the same bytes on the wire" % text, got)
        other.close()
        listener.close()


# ---- TLS ----

def make_certificate(work):
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-keyout", work + "/key.pem", "-out", work + "/cert.pem", "-days", "2", "-subj", "/CN=weft test",
                           "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())


def tls_context(side, **options):
    tls = ctypes.c_void_p()
    err = lib.weft_tls_new(ctypes.byref(tls), side, ctypes.byref(TlsOptions(**options)))
    if err == -errno.EOPNOTSUPP:
        return None
    need(err, "weft_tls_new")
    return tls


def test_tls_server_with_python(work, server):
    for version, refuses in ((ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, False), (None, True)):
        listener = tcp_listen()
        results = {}

        def serve():
            s = listener.accept()
            results["start"] = s.start_tls(server)
            results["words"] = [s.words(w) for w in ("version", "protocol", "host", "error")]
            while isinstance(data := s.recv(), bytes) and data:
                s.send(data)
            results["end"] = data
            s.close()

        thread = aside(serve)
        context = ssl.create_default_context(cafile=None if refuses else work + "/cert.pem")
        context.set_alpn_protocols(["h2", "weft/1"])
        if version:
            context.minimum_version = context.maximum_version = version
        raw = socket.create_connection(("127.0.0.1", listener.port()), PATIENCE)
        text = "a Python client, %s" % (version.name if version else "who does not trust us")
        try:
            s = context.wrap_socket(raw, server_hostname="localhost")
            check(not refuses, text + ": must not be content")
            check(s.selected_alpn_protocol() == "weft/1", text + ": ALPN")
            large = os.urandom(300000)
            sender = aside(s.sendall, large)
            got = b""
            while len(got) < len(large):
                got += s.recv(65536)
            joined(sender, text)
            check(got == large, text + ": echo")
            s.unwrap()
            s.close()
        except ssl.SSLError as e:
            check(refuses, text, e)
            raw.close()
        joined(thread, text)
        if refuses:
            check(results["start"] == -ETLS and "unknown ca" in results["words"][3], text, results)
        else:
            check(results["start"] == 0 and results["end"] == b"", text + ": the end of the session", results)
            check(results["words"] == ["TLSv1." + version.name[-1], "weft/1", "localhost", ""], text, results)
        listener.close()


def test_tls_client_with_python(work, client):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work + "/cert.pem", work + "/key.pem")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.minimum_version = context.maximum_version = version
        server = socket.create_server(("127.0.0.1", 0))
        thread = aside(python_echo, server, lambda s: context.wrap_socket(s, server_side=True))
        s = tcp_connect(server.getsockname()[1])
        text = "a Python server, %s" % version.name
        check(s.start_tls(client, b"localhost") == 0, text, s.words("error"))
        check(s.words("version") == "TLSv1." + version.name[-1], text)
        large = os.urandom(300000)
        sender = aside(s.send, large)
        got = b""
        while len(got) < len(large) and isinstance(data := s.recv(), bytes) and data:
            got += data
        joined(sender, text)
        check(got == large, text + ": echo")
        s.close()
        joined(thread, text)
        server.close()
    for host, expected in ((b"example.org", -EHOSTNAME), (b"127.0.0.2", -EHOSTNAME)):
        server = socket.create_server(("127.0.0.1", 0))
        thread = aside(python_echo, server, lambda s: context.wrap_socket(s, server_side=True))
        s = tcp_connect(server.getsockname()[1])
        err = s.start_tls(client, host)
        check(err == expected, "a Python server that is not %s" % host.decode(), err)
        s.close()
        joined(thread, "the server")
        server.close()


def cut_off(work, client):
    """A server that leaves without the end of the session, as if somebody had cut the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work + "/cert.pem", work + "/key.pem")
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        s, _ = server.accept()
        s.settimeout(PATIENCE)
        s = context.wrap_socket(s, server_side=True)
        s.recv(10)
        s.sendall(b"half")
        s.shutdown(socket.SHUT_WR)  # of the socket: says nothing in TLS
        s.close()

    thread = aside(serve)
    s = tcp_connect(server.getsockname()[1])
    check(s.start_tls(client, b"localhost") == 0, "to be cut off", s.words("error"))
    s.send(b"x")
    check(s.recv() == b"half", "what came before the cut")
    check(s.recv() == -ETRUNCATED, "the cut is told")
    s.close()
    joined(thread, "who cuts")
    server.close()


def test_tls_server_with_s_client(work, server):
    for options, good in ((["-tls1_3"], True), (["-tls1_2"], True), (["-tls1_1"], False)):
        listener = tcp_listen()
        results = {}

        def serve():
            s = listener.accept()
            results["start"] = s.start_tls(server)
            while isinstance(data := s.recv(), bytes) and data:
                s.send(data.upper())
            results["end"] = data
            s.close()

        thread = aside(serve)
        process = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % listener.port(), "-CAfile",
                                    work + "/cert.pem", "-servername", "localhost", "-verify_return_error", "-quiet",
                                    "-no_ign_eof", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        text = "s_client %s" % options
        if good:
            process.stdin.write(b"hello\n")
            process.stdin.flush()
            check(process.stdout.readline() == b"HELLO\n", text + ": echo")
        process.communicate(timeout=PATIENCE)
        joined(thread, text)
        check(results["start"] == (0 if good else -ETLS), text, results)
        check(not good or results["end"] == b"", text + ": the end of the session", results)
        listener.close()


def test_tls_client_with_s_server(work, client):
    process = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", work + "/cert.pem", "-key",
                                work + "/key.pem", "-rev", "-naccept", "1"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    port = 0
    for line in process.stdout:
        if line.startswith(b"ACCEPT "):
            port = int(line.split(b":")[-1])
            break
    check(port > 0, "s_server tells its port")
    if port > 0:
        s = tcp_connect(port)
        check(s.start_tls(client, b"localhost") == 0, "s_server", s.words("error"))
        s.send(b"weft\n")
        got = b""
        while b"\n" not in got and isinstance(data := s.recv(), bytes) and data:
            got += data
        check(got == b"tfew\n", "s_server: reversed", got)
        s.close()
    else:
        process.kill()
    process.communicate(timeout=PATIENCE)


def main():
    with tempfile.TemporaryDirectory() as work:
        test_streams(work)
        test_udp()
        test_unix_datagrams(work)
        test_frames()
        make_certificate(work)
        name = work.encode()
        server = tls_context(1, certificate=name + b"/cert.pem", key=name + b"/key.pem", alpn=b"weft/1")
        if server is not None:
            client = tls_context(0, ca=name + b"/cert.pem")
            test_tls_server_with_python(work, server)
            test_tls_client_with_python(work, client)
            cut_off(work, client)
            test_tls_server_with_s_client(work, server)
            test_tls_client_with_s_server(work, client)
            lib.weft_tls_free(server)
            lib.weft_tls_free(client)
    print("%d failures" % len(failures))
    return 1 if failures else 0


sys.exit(main())

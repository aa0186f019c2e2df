#!/usr/bin/env python3
"""A real tree (Debian's /usr/share/doc: thousands of files, odd names, links, empty and large ones) served byte by byte, to curl
and to wget -r; and a tree whose files are replaced, rewritten, cut and removed under load, of which no answer may be a mixture."""

import concurrent.futures
import filecmp
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse

from web import Client, Failure, PATIENCE, Server, Tree, check, get, run

ROOT = "/usr/share/doc"
FILES = 4000  # of the tree, every one of the odd kinds among them


def url_path(name):
    return urllib.parse.quote(os.fsencode(name), safe="/~!$&'()*+,;=@-._")


def walk():
    """Names below ROOT: (what is to be served, what is not)."""
    served, refused = [], []
    for directory, names, files in os.walk(ROOT):
        names.sort()
        for f in sorted(files):
            full = os.path.join(directory, f)
            name = os.path.relpath(full, ROOT)
            real = os.path.realpath(full)
            hidden = any(part.startswith(".") for part in name.split("/"))
            inside = real.startswith(ROOT + "/") and not absolute_link(full)
            (served if inside and os.path.isfile(real) and not hidden else refused).append(name)
    return served, refused


def absolute_link(name):
    """Does any link on the way, however far behind, have an absolute target? Such a target is outside, wherever it points."""
    for _ in range(40):
        if not os.path.islink(name):
            return False
        to = os.readlink(name)
        if to.startswith("/"):
            return True
        name = os.path.normpath(os.path.join(os.path.dirname(name), to))
    return True


def pick(names):
    """All the odd ones, and a sample of the others that is the same every time."""
    def odd(n):
        full = os.path.join(ROOT, n)
        return os.path.islink(full) or os.path.getsize(full) in (0, 65536) or os.path.getsize(full) > 500000 or \
            not all(c.isalnum() or c in "-._+/" for c in n)
    odd_ones = [n for n in names if odd(n)]
    rest = sorted(set(names) - set(odd_ones))
    random.Random(1).shuffle(rest)
    return odd_ones[:FILES // 2] + rest[:FILES - min(len(odd_ones), FILES // 2)]


def curl_gets_every_byte():
    served, refused = walk()
    if not served:
        return
    names = pick(served)
    with Tree() as out, Server(ROOT) as server:
        config = os.path.join(out.path, "config")
        with open(config, "w", errors="surrogateescape") as f:
            for i, n in enumerate(names):
                f.write(f'url = "{server.url}{url_path(n)}"\noutput = "{out.path}/{i}"\n')
        done = subprocess.run(["curl", "-sS", "--fail", "--globoff", "--parallel", "--parallel-max", "20", "-K", config],
                              capture_output=True, timeout=200 * PATIENCE)
        check(done.returncode == 0, f"curl: {done.stderr.decode()[:300]}")
        for i, n in enumerate(names):
            check(filecmp.cmp(os.path.join(ROOT, n), f"{out.path}/{i}", False), f"{n} came out different")
        with Client(server) as c:
            for n in refused[:300]:
                c.send(f"GET /{url_path(n)} HTTP/1.1\r\nHost: t\r\n\r\n")
                check(c.answer().status in (403, 404), f"{n} was served")
    print(f"  {len(names)} files equal, {len(refused[:300])} refused", flush=True)


def wget_gets_every_byte():
    if shutil.which("wget") is None:
        print("  SKIP: no wget", flush=True)
        return
    part = "doc-base" if os.path.isdir(ROOT + "/doc-base") else sorted(os.listdir(ROOT))[0]
    with Tree() as tree, Tree() as out:
        # A copy of some packages, without what is not served, to be compared as a whole.
        wanted = {}
        for package in [part] + sorted(os.listdir(ROOT))[:60]:
            for directory, _, files in os.walk(os.path.join(ROOT, package)):
                for f in files:
                    full = os.path.join(directory, f)
                    if os.path.isfile(full) and not f.startswith(".") and os.path.getsize(full) < 300000:
                        name = os.path.relpath(full, ROOT)
                        with open(full, "rb") as g:
                            wanted[name] = g.read()
                        tree.write(name, wanted[name])
        tree.write("odd/a b&c'd\"e<f>;g=h~i+j,k@l!m$n(o).txt", "odd")
        wanted["odd/a b&c'd\"e<f>;g=h~i+j,k@l!m$n(o).txt"] = b"odd"
        tree.write("odd/\u00e4\u4e2d.txt", "odd")
        wanted["odd/\u00e4\u4e2d.txt"] = b"odd"
        with Server(tree.path, "--listing", "--index", "", "--no-gzip") as server:
            done = subprocess.run(["wget", "-q", "-e", "robots=off", "-r", "-l", "inf", "-np", "-nH", "--restrict-file-names=nocontrol",
                                   "-P", out.path, "-R", "index.html", server.url],
                                  capture_output=True, timeout=200 * PATIENCE,
                                  env={**os.environ, "LC_ALL": "C.UTF-8", "http_proxy": "", "no_proxy": "*"})
            # 8: some page in the tree links to what is not in it. What was to be found is compared below.
            check(done.returncode in (0, 8), f"wget: {done.returncode} {done.stderr.decode()[:300]}")
        missing = []
        for name, data in wanted.items():
            full = os.path.join(out.path, name)
            if os.path.basename(name) == "index.html":
                continue
            if not os.path.isfile(full):
                missing.append(name)
                continue
            with open(full, "rb") as f:
                check(f.read() == data, f"{name} came out different")
        check(not missing, f"{len(missing)} of {len(wanted)} not found by wget, such as {missing[:3]}")
        print(f"  {len(wanted)} files equal", flush=True)


# ---- a tree that changes under load ----

def version(n, size):
    """Contents that say in every line which version they are of."""
    line = b"version %08d\n" % n
    return (line * (size // len(line) + 1))[:size]


def is_whole(data):
    line = data[:17]
    return data == (line * (len(data) // len(line) + 1))[:len(data)]


SIZES = {"small.txt": 3000, "edge.bin": 65536, "large.bin": 400000, "text.html": 20000}


def replace(full, data):
    with open(full + ".new", "wb") as f:
        f.write(data)
    os.replace(full + ".new", full)


def load_while(server, change, seconds, gzip_too):
    """Read all files without a pause while `change` runs; returns how many answers and of how many versions."""
    end = time.monotonic() + seconds
    stop = threading.Event()
    errors, versions, counts = [], set(), [0]

    def read(name, fields):
        import gzip
        while time.monotonic() < end and not errors:
            try:
                with Client(server) as c:
                    for _ in range(50):
                        c.send(f"GET /{name} HTTP/1.1\r\nHost: t\r\n{fields}\r\n")
                        a = c.answer()
                        if a is None:
                            break
                        check(a.status in (200, 404, 503), f"{name}: {a.status}")
                        if a.status == 200:
                            data = gzip.decompress(a.body) if a["Content-Encoding"] == "gzip" else a.body
                            check(is_whole(data), f"{name}: a mixture of versions ({len(data)} bytes)")
                            versions.add((name, data[:17]))
                            counts[0] += 1
                        if time.monotonic() > end:
                            break
            except Failure as e:
                if "cut" in str(e) or "reset" in str(e):
                    continue  # a transfer that broke off is not a wrong one
                errors.append(str(e))

    def write():
        n = 1
        while not stop.is_set():
            n += 1
            change(n)

    writer = threading.Thread(target=write)
    readers = [threading.Thread(target=read, args=(n, f)) for n in SIZES
               for f in ([""] + (["Accept-Encoding: gzip\r\n"] if gzip_too else []))]
    for t in readers + [writer]:
        t.start()
    for t in readers:
        t.join()
    stop.set()
    writer.join()
    check(not errors, errors[:1] and errors[0])
    return counts[0], len(versions)


def replaced_under_load():
    """Files replaced by rename are never mixed, and every second a new version is seen."""
    for arguments in (["--poller", "epoll"], ["--poller", "uring"], ["--model", "thread"]):
        with Tree() as tree:
            for name, size in SIZES.items():
                tree.write(name, version(1, size))

            def change(n):
                for name, size in SIZES.items():
                    replace(os.path.join(tree.path, name), version(n, size))
                time.sleep(0.003)

            with Server(tree.path, *arguments) as server:
                count, versions = load_while(server, change, 4, True)
            check(count > 200, f"only {count} answers")
            check(versions >= 2 * len(SIZES), f"only {versions} versions were seen")
            print(f"  {' '.join(arguments)}: {count} answers of {versions} versions", flush=True)


def rewritten_under_load():
    """Files rewritten in place now and then, removed and made again: no mixture. (A file of which the new contents are
    written while it is read is a mixture on disk; so each write here is one write of the whole.)"""
    with Tree() as tree:
        for name, size in SIZES.items():
            tree.write(name, version(1, size))

        def change(n):
            for name, size in SIZES.items():
                full = os.path.join(tree.path, name)
                if n % 7 == 0:
                    os.unlink(full)
                    time.sleep(0.01)
                    replace(full, version(n, size))
                elif n % 3 == 0:
                    replace(full, version(n, size - n % 100))
                elif size <= 65536:
                    fd = os.open(full, os.O_WRONLY)
                    os.pwrite(fd, version(n, os.fstat(fd).st_size), 0)
                    os.close(fd)
            time.sleep(0.15)

        with Server(tree.path) as server:
            count, versions = load_while(server, change, 5, True)
        check(count > 200 and versions > len(SIZES), f"{count} answers of {versions} versions")
        print(f"  {count} answers of {versions} versions", flush=True)


def seen_within_two_seconds():
    with Tree() as tree, Tree() as other:
        full = tree.write("f.txt", "old")
        with Server(tree.path) as server:
            for data in ("new", "newer and longer", "", "x" * 200000, "short"):
                check(get(server, "/f.txt").status == 200, "not there")
                replace(full, data.encode())
                time.sleep(1.2)
                a = get(server, "/f.txt")
                check(a.body == data.encode(), f"{a.body[:20]!r}, not {data[:20]!r}")
            os.unlink(full)
            time.sleep(1.2)
            check(get(server, "/f.txt").status == 404, "served after it was removed")
            os.symlink(other.write("out", "secret"), full)
            check(get(server, "/f.txt").status in (403, 404), "a link out was followed")
            os.unlink(full)
            os.mkdir(full)
            time.sleep(1.2)
            check(get(server, "/f.txt").status == 301, "not the directory that it is now")


def index_changes():
    with Tree() as tree:
        tree.write("d/index.htm", "second")
        with Server(tree.path, "--index", "index.html,index.htm") as server:
            check(get(server, "/d/").body == b"second", "the second index file")
            tree.write("d/index.html", "first")
            time.sleep(1.2)
            check(get(server, "/d/").body == b"first", "a better index file was not seen")


def precompressed_comes_and_goes():
    """A .gz file is taken when it is finished, and its absence is seen."""
    import gzip as codec
    with Tree() as tree:
        text = b"some text that is long enough to be compressed " * 20
        tree.write("f.txt", text)

        def body():
            a = get(server, "/f.txt", "Accept-Encoding: gzip\r\n")
            check(a["Content-Encoding"] == "gzip", "not compressed")
            return codec.decompress(a.body)

        with Server(tree.path) as server:
            check(body() == text, "compressed on the fly")
            whole = codec.compress(b"by hand")
            with open(os.path.join(tree.path, "f.txt.gz"), "wb", buffering=0) as f:
                for i in range(len(whole)):  # 1.5 s of writing
                    f.write(whole[i:i + 1])
                    written = time.monotonic()
                    time.sleep(1.5 / len(whole))
                    if i % 3 == 0:
                        try:
                            half = body() != text
                        except (EOFError, codec.BadGzipFile):
                            half = True
                        paused = time.monotonic() - written > 0.2  # on a busy machine; then it looks finished
                        check(not half or paused, "a half-written .gz file was sent")
            time.sleep(2.2)
            check(body() == b"by hand", "the .gz file was not taken")
            os.unlink(os.path.join(tree.path, "f.txt.gz"))
            time.sleep(1.2)
            check(body() == text, "sent after it was removed")


def read_to_end(s):
    """What comes until the server ends the connection, in whichever way."""
    got = b""
    try:
        while data := s.recv(1 << 20):
            got += data
    except ConnectionResetError:
        pass
    s.close()
    return got


def growing_file():
    """A log that grows while it is sent: what was promised, to the byte."""
    with Tree() as tree:
        full = tree.write("log.txt", b"line\n" * 1000000)
        with Server(tree.path) as server, Client(server) as c:
            c.send("GET /log.txt HTTP/1.1\r\nHost: t\r\n\r\n")
            with open(full, "ab") as f:
                for _ in range(20):
                    f.write(b"more\n" * 1000)
                    f.flush()
                    time.sleep(0.01)
            a = c.answer()
            check(a and a.status == 200 and a.body[:5000000] == b"line\n" * 1000000, "the promised bytes")
            c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            check(c.answer() is not None, "the connection was lost")


def shrinking_file():
    """A file that is cut while it is sent: the connection ends before the promised length, nothing is made up."""
    with Tree() as tree:
        full = tree.write("big.bin", b"\xaa" * 30000000)
        with Server(tree.path) as server:
            s = server.connect()
            s.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            got = s.recv(65536)
            os.truncate(full, 1000000)
            got += read_to_end(s)
            head, body = got.split(b"\r\n\r\n", 1)
            check(b"Content-Length: 30000000" in head, "length")
            check(len(body) < 30000000, "padded")
            check(get(server, "/big.bin")["Content-Length"] == "1000000", "the next request gets the new length")


def rewritten_while_sent():
    """A large file that is rewritten while a slow client takes it: the transfer breaks off, also when it has just been sent
    whole, so that it is known to be in memory. So does one of a part that ends before the file."""
    with Tree() as tree:
        for fields, size in [("", 40000000), ("Range: bytes=1000-39000999\r\n", 39000000)]:
            full = tree.write("big.bin", b"a" * 40000000)
            with Server(tree.path) as server:
                for wanted in "ab":
                    s = server.connect(30)
                    s.sendall(f"GET /big.bin HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{fields}\r\n".encode())
                    got = s.recv(65536)
                    if wanted == "b":
                        with open(full, "r+b") as f:
                            f.write(b"b" * 40000000)
                    got += read_to_end(s)
                    body = got.split(b"\r\n\r\n", 1)[1]
                    check(len(body) < size if wanted == "b" else body == b"a" * size,
                          "a transfer of two versions came to its end" if wanted == "b" else "not what the file was")


def replaced_while_sent():
    """A large file that another is renamed to while a slow client takes it: the old one comes whole."""
    with Tree() as tree:
        full = tree.write("big.bin", b"a" * 40000000)
        other = tree.write("other.bin", b"b" * 40000000)
        with Server(tree.path) as server:
            s = server.connect(30)
            s.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            got = s.recv(65536)
            os.rename(other, full)
            got += read_to_end(s)
            check(got.split(b"\r\n\r\n", 1)[1] == b"a" * 40000000, "the old file did not come whole")


def many_files_open_few():
    """Descriptors stay bounded however many large files are asked for."""
    with Tree() as tree:
        for i in range(600):
            tree.write(f"f{i}", b"%03d" % i * 40000)
        with Server(tree.path) as server:
            with Client(server) as c:
                for i in range(600):
                    c.send(f"GET /f{i} HTTP/1.1\r\nHost: t\r\n\r\n")
                    check(c.answer().body == b"%03d" % i * 40000, f"f{i}")
            n = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            check(n < 256 + 100, f"{n} descriptors open")


def cache_is_bounded():
    with Tree() as tree:
        for i in range(1000):
            tree.write(f"f{i}.bin", os.urandom(60000))
        with Server(tree.path, "--cache-size", "8M", "--threads", "1") as server:
            def rss():
                with open(f"/proc/{server.process.pid}/status") as f:
                    return [int(line.split()[1]) for line in f if line.startswith("VmRSS")][0]
            with Client(server) as c:
                for _ in range(2):
                    for i in range(1000):
                        c.send(f"GET /f{i}.bin HTTP/1.1\r\nHost: t\r\n\r\n")
                        check(len(c.answer().body) == 60000, f"f{i}")
            if "san" not in os.environ.get("WEFT_BUILD", ""):
                check(rss() < 40000, f"{rss()} KiB resident with 8 MiB of cache and 60 MB served")


def missing_page():
    with Tree() as tree:
        tree.write("404.html", "<p>my own</p>")
        with Server(tree.path) as server:
            a = get(server, "/none")
            check(a.status == 404 and a.body == b"<p>my own</p>", f"{a.status} {a.body}")
            a = get(server, "/none", method="HEAD")
            check(a.status == 404 and a["Content-Length"] == "13", "HEAD of it")
            check(a["ETag"] is None, "the page is not the resource")


def listings():
    with Tree() as tree, Tree() as other:
        tree.write("b.txt", "x" * 1500)
        tree.write("a <&\"'>.txt", "x")
        tree.write("dir/x", "x")
        tree.write(".hidden", "x")
        os.symlink(other.path, os.path.join(tree.path, "out"))
        os.symlink("b.txt", os.path.join(tree.path, "inside"))
        os.symlink("nowhere", os.path.join(tree.path, "broken"))
        os.mkfifo(os.path.join(tree.path, "fifo"))
        with Server(tree.path, "--listing") as server:
            a = get(server, "/")
            page = a.body.decode()
            check(a.status == 200 and a["Content-Type"] == "text/html; charset=utf-8", f"{a.status}")
            check(page.index("dir/") < page.index("a &lt;&amp;") < page.index("b.txt"), "order")
            check("a%20%3C%26%22" in page and "1.5 kB" in page, "escapes, sizes")
            for word in ("hidden", "out", "broken", "fifo"):
                check(f">{word}" not in page, f"{word} is listed")
            check(">inside<" in page, "a link inside is not listed")
            check(get(server, "/", method="HEAD")["Content-Length"] == str(len(a.body)), "HEAD")
            check("../" in get(server, "/dir/").body.decode(), "no way up")
            os.mkdir(os.path.join(tree.path, "bare"))
            check(get(server, "/bare/").status == 200, "an empty directory is not listed")
        with Server(tree.path) as server:
            check(get(server, "/").status == 403, "listed without being asked to")


if __name__ == "__main__":
    if not os.path.isdir(ROOT) or shutil.which("curl") is None:
        print("SKIP: no /usr/share/doc or no curl")
        sys.exit(77)
    only = sys.argv[1:]
    run([(f.__name__.replace("_", " "), f) for f in (
        curl_gets_every_byte, wget_gets_every_byte, replaced_under_load, rewritten_under_load, seen_within_two_seconds,
        index_changes, precompressed_comes_and_goes, growing_file, shrinking_file, rewritten_while_sent, replaced_while_sent, many_files_open_few, cache_is_bounded,
        missing_page, listings) if not only or f.__name__ in only])

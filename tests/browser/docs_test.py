#!/usr/bin/python3
"""What the documents say is so.

Links and files of the site and of the documents lead somewhere, and the site asks nothing of another host. Every program
that is printed, in a page or in a document, compiles; those that end by themselves are run and succeed, and the server
among them is spoken to. The flags in the manual pages, the guides and the completions are those of each command's --help.

    WEFT=build/weft WEFT_BUILD=build tests/browser/docs_test.py      exit 0: all true, 1: something is not"""

import html
import html.parser
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "site"
WEFT = os.environ.get("WEFT", str(ROOT / "build" / "weft"))
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", ROOT / "build"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "guide").glob("*.md"))]
COMPILE = ["cc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-I", str(ROOT / "include")]
VOID = {"meta", "link", "img", "br", "hr", "input"}

failures = []


def check(true, what, detail=""):
    if not true:
        failures.append(what)
        print("not ok: %s%s" % (what, ": " + str(detail) if detail else ""), flush=True)


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.path, self.open, self.links, self.ids = path, [], [], set()
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        check(not self.open, path.name + ": every element is closed", self.open)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attributes:
            check(attributes["id"] not in self.ids, self.path.name + ": an id is used once", attributes["id"])
            self.ids.add(attributes["id"])
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]

    def handle_endtag(self, tag):
        check(self.open and self.open[-1] == tag, self.path.name + ": elements nest", "</%s> in %s" % (tag, self.open))
        if self.open:
            self.open.pop()


def check_site():
    for path in sorted(SITE.glob("*.html")):
        for link in Page(path).links:
            check("//" not in link, path.name + ": asks nothing of another host", link)
            if link == "no-such-thread":    # the link that shows the 404 page
                continue
            target = SITE / (link.lstrip("/").split("#")[0] or "index.html")
            check(target.is_file(), path.name + ": a link leads to a file", link)
    for path in sorted(SITE.rglob("*.css")) + sorted(SITE.rglob("*.js")):
        text = path.read_text(encoding="utf-8")
        without_comments = re.sub(r"^\s*//.*$|\s// .*$", "", text, flags=re.M)
        check("//" not in without_comments, path.name + ": asks nothing of another host")
        for link in re.findall(r"url\(\"?([^)\"]+)", text):
            check((path.parent / link).is_file(), path.name + ": a link leads to a file", link)


def check_document_links():
    for path in DOCUMENTS:
        prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
            if not link.startswith("http"):
                check((path.parent / link).exists(), path.name + ": a link leads to a file", link)


def programs():
    """(name, source) of every C program printed anywhere."""
    for path in DOCUMENTS:
        blocks = re.findall(r"^```c\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        for index, source in enumerate(blocks):
            yield "%s, program %d" % (path.name, index + 1), source
    for path in sorted(SITE.glob("*.html")):
        blocks = re.findall(r"<pre><code>(#include.*?)</code></pre>", path.read_text(encoding="utf-8"), flags=re.S)
        for index, block in enumerate(blocks):
            yield "%s, program %d" % (path.name, index + 1), html.unescape(re.sub(r"<[^>]*>", "", block)) + "\n"


def libraries():
    """What libweft.a itself needs."""
    found = subprocess.run(["pkg-config", "--libs", "--static", str(BUILD / "weft.pc")], capture_output=True, text=True,
                           check=True)
    return [word for word in shlex.split(found.stdout) if word != "-lweft" and not word.startswith("-L")]


def talk(name, program):
    """The program that measures lines: two lines at once, two lengths back; SIGINT, and it ends well."""
    server = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
    try:
        host, port = server.stdout.readline().strip().rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20) as s:
            s.settimeout(20)
            s.sendall(b"good day\n\n")
            answer = b""
            while answer.count(b"\n") < 2:
                chunk = s.recv(100)
                if not chunk:
                    break
                answer += chunk
        check(answer == b"8\n0\n", name + ": answers", answer)
        server.send_signal(signal.SIGINT)
        check(server.wait(20) == 0, name + ": stops on SIGINT", server.returncode)
    finally:
        server.kill()
        server.wait()


def run_often(name, program):
    """Again and again, eight at a time, for a part of a second: a race of the program's own shows seldom."""
    end, runs = time.monotonic() + 0.3, 0
    while runs == 0 or (time.monotonic() < end and runs < 200):
        at_once = [subprocess.Popen([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                   for _ in range(8)]
        for one in at_once:
            try:
                said, _ = one.communicate(timeout=60)
                check(one.returncode == 0, name + ": succeeds", "%d %s" % (one.returncode, said))
            except subprocess.TimeoutExpired:
                check(False, name + ": ends within 60 s")
                one.kill()
                one.wait()
        runs += len(at_once)


def check_programs():
    with tempfile.TemporaryDirectory(prefix="weft-docs-") as directory:
        count = 0
        for name, source in programs():
            count += 1
            path, program = os.path.join(directory, "p%d.c" % count), os.path.join(directory, "p%d" % count)
            pathlib.Path(path).write_text(source, encoding="utf-8")
            whole = re.search(r"\bmain\s*\(", source) is not None
            link = [str(BUILD / "libweft.a"), "-pthread", *libraries()] if whole else ["-c"]
            built = subprocess.run([*COMPILE, path, "-o", program, *link], capture_output=True, text=True)
            check(built.returncode == 0, name + ": compiles", built.stderr)
            if built.returncode != 0 or not whole or ".port = " in source:      # a fixed port is not ours to take
                continue
            if "weft_server_" in source:
                talk(name, program)
                continue
            run_often(name, program)
        check(count >= 15, "programs were found", count)


def flags_of(text):
    text = re.sub(r"\bcurl .*", "", text)  # has its own
    return set(re.findall(r"--[a-z][a-z-]*[a-z]", text)) - {"--version"}


def part_of(text, start, end):
    """What lies between the two marks; all that is left when the second is not there."""
    return text[text.index(start):].split(end)[0]


def check_flags():
    completions = ROOT / "share/completions"
    bash, zsh, fish = ((completions / name).read_text() for name in ("weft.bash", "_weft", "weft.fish"))
    for command, guide in (("web", "web"), ("lesson", "lessons"), ("bench", "models")):
        told = subprocess.run([WEFT, command, "--help"], capture_output=True, text=True, timeout=20)
        check(told.returncode == 0, "weft %s --help exits 0" % command, told.returncode)
        flags = flags_of(told.stdout) | {"--help"}
        manual = (ROOT / ("docs/man/weft-%s.1" % command)).read_text().replace("Fl -", "--")
        fish_flags = {"--" + flag for flag in re.findall(r"\$%s .*?-l (\S+)" % command, fish)}
        described = flags_of((ROOT / ("docs/guide/%s.md" % guide)).read_text()) | {"--help"}
        if command == "lesson":  # the guide also tells what flags single lessons have
            described &= flags
        for name, found in (("manual page", flags_of(manual)), ("guide", described),
                            ("completion for bash", flags_of(part_of(bash, "_weft_%s()" % command, "\n}\n"))),
                            ("completion for zsh", flags_of(part_of(zsh, "    %s)\n" % command, ";;\n"))),
                            ("completion for fish", fish_flags)):
            check(found == flags, "%s: the %s has the flags of --help" % (command, name), "missing %s, unknown %s" %
                  (sorted(flags - found), sorted(found - flags)))


def main():
    check_site()
    check_document_links()
    check_programs()
    check_flags()
    print("docs_test: %s" % ("all true" if not failures else "%d not true" % len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""The bundled site as a browser sees it, served by `weft web`.

Every page comes with its images, its style applied and its script run; every byte is that of the file; nothing is asked
of another host; nothing fails. The page that is not there answers 404 with the site's own page. A reload is answered 304.
Covers the issue's "a test that loads a page with its images, style and script and checks the page".

    WEFT=build/weft tests/browser/site_test.py [flags for weft web]
    exit 0: all true, 1: something is not, 77: no Chromium here"""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

import devtools

ROOT = pathlib.Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "site"
PAGES = ("", "start.html", "waiting.html", "server.html")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
         ".png": "image/png"}

failures = []


def check(true, what, detail=""):
    if not true:
        failures.append(what)
        print("not ok: %s%s" % (what, ": " + str(detail) if detail else ""), flush=True)


def start_server():
    weft = os.environ.get("WEFT", str(ROOT / "build" / "weft"))
    server = subprocess.Popen([weft, "web", str(SITE), "--port", "0", *sys.argv[1:]],
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    watchdog = threading.Timer(20, server.kill)
    watchdog.start()
    line = server.stdout.readline()
    watchdog.cancel()
    url = next((word for word in line.split() if word.startswith("http://")), None)
    if url is None:
        server.kill()
        sys.exit("the first line of `weft web` holds no URL: %r" % line)
    # The access log comes after the first line on the same descriptor: drained, so that the server never waits for us.
    threading.Thread(target=server.stdout.read, daemon=True).start()
    return server, url.rstrip("/") + "/"


def stop_server(server):
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        check(False, "the server ends within 10 s of SIGTERM")


def file_of(base, url):
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path).lstrip("/")
    return SITE / (path or "index.html")


def check_answers(browser, base, visit, name):
    """Each request of a page load went to this server and was answered 200, with the right type and the file's bytes."""
    check(visit.requests, name + ": something was loaded")
    check(not visit.failed, name + ": no load fails", visit.failed)
    check(not visit.complaints, name + ": no script or console error", visit.complaints)
    for key, url in list(visit.requests.items()):
        check(url.startswith(base), name + ": asks nothing of another host", url)
        answer = visit.answers.get(key)
        if answer is None or not url.startswith(base):
            check(answer is not None, name + ": every request is answered", url)
            continue
        check(answer["status"] == 200, name + ": answered 200", "%s %s" % (url, answer["status"]))
        if answer["status"] != 200:
            continue
        path = file_of(base, url)
        check(answer["mimeType"] == TYPES[path.suffix] or (path.suffix == ".js" and "javascript" in answer["mimeType"]),
              name + ": media type", "%s %s" % (url, answer["mimeType"]))
        expected = path.read_bytes() if visit.methods[key] == "GET" else b""
        check(browser.body(key) == expected, name + ": the bytes of the file", url)


def check_look(browser, name):
    """Style applied, script run, images there, and the page fits a phone."""
    check(browser.js("document.characterSet") == "UTF-8", name + ": UTF-8")
    check(browser.js("document.documentElement.dataset.script") == "ready", name + ": the script ran")
    check(browser.js("[...document.styleSheets].some(s => s.cssRules.length > 20)"), name + ": the style is there")
    check(browser.js("getComputedStyle(document.querySelector('.top')).display") == "flex", name + ": and is applied")
    broken = browser.js("[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.src)")
    check(broken == [], name + ": every image has its width", broken)
    check(browser.js("document.images.length") > 0, name + ": there are images")
    check(browser.js("[...document.images].every(i => i.hasAttribute('alt'))"), name + ": every image has its alt text")
    check(browser.js("document.querySelectorAll('h1').length") == 1, name + ": one first heading")
    for width in (375, 1280):
        browser.width(width)
        check(browser.js("document.documentElement.scrollWidth") <= width, name + ": fits %d pixels" % width)


def wait_for(browser, expression, limit_s=10):
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if browser.js(expression):
            return True
        browser.js("new Promise(done => setTimeout(done, 20))")
    return False


def check_loom(browser):
    check(browser.js("document.documentElement.dataset.loom") == "ready", "loom: it is set up")
    inked = browser.js("""(() => { const c = document.querySelector('.loom canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n / (c.width * c.height); })()""")
    check(inked > 0.25, "loom: the cloth is drawn", inked)
    browser.js("document.querySelector('.loom .heads .process button').click()")
    state = "document.querySelector('.loom .heads .process small').textContent"
    check(browser.js(state) == "killed", "loom: the process is killed")
    check(wait_for(browser, state + " != 'killed'"), "loom: and is started again")


def check_reload(browser, base):
    browser.cache(True)
    browser.visit(base)
    again = browser.reload()
    check(304 in again.wire_status.values(), "reload: answered 304", again.wire_status)
    check(not again.failed, "reload: no load fails", again.failed)
    browser.cache(False)


def check_questions(browser):
    """The buttons of the server page send real requests; each shows the status that its name promises."""
    expected = (200, 206, 304, 416, 404, 405)
    count = browser.js("document.querySelectorAll('.ask button').length")
    check(count == len(expected), "questions: one button each", count)
    for index, status in enumerate(expected):
        browser.js("document.querySelector('.ask pre').textContent = '';"
                   "document.querySelectorAll('.ask button')[%d].click()" % index)
        wait_for(browser, "document.querySelector('.ask pre .got') !== null")
        got = browser.js("(document.querySelector('.ask pre .got') || {}).textContent || ''")
        check(got.startswith("< %d " % status), "questions: number %d is answered %d" % (index + 1, status), got)


def check_lost(browser, base):
    url = base + "no/such/thread"
    visit = browser.visit(url)
    answer = visit.answer_of(url)
    check(answer and answer["status"] == 404, "404: the status", answer and answer["status"])
    check(browser.js("document.querySelector('h1').textContent") == "The thread ends here", "404: the site's own page")
    others = [a["status"] for key, a in visit.answers.items() if visit.requests.get(key) != url]
    check(others and all(status == 200 for status in others), "404: its style and images load from any depth", others)
    check_look(browser, "404")


def main():
    if devtools.find_chromium() is None:
        print("skipped: no Chromium here")
        return 77
    server, base = start_server()
    try:
        with devtools.Browser() as browser:
            browser.cache(False)
            for page in PAGES:
                name = page or "index"
                visit = browser.visit(base + page)
                check_answers(browser, base, visit, name)
                check_look(browser, name)
                if page == "":
                    check(wait_for(browser, "fetch('favicon.svg').then(a => a.ok)"), "index: its icon is there")
                    check_loom(browser)
                    check_reload(browser, base)
                if page == "server.html":
                    check_questions(browser)
            check_lost(browser, base)
    finally:
        stop_server(server)
    print("site_test: %s" % ("all true" if not failures else "%d not true" % len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""The status page of `weft web` as a browser sees it, under load: it updates by itself, its numbers grow, its charts are
drawn, it lists who waits; and a WebSocket of examples/api_server echoes to a page.

    WEFT=build/weft WEFT_BUILD=build tests/browser/status_test.py
    exit 0: all true, 1: something is not, 77: no Chromium here"""

import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.request

import devtools

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEFT = os.environ.get("WEFT", str(ROOT / "build" / "weft"))
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", ROOT / "build"))

failures = []


def check(true, what, detail=""):
    if not true:
        failures.append(what)
        print("not ok: %s%s" % (what, ": " + str(detail) if detail else ""), flush=True)


def start(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    watchdog = threading.Timer(20, process.kill)
    watchdog.start()
    url = process.stdout.readline().strip()
    watchdog.cancel()
    if not url.startswith("http://"):
        process.kill()
        sys.exit("%s: no URL but %r" % (command, url))
    return process, url


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(browser, expression, limit=30):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if browser.js(expression):
            return True
        time.sleep(0.1)
    return False


def status(browser):
    process, url = start([WEFT, "web", str(ROOT / "docs" / "site"), "--port", "0", "--log", "none", "--status", "/status"])
    stop = threading.Event()

    def load():
        while not stop.is_set():
            urllib.request.urlopen(url, timeout=20).read()

    loader = threading.Thread(target=load)
    try:
        visit = browser.visit(url + "status")
        check(not visit.complaints and not visit.failed, "the page loads without a complaint", visit.complaints + visit.failed)
        loader.start()
        check(wait_for(browser, "+document.body.dataset.updates >= 3"), "it updates by itself")
        check(wait_for(browser, "+document.getElementById('requests_total').textContent.replace(/\\D/g, '') > 3"),
              "requests are counted")
        check(wait_for(browser, "document.getElementById('rate').textContent !== '0'"), "there is a rate")
        check(browser.js("document.querySelectorAll('#bars rect').length") == 25, "response times are drawn")
        check(wait_for(browser, "(document.querySelector('#line path').getAttribute('d') || '').includes('L')"),
              "the line is drawn")
        check(browser.js("document.querySelectorAll('#who tr').length > 0"), "who waits is listed")
        check(browser.js("document.getElementById('p50').textContent") != "-", "there is a median")
        check(browser.js("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out")
    finally:
        stop.set()
        if loader.ident is not None:
            loader.join()
        end(process)
    check(wait_for(browser, "document.body.classList.contains('off')"), "it shows that the server has gone")


def websocket(browser):
    process, url = start([str(BUILD / "examples" / "api_server"), "0"])
    try:
        browser.visit(url + "notes/")
        said = browser.js("""new Promise((yes, no) => {
            const s = new WebSocket(location.origin.replace('http', 'ws') + '/echo', 'echo'), got = [];
            s.onopen = () => { s.send('Grüße, 世界'); s.send(new Uint8Array(70000)); };
            s.onmessage = e => { got.push(typeof e.data === 'string' ? e.data : e.data.size);
                                 if (got.length === 2) s.close(1000, 'bye'); };
            s.onclose = e => yes(JSON.stringify([s.protocol, got, e.code, e.wasClean]));
            s.onerror = () => no(new Error('the socket failed'));
        })""")
        check(said == '["echo",["Grüße, 世界",70000],1000,true]', "a WebSocket echoes", said)
        counted = browser.js("""new Promise((yes, no) => {
            const s = new EventSource('/countdown?from=3'), got = [];
            s.addEventListener('count', e => { got.push(e.data); if (e.data === '0') { s.close(); yes(got.join()); } });
            s.onerror = () => no(new Error('the events failed'));
        })""")
        check(counted == "3,2,1,0", "events arrive", counted)
    finally:
        end(process)


def main():
    if devtools.find_chromium() is None:
        print("skipped: no Chromium here")
        return 77
    with devtools.Browser() as browser:
        status(browser)
        websocket(browser)
    print("status_test: %s" % ("all true" if not failures else "%d not true" % len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

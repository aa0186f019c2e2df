#!/usr/bin/python3
"""The page of `weft compare --html` in a browser: its charts are drawn, each has its names, nothing is asked of anybody, and
it fits a narrow window.

    exit 0: all true, 1: something is not, 77: no Chromium here"""

import os
import pathlib
import subprocess
import sys
import tempfile

import devtools

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ["iterative", "thread", "coroutine"]
failures = []


def check(true, what, detail=""):
    if not true:
        failures.append(what)
        print("not ok: %s%s" % (what, ": " + str(detail) if detail else ""), flush=True)


def look(browser, url):
    visit = browser.visit(url)
    check(not visit.failed and not visit.complaints, "nothing fails", (visit.failed, visit.complaints))
    check(all(u == url or u.startswith("data:") for u in visit.requests.values()), "asks nothing of anybody", visit.requests)
    check(browser.js("document.querySelectorAll('svg').length") == 5, "five charts")
    drawn = browser.js("[...document.querySelectorAll('svg')].every(s => { const r = s.getBoundingClientRect();"
                       "return r.width > 300 && r.height > 60 && s.getBBox().width > 100; })")
    check(drawn, "every chart is drawn")
    for chart in ("best", "rate", "time", "held", "memory"):
        names = browser.js("[...document.querySelectorAll('#%s text')].map(t => t.textContent)" % chart)
        check(all(m in names for m in MODELS), "the names are in the chart " + chart, names)
        inside = browser.js("[...document.querySelectorAll('#%s svg *')].filter(e => e.getBBox).every(e => {"
                            "const b = e.getBBox(), v = e.ownerSVGElement.viewBox.baseVal;"
                            "return b.x >= -1 && b.y >= -1 && b.x + b.width <= v.width + 1 && b.y + b.height <= v.height + 1; })" % chart)
        check(inside, "nothing is cut off in the chart " + chart)
    check(browser.js("document.querySelectorAll('#figures tr').length") == 1 + 2 * len(MODELS), "all figures")
    check(browser.js("document.querySelectorAll('#breaks tr').length") == 1 + len(MODELS), "where each breaks")
    for width in (375, 1280):
        browser.width(width)
        check(browser.js("document.documentElement.scrollWidth") <= width, "fits %d pixels" % width)


def main():
    if devtools.find_chromium() is None:
        print("skipped: no Chromium here")
        return 77
    weft = os.environ.get("WEFT", str(ROOT / "build" / "weft"))
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "report.html"
        subprocess.run([weft, "compare", "--models", ",".join(MODELS), "--clients", "1,3", "--duration", "0.2",
                        "--html", str(page)], check=True, timeout=120, stdout=subprocess.DEVNULL)
        with devtools.Browser() as browser:
            look(browser, page.as_uri())
    print("compare_test: %s" % ("all true" if not failures else "%d not true" % len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""`weft compare`: every model is run, the table, the JSON and the page have what was measured, wrong options are told.

S001-102, S001-103, S001-124, S001-136, S001-137, S001-138, S001-139, S002-10, S002-11. How fast anything is, is no matter of a
test. Environment: WEFT.
"""
import html.parser
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

WEFT = os.environ.get("WEFT", "build/weft")
MODELS = ["iterative", "process", "thread", "prefork", "pool", "select", "poll", "epoll", "epoll-et", "coroutine", "uring"]
failures = []


def check(condition, text, detail=""):
    if not condition:
        failures.append(text)
        print("FAIL %s %s" % (text, str(detail)[:800]))


def compare(*arguments, status=0):
    done = subprocess.run([WEFT, "compare", *arguments], capture_output=True, timeout=240, stdin=subprocess.DEVNULL)
    out, err = done.stdout.decode(), done.stderr.decode()
    check(done.returncode == status, "compare %s exits with %d" % (arguments, status), (done.returncode, out, err))
    if status != 0:
        check(out == "" and err.count("\n") == 1, "compare %s says one line" % (arguments,), err)
    return out if status == 0 else err


def check_step(model, step):
    name = "%s, %d clients: " % (model, step["clients"])
    check("error" not in step, name + "it was run", step)
    check(step["served"] <= step["clients"] and step["online"] <= step["clients"], name + "clients", step)
    check(step["answered"] <= step["sent"] + step["clients"], name + "no more answers than requests", step)
    check(step["held"] == step["served"] - step["broken"], name + "held are those who stayed", step)
    check(step["served"] + step["refused"] <= step["clients"], name + "nobody is counted twice", step)
    times = step["ms"]
    check(step["answered"] == 0 or times["p50"] <= times["p90"] <= times["p99"] <= times["p99.9"], name + "percentiles in order", times)
    check(abs(step["tps"] * step["seconds"] - step["answered"]) <= 1 + step["answered"] * 0.01, name + "TPS", step)
    check(step["processes"] >= 1 and step["threads"] >= 1 and step["memory"] > 0, name + "processes, threads, memory", step)


def every_model():
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, "report.html")
        report = json.loads(compare("--clients", "1,4", "--duration", "0.2", "--json", "--html", page))
        check(report["job"] == "echo" and report["tls"] is False and report["processors"] >= 1, "the head", report)
        check([m["model"] for m in report["models"]] == MODELS, "all models", [m["model"] for m in report["models"]])
        by_name = {m["model"]: m for m in report["models"]}
        for model in report["models"]:
            check([s["clients"] for s in model["steps"]] == [1, 4], "both steps", model)
            check(model["breaks"], "says where it breaks", model)
            for step in model["steps"]:
                check_step(model["model"], step)
        check(by_name["iterative"]["capacity"] == 1 and by_name["prefork"]["capacity"] == 8, "places", by_name)
        check(by_name["select"]["capacity"] <= 960 < by_name["process"]["capacity"] + 512, "places", by_name)
        check(by_name["iterative"]["steps"][1]["served"] <= 1, "iterative serves one client", by_name["iterative"])
        check_page(page)
        with open(page, encoding="utf-8") as f:
            memory = re.findall(r">([0-9.]+) MiB</text>", f.read())
        check(memory == ["%.1f" % (m["steps"][1]["memory"] / 2**20) for m in report["models"]], "memory as it is measured", memory)


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.counts, self.links = [], {}, []

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [v for n, v in attributes if n in ("src", "href")]
        if tag not in ("meta", "rect", "line", "polyline", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        check(self.open and self.open.pop() == tag, "the page's tags are nested: " + tag)

    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1


def check_page(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    page = Page()
    page.feed(text)
    check(page.open == [], "the page's tags are closed", page.open)
    check(page.counts.get("svg") == 5 and page.counts.get("table") == 2, "five charts and two tables", page.counts)
    check(page.counts.get("polyline") == 2 * len(MODELS), "a curve for each model", page.counts)
    check(page.links == [] and "script" not in page.counts and "url(" not in text, "it needs nothing else", page.links)
    check("nan" not in text.lower() and "inf" not in text.replace("info", ""), "no figure that is none")


def jobs_and_hybrids():
    """The other jobs, by table; and two processes of two threads are so many."""
    udp = json.loads(compare("--job", "udp", "--clients", "2", "--duration", "0.2", "--json"))  # under every model
    steps = [s for m in udp["models"] for s in m["steps"]]
    check([m["model"] for m in udp["models"]] == MODELS and len(steps) == len(MODELS), "udp: all models", udp["models"])
    check(all(s["served"] <= 2 and s["refused"] == 0 and s["sent"] >= s["lost"] >= 0 for s in steps), "udp: the counts", steps)
    check(any(s["served"] == 2 and s["answered"] > 2 for s in steps), "udp: there are answers", steps)
    for job in ("http", "cpu", "io"):
        out = compare("--job", job, "--models", "pool,coroutine", "--clients", "2", "--duration", "0.2")
        check("The job '%s'" % job in out and "Where each one breaks" in out, "the table of " + job, out)
        check(out.count("\npool ") == 2 and out.count("\ncoroutine ") == 2, "a line a model in " + job, out)
        check("QPS" in out and "TPS" in out and "50,000" in out, "the figures are explained in " + job, out)
    report = json.loads(compare("--models", "pool,epoll", "--processes", "2", "--threads", "2", "--clients", "2",
                                "--duration", "0.2", "--json"))
    check(report["models"][0]["capacity"] == 4, "two processes of two threads", report)
    for model in report["models"]:
        check_step(model["model"], model["steps"][0])
        check(model["steps"][0]["processes"] >= 4, "the server, its supervisor and two workers", model)


def all_come():
    """What says where a model breaks has let all clients come before: ten thousand, or a thousand who keep it computing,
    and datagrams that were lost at the start. What is measured takes next to no time here, so nobody comes in it."""
    need = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    many = [("--models", "epoll", "--clients", "9000")] if need >= 9500 else []
    for case in [*many, ("--job", "cpu", "--models", "poll", "--clients", "1000"), ("--job", "udp", "--models", "epoll", "--clients", "1000")]:
        model = json.loads(compare(*case, "--duration", "0.02", "--json"))["models"][0]
        step = model["steps"][0]
        check(step["served"] == int(case[-1]) and step["broken"] == 0, "all are served: %s" % (case,), model)
    full = json.loads(compare("--models", "iterative", "--clients", "3", "--duration", "0.1", "--json"))["models"][0]
    check("1 held, 2 waiting, 0 broken" in full["breaks"], "who stands in line is not waited for", full)


def not_for_all():
    """Among all models some have no use for an option: they run without it, and that is said."""
    command = [WEFT, "compare", "--clients", "1", "--duration", "0.05", "--threads", "2", "--processes", "2", "--json"]
    done = subprocess.run(command, capture_output=True, timeout=240)
    check(done.returncode == 0 and [m["model"] for m in json.loads(done.stdout)["models"]] == MODELS, "all models are run", done)
    check(done.stderr.decode() == "weft compare: --threads is nothing to iterative, process, thread, prefork\n"
          "weft compare: --processes is nothing to process\n", "and it is said who runs without", done.stderr)


def held():
    """Held is who had an answer and was not let go for others: table, JSON, page and the line of where it breaks agree."""
    arguments = ("--models", "select,epoll", "--clients", "1000", "--duration", "0.2")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.html")
        report = json.loads(compare(*arguments, "--json", "--html", path))
        with open(path, encoding="utf-8") as f:
            page = f.read()
    few, many = report["models"]
    step = few["steps"][0]
    check(few["capacity"] < 1000 and step["held"] <= few["capacity"], "select holds no more than it serves at a time", few)
    check("at 1000 clients: %d held, " % step["held"] in few["breaks"], "it breaks there, as it holds", few)
    check(many["steps"][0]["held"] == 1000 and many["breaks"] == "holds all 1000", "a loop over epoll holds them", many)
    for model in (few, many):
        check(">%d of 1000</text>" % model["steps"][0]["held"] in page, "so says the chart of " + model["model"])
        check_step(model["model"], model["steps"][0])
    rows = [line.split() for line in compare(*arguments).split("\n") if line.startswith("select ")]
    check(len(rows) == 2 and int(rows[0][3]) <= few["capacity"], "so says the table", rows)
    check("%s held," % rows[0][3] in " ".join(rows[1]), "and the line below it", rows)


def used():
    """No server has used more than the processors: that a thousand threads are started and stopped is not in it."""
    out = compare("--models", "epoll,coroutine", "--threads", "1024", "--clients", "5", "--duration", "0.1")
    shares = [int(share) for share in re.findall(r" (\d+)% ", out)]
    most = 120 * int(re.search(r"on (\d+) processors", out)[1])
    check(len(shares) == 2 and all(share <= most for share in shares), "processor time", shares)


def no_answer():
    """Where there was no answer there is no time either."""
    report = json.loads(compare("--models", "prefork", "--processes", "1", "--job", "io", "--clients", "1", "--duration", "0.0001", "--json"))
    step = report["models"][0]["steps"][0]
    check(step["answered"] > 0 or all(t is None for t in step["ms"].values()), "no times without an answer", step)


def over_tls():
    """Every model, and every job that goes over a stream; all of it says that it was TLS."""
    if "without TLS" in subprocess.run([WEFT, "compare", "--tls", "--html", "/nowhere/at/all.html"], capture_output=True).stderr.decode():
        print("compare --tls: this weft is without it")
        return
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, "report.html")
        report = json.loads(compare("--tls", "--clients", "2", "--duration", "0.2", "--json", "--html", page))
        check(report["tls"].startswith("TLSv1.3 TLS_"), "the version and the cipher", report["tls"])
        check([m["model"] for m in report["models"]] == MODELS, "all models over TLS", [m["model"] for m in report["models"]])
        for model in report["models"]:
            check_step(model["model"] + " over TLS", model["steps"][0])
        check(sum(m["steps"][0]["served"] == 2 and m["steps"][0]["answered"] > 0 for m in report["models"]) > 3, "TLS is answered", report)
        check_page(page)
        with open(page, encoding="utf-8") as f:
            text = f.read()
        check("over TLS</h1>" in text and "TLSv1.3 TLS_" in text, "the page says that it was TLS")
    for job in ("http", "cpu", "io"):
        out = compare("--tls", "--job", job, "--models", "pool,coroutine", "--clients", "2", "--duration", "0.2")
        check("The job '%s' over TLS" % job in out and "\nTLS: TLSv1.3 TLS_" in out, "the table says that it was TLS", out)
    plain = compare("--models", "pool", "--clients", "1", "--duration", "0.1")
    check("TLS" not in plain, "and without it says nothing of it", plain)
    check("not for udp" in compare("--tls", "--job", "udp", status=2), "datagrams have no TLS")


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(c) for c in f.read().split()]


def killed():
    """A server or clients that are killed: the step says so at once, and the next one is run."""
    for who, n in (("server", 1), ("clients", 2)):
        command = [WEFT, "compare", "--models", "epoll", "--clients", "1,2", "--duration", "1", "--json"]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        while len(children(run.pid)) < n:
            time.sleep(0.001)
        start = time.monotonic()
        os.kill(children(run.pid)[n - 1], signal.SIGKILL)
        first, second = json.loads(run.communicate(timeout=240)[0])["models"][0]["steps"]
        check(first.get("error") == "the %s ended by signal 9 (Killed)" % who, "who was killed is told", first)
        check_step("epoll", second)
        check(run.returncode == 1, "a step that could not be run is a failure", run.returncode)
        check(time.monotonic() - start < 25, "nobody waits for the dead", time.monotonic() - start)
    with tempfile.TemporaryDirectory() as folder:  # what was not measured is no 0 in the page
        path = os.path.join(folder, "report.html")
        run = subprocess.Popen([WEFT, "compare", "--models", "epoll", "--clients", "4", "--duration", "1", "--html", path],
                               stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        while len(children(run.pid)) < 2:
            time.sleep(0.001)
        os.kill(children(run.pid)[0], signal.SIGKILL)
        out = run.communicate(timeout=240)[0].decode()
        with open(path, encoding="utf-8") as f:
            page = f.read()
        check(page.count("not measured</text>") == 3 and "MiB</text>" not in page and "of 4</text>" not in page, "bars of nothing", page[-6000:])
        check("the best here: 0." in out, "nor is what was answered before it died", out)


def late_server():
    """A server that stands still while clients come: they wait for it, as nobody else has an answer either."""
    command = [WEFT, "compare", "--models", "epoll", "--job", "cpu", "--clients", "900", "--duration", "0.02", "--json"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    while len(children(run.pid)) < 2:
        time.sleep(0.001)
    server = children(run.pid)[0]
    while len(os.listdir("/proc/%d/fd" % server)) < 100:
        time.sleep(0.001)
    os.kill(server, signal.SIGSTOP)
    time.sleep(1.8)
    os.kill(server, signal.SIGCONT)
    step = json.loads(run.communicate(timeout=240)[0])["models"][0]["steps"][0]
    check(step["served"] == 900 and step["broken"] == 0, "a late server has served all", step)


def arrive_late(result):
    """Clients that need long to come: what they say of it is read as that. How long makes no difference to the others,
    so it goes on beside them."""
    command = [WEFT, "compare", "--models", "iterative", "--clients", "2", "--duration", "0.2", "--json"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    while len(children(run.pid)) < 2:
        time.sleep(0.001)
    clients = children(run.pid)[1]
    os.kill(clients, signal.SIGSTOP)  # one of them waits for an answer that does not come, which alone takes a second
    time.sleep(32)
    os.kill(clients, signal.SIGCONT)
    result.append(json.loads(run.communicate(timeout=240)[0])["models"][0]["steps"][0])


def check_late(step):
    check(step.get("clients") == 2, "clients that came late", step)
    check_step("iterative, late", step)


def files():
    """A client that cannot be made is nobody whom the server refuses."""
    command = "ulimit -n 100 && exec \"$0\" compare --models epoll --clients 1,200 --duration 0.1"
    done = subprocess.run(["sh", "-c", command, WEFT], capture_output=True, timeout=240)
    check((done.returncode, done.stdout, done.stderr.decode()) ==
          (2, b"", "weft compare: 200 clients need more than the 100 open files that this user may have\n"), "too few files", done)


def interrupted():
    """No process and no empty page is left."""
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, "report.html")
        command = [WEFT, "compare", "--models", "epoll", "--processes", "2", "--clients", "1", "--duration", "60", "--html", page]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        while len(children(run.pid)) < 2:
            time.sleep(0.001)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=240)  # the end of the pipe, which all of them have
        check(run.returncode == -signal.SIGINT, "it ends by the signal", run.returncode)
        check(not os.path.exists(page), "no empty page")


def wrong_options():
    check("no model 'magic'" in compare("--models", "magic", status=2), "a model that is not there")
    for clients in ("0", "x", "1,", "1,2,3,4,5,6,7,8,9", "20001", "-1"):
        compare("--clients", clients, status=2)
    check("--job is one of" in compare("--job", "sleep", status=2), "a job that is not there")
    check("cannot be written" in compare("--html", "/nowhere/at/all.html", status=2), "a page that cannot be written")
    for models, option, wrong in (("pool,iterative", "threads", "iterative"), ("prefork", "threads", "prefork"), ("thread", "threads", "thread"),
                                  ("epoll,process", "threads", "process"), ("process", "processes", "process")):
        check("--%s does not go with the model %s" % (option, wrong) in compare("--models", models, "--" + option, "2", status=2),
              "what is nothing to a model is refused")
    out = compare("--help")
    check("Examples:" in out and all(m in out for m in MODELS), "help with examples and models", out)


late = []
beside = threading.Thread(target=arrive_late, args=(late,))
beside.start()
every_model()
jobs_and_hybrids()
all_come()
not_for_all()
held()
used()
no_answer()
over_tls()
killed()
late_server()
interrupted()
wrong_options()
files()
beside.join()
check_late(late[0] if late else {})
print("compare_test: %s" % ("all true" if not failures else "%d not true" % len(failures)))
sys.exit(1 if failures else 0)

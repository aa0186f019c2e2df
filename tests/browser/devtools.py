"""A headless Chromium driven over the DevTools protocol through a pair of pipes; nothing but the standard library.

    with Browser() as browser:
        visit = browser.visit("http://127.0.0.1:8000/")
        browser.js("document.title")

The browser gets a profile of its own in a temporary directory, runs in its own process group, and is ended as one."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         "--disable-default-apps", "--mute-audio", "--remote-debugging-pipe"]


def find_chromium():
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        path = name and shutil.which(name)
        if path:
            return path
    return None


class Visit:
    """What one page load did: every request with its answer, and everything that went wrong."""

    def __init__(self):
        self.loader = None      # the document that is being loaded; the last page's requests have another
        self.requests = {}      # request id -> URL
        self.methods = {}       # request id -> "GET", "HEAD" ...
        self.answers = {}       # request id -> response, as the protocol gives it
        self.wire_status = {}   # request id -> status on the wire; 304 where the browser shows the cached 200
        self.open = set()
        self.failed = []        # loads that failed on the way
        self.complaints = []    # script exceptions and console errors
        self.loaded = False

    def take(self, method, p):
        if method == "Network.requestWillBeSent":
            if p["requestId"] == p["loaderId"]:
                self.loader = p["loaderId"]
            if p["loaderId"] != self.loader or p["request"]["url"].startswith("data:"):
                return
            self.requests[p["requestId"]] = p["request"]["url"]
            self.methods[p["requestId"]] = p["request"]["method"]
            self.open.add(p["requestId"])
        elif method == "Network.responseReceived":
            self.answers[p["requestId"]] = p["response"]
        elif method == "Network.responseReceivedExtraInfo":
            self.wire_status[p["requestId"]] = p["statusCode"]
        elif method == "Network.loadingFinished":
            self.open.discard(p["requestId"])
        elif method == "Network.loadingFailed" and p["requestId"] in self.requests:
            self.open.discard(p["requestId"])
            self.failed.append("%s: %s" % (self.requests.get(p["requestId"]), p["errorText"]))
        elif method == "Runtime.exceptionThrown":
            details = p["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and p["entry"]["level"] == "error":
            self.complaints.append("%s %s" % (p["entry"]["text"], p["entry"].get("url", "")))
        elif method == "Page.loadEventFired":
            self.loaded = self.loader is not None

    def settled(self):
        return self.loaded and not self.open

    def answer_of(self, url):
        for key, asked in self.requests.items():
            if asked == url and key in self.answers:
                return self.answers[key]
        return None


class Browser:
    def __init__(self, limit_s=60):
        self.limit_s = limit_s
        self.profile = tempfile.mkdtemp(prefix="weft-browser-")
        self.visit_now = Visit()
        self.replies = {}
        self.buffer = b""
        self.next_id = 0
        self.session = None
        to_browser, from_browser = os.pipe(), os.pipe()
        # Chromium reads descriptor 3 and writes descriptor 4. The ends are moved out of the way first, so that neither
        # dup2 below can fall on the other.
        read_end = fcntl.fcntl(to_browser[0], fcntl.F_DUPFD_CLOEXEC, 20)
        write_end = fcntl.fcntl(from_browser[1], fcntl.F_DUPFD_CLOEXEC, 20)

        def place():
            os.dup2(read_end, 3)
            os.dup2(write_end, 4)

        self.process = subprocess.Popen([find_chromium(), "--user-data-dir=" + self.profile, *FLAGS, "about:blank"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        close_fds=False, start_new_session=True, preexec_fn=place)
        for fd in (read_end, write_end, to_browser[0], from_browser[1]):
            os.close(fd)
        self.out, self.into = to_browser[1], from_browser[0]

    def __enter__(self):
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.call(domain + ".enable")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.out)
        os.close(self.into)
        shutil.rmtree(self.profile, ignore_errors=True)

    # --- messages: JSON, each ended by a zero byte ---

    def pump(self, deadline):
        """Take in whatever has arrived; wait for at least one message, or raise at the deadline."""
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.into], [], [], left)[0]:
                raise TimeoutError("the browser did not answer in %d s; still loading: %s" %
                                   (self.limit_s, [self.visit_now.requests[key] for key in self.visit_now.open]))
            chunk = os.read(self.into, 1 << 16)
            if not chunk:
                raise EOFError("the browser has gone (status %s)" % self.process.poll())
            self.buffer += chunk
        *messages, self.buffer = self.buffer.split(b"\0")
        for raw in messages:
            message = json.loads(raw)
            if "id" in message:
                self.replies[message["id"]] = message
            else:
                self.visit_now.take(message["method"], message.get("params", {}))

    def call(self, method, **params):
        self.next_id += 1
        message = {"id": self.next_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        deadline = time.monotonic() + self.limit_s
        while message["id"] not in self.replies:
            self.pump(deadline)
        reply = self.replies.pop(message["id"])
        if "error" in reply:
            raise RuntimeError("%s: %s" % (method, reply["error"]["message"]))
        return reply["result"]

    def settle(self):
        deadline = time.monotonic() + self.limit_s
        while not self.visit_now.settled():
            self.pump(deadline)
        return self.visit_now

    def cache(self, on):
        self.call("Network.setCacheDisabled", cacheDisabled=not on)

    def visit(self, url):
        self.visit_now = Visit()
        self.call("Page.navigate", url=url)
        return self.settle()

    def reload(self):
        self.visit_now = Visit()
        self.call("Page.reload")
        return self.settle()

    def js(self, expression):
        """The value of a script expression in the page; a promise is awaited."""
        reply = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(reply["exceptionDetails"].get("exception", {}).get("description", "script failed"))
        return reply["result"].get("value")

    def body(self, request_id):
        reply = self.call("Network.getResponseBody", requestId=request_id)
        if reply["base64Encoded"]:
            return base64.b64decode(reply["body"])
        return reply["body"].encode()

    def width(self, pixels):
        self.call("Emulation.setDeviceMetricsOverride", width=pixels, height=800, deviceScaleFactor=1, mobile=False)

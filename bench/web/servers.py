"""The web servers that are measured: how each is started, as the people who know it would tune it for static files.

Every server gets one worker, no access log, keep-alive without end, room for 16,000 connections, a port of its own on
127.0.0.1 and the same directory. The settings follow each project's own tuning notes; where two of them compete (nginx
with and without sendfile), the workload says which is better for it and gets that one.
"""

import ctypes
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import time

START_LIMIT_S = 10
STOP_LIMIT_S = 5

NGINX = """
daemon off; master_process on; worker_processes 1; worker_rlimit_nofile 20000;
{user}
pid {dir}/nginx.pid; error_log {dir}/error.log crit;
events {{ use epoll; worker_connections 16384; multi_accept on; accept_mutex off; }}
http {{
    access_log off; server_tokens off; default_type text/plain;
    sendfile {sendfile}; tcp_nopush {sendfile}; tcp_nodelay on;
    keepalive_timeout 3600s; keepalive_requests 1000000000; reset_timedout_connection on;
    open_file_cache max=1000 inactive=3600s; open_file_cache_valid 60s; open_file_cache_min_uses 1;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }}
}}
"""

H2O = """
num-threads: 1
max-connections: 16384
http1-request-timeout: 3600
{user}
error-log: {dir}/error.log
listen:
  host: 127.0.0.1
  port: {port}
hosts:
  default:
    paths:
      /:
        file.dir: {root}
        file.mime.setdefaulttype: text/plain
"""

LIGHTTPD = """
server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{dir}/error.log"
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.stat-cache-engine = "simple"
server.listen-backlog = 4096
server.max-fds = 40000
server.max-connections = 16384
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 3600
server.max-read-idle = 3600
server.max-write-idle = 3600
server.feature-flags = ( "server.h2proto" => "disable" )
mimetype.assign = ( "" => "text/plain" )
"""


class Failed(Exception):
    """A server did not start, or a program that the measurement needs is not there."""


def find(program):
    """The path of a program that may be in an administrator's directory; None when it is not installed."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_on(core):
    """For a child, before exec: on one core, ahead of what else runs here if we may, and gone when we are gone.

    The kernel weighs sessions against each other before it looks at what is nice within one, so the child gets a session
    of its own and the session gets the weight."""

    def prepare():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        os.setsid()
        os.sched_setaffinity(0, {core})
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -20)
            pathlib.Path("/proc/self/autogroup").write_text("-20")
        except OSError:
            pass

    return prepare


def descendants(pid):
    """pid and every process below it."""
    found, at = [pid], 0
    while at < len(found):
        for children in pathlib.Path(f"/proc/{found[at]}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
        at += 1
    return found


class Server:
    """One running server: `url` without the file's name, `pids` of all its processes. Use as a context manager."""

    def __init__(self, argv, core, directory, port=None, settle=0):
        self.log = open(pathlib.Path(directory) / "server.out", "wb")
        self.process = subprocess.Popen(argv, preexec_fn=run_on(core), stdin=subprocess.DEVNULL,
                                        stdout=self.log if port else subprocess.PIPE, stderr=self.log)
        try:
            if port is None:
                self.url = self.read_url()
            else:
                self.url = f"http://127.0.0.1:{port}/"
                self.wait_for_port(port)
            time.sleep(settle)
            self.pids = descendants(self.process.pid)
        except BaseException:
            self.close()
            raise

    def fail(self, why):
        self.log.flush()
        text = pathlib.Path(self.log.name).read_text(errors="replace").strip()
        raise Failed(why + (f": {text.splitlines()[-1]}" if text else ""))

    def read_url(self):
        line = self.process.stdout.readline().decode().strip()
        if not line.startswith(("http://", "https://", "tcp://")):
            self.process.wait(STOP_LIMIT_S)
            self.fail("did not print its URL")
        return line if line.endswith("/") or line.startswith("tcp") else line + "/"

    def wait_for_port(self, port):
        limit = time.monotonic() + START_LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > limit:
                    self.fail("does not listen")
                time.sleep(0.02)

    def check_alive(self):
        if self.process.poll() is not None:
            self.fail(f"ended with {self.process.returncode} under load")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()


class Kind:
    """How to start one kind of server: from a configuration that `template` makes, or with the words of `argv` alone."""

    def __init__(self, name, program, argv, template=None, user="", ours=False, files_per_connection=1):
        self.name, self.program, self.argv = name, program, argv
        self.template, self.user, self.ours = template, user, ours
        self.files_per_connection = files_per_connection

    def can_hold(self, connections):
        """Whether the limit of open files lets it have so many connections."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= self.files_per_connection * (connections + 100)

    def start(self, root, core, directory, workload):
        """Start it for `workload` with its files under `root`; `directory` is its own for what it writes."""
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        if self.template is None:
            return Server([str(word) for word in self.argv(self.program, root, workload)], core, directory)
        port = free_port()
        user = self.user if os.geteuid() == 0 else ""
        settings = {"sendfile": "on" if workload.large else "off"}
        config = directory / "server.conf"
        config.write_text(self.template.format(root=root, dir=directory, port=port, user=user, **settings))
        argv = [word.format(conf=config, dir=directory) for word in self.argv]
        return Server([self.program] + argv, core, directory, port=port, settle=0.1)


def peers():
    """The peers that are installed, and the names of those that are not."""
    kinds = [Kind("nginx", find("nginx"), ["-p", "{dir}", "-c", "{conf}"], NGINX, user="user root;"),
             Kind("h2o", find("h2o"), ["-c", "{conf}"], H2O, user="user: root"),
             Kind("lighttpd", find("lighttpd"), ["-D", "-f", "{conf}"], LIGHTTPD,
                  files_per_connection=2)]
    return [kind for kind in kinds if kind.program], [kind.name for kind in kinds if not kind.program]


def floor(program):
    """The bare epoll loop: what the system calls alone cost."""
    return Kind("floor", program, lambda path, root, workload: [path, workload.size])


def weft(program, poller):
    def argv(path, root, workload):
        return [path, "web", root, "--port", 0, "--poller", poller, "--threads", 1, "--log", "none",
                "--idle-timeout", 3600] + (workload.weft_options or ["--max-connections", 16384])

    return Kind(f"weft-{poller}", program, argv, ours=True)

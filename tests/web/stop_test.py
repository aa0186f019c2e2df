#!/usr/bin/env python3
"""How `weft web` ends: what is under way is finished, idle clients are let go, the exit status is 0; a second signal ends at
once; workers that die are replaced, and end with their parent."""

import os
import select
import signal
import subprocess
import sys
import time

from web import Client, Failure, PATIENCE, Server, Tree, WEFT, check, get, run

MODELS = (["--poller", "epoll"], ["--poller", "uring"], ["--model", "thread"], ["--processes", "2"],
          ["--model", "pool", "--threads", "64"], ["--model", "process"])


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"


def wait_end(process, seconds):
    end = time.monotonic() + seconds * PATIENCE
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    check(process.poll() is not None, f"still running after {seconds} s")
    return process.returncode


def under_way_is_finished():
    """A client in the middle of a large file gets all of it; one that is idle is closed; nobody new is accepted."""
    data = os.urandom(1 << 20) * 24
    for arguments in MODELS:
        with Tree() as tree:
            tree.write("large.bin", data)
            with Server(tree.path, *arguments) as server:
                idle = Client(server)
                idle.send(request("/none"))
                check(idle.answer().status == 404, "no answer")
                c = Client(server, 20)
                c.send(request("/large.bin"))
                while len(c.buffer) < 100000:
                    check(c.fill(), "closed")
                server.process.send_signal(signal.SIGTERM)
                check(idle.at_end(), f"{arguments}: the idle connection was not closed")
                time.sleep(0.3)
                check(server.process.poll() is None, f"{arguments}: it ended with an answer under way")
                try:
                    with Client(server, 2) as late:
                        late.send(request("/none"))
                        check(late.answer() is None, f"{arguments}: a newcomer was served")
                except (OSError, Failure):
                    pass
                a = c.answer()
                check(a.body == data, f"{arguments}: the answer under way was cut")
                check(c.at_end(), f"{arguments}: not closed after it")
                check(wait_end(server.process, 5) == 0, f"{arguments}: exit status {server.process.returncode}")
                idle.socket.close()
                c.socket.close()


def grace_ends():
    """A client that takes nothing does not keep the server longer than its grace."""
    for arguments in MODELS:
        with Tree() as tree:
            tree.write("large.bin", b"x" * 50000000)
            with Server(tree.path, "--grace", "0.5", *arguments) as server:
                s = server.connect()
                s.sendall(request("/large.bin").encode())
                s.recv(1)
                start = time.monotonic()
                server.process.send_signal(signal.SIGINT)
                if "--processes" not in arguments:
                    check(wait_end(server.process, 5) == 0, f"{arguments}: exit status {server.process.returncode}")
                    check(time.monotonic() - start > 0.4, f"{arguments}: ended before its grace")
                else:
                    wait_end(server.process, 5)
                s.close()


def second_signal():
    for arguments in MODELS:
        with Tree() as tree:
            tree.write("large.bin", b"x" * 50000000)
            with Server(tree.path, "--grace", "60", *arguments) as server:
                idle = Client(server)
                idle.send(request("/none"))
                check(idle.answer().status == 404, "no answer")
                s = server.connect()
                s.sendall(request("/large.bin").encode())
                s.recv(1)
                server.process.send_signal(signal.SIGTERM)
                check(idle.at_end(), f"{arguments}: the idle connection was not closed")
                idle.socket.close()
                check(server.process.poll() is None, f"{arguments}: the first signal ended it")
                server.process.send_signal(signal.SIGTERM)
                check(wait_end(server.process, 20) == 0, f"{arguments}: exit status {server.process.returncode}")
                s.close()


def idle_server_ends_at_once():
    for arguments in MODELS:
        with Tree() as tree:
            with Server(tree.path, *arguments) as server:
                clients = [Client(server) for _ in range(50)]
                for c in clients:
                    c.send(request("/"))
                    check(c.answer().status == 403, "no answer")
                start = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                check(wait_end(server.process, 9) == 0, f"{arguments}: exit status {server.process.returncode}")
                check(time.monotonic() - start < 9 * PATIENCE, f"{arguments}: took {time.monotonic() - start:.1f} s")
                for c in clients:
                    c.socket.close()


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def children(pid):
    """Those that live: one that was killed stays on the kernel's list until its parent has buried it."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split() if not gone(int(p))]


def wait_until(condition, text, seconds=8):
    end = time.monotonic() + seconds * PATIENCE
    while not condition():
        check(time.monotonic() < end, text)
        time.sleep(0.01)


def workers_of(server):
    """The children of its supervisor."""
    return [w for supervisor in children(server.process.pid) for w in children(supervisor)]


def a_dead_worker_is_replaced():
    with Tree() as tree:
        tree.write("a.txt", "a")
        server = Server(tree.path, "--processes", "3")
        try:
            with server:
                check(len(workers_of(server)) == 3, "not three workers")
                for _ in range(5):
                    victim = workers_of(server)[0]
                    os.kill(victim, signal.SIGKILL)
                    wait_until(lambda: gone(victim) and len(workers_of(server)) == 3, "not replaced")
                    for _ in range(10):
                        check(get(server, "/a.txt").body == b"a", "not served")
                workers = workers_of(server)
        except Failure as e:
            check("replacing it" in str(e), str(e))  # it says so on standard error
        check(server.process.returncode == 0, f"exit status {server.process.returncode}")
        check(server.errors.count("replacing it") == 5, server.errors)
        check(all(gone(w) for w in workers), "a worker is left")


def workers_end_with_the_parent():
    with Tree() as tree:
        server = Server(tree.path, "--processes", "3")
        server.__enter__()
        workers = workers_of(server) + children(server.process.pid)
        check(len(workers) == 4, "not three workers and their supervisor")
        server.process.kill()
        server.process.wait()
        wait_until(lambda: all(gone(w) for w in workers), "workers outlive their parent")
        server.process.stdout.close()
        server.process.stderr.close()


def signals_are_not_held_up(victim, *before):
    """SIGTERM is carried out, whatever does not hear and whatever came before it."""
    with Tree() as tree:
        with Server(tree.path, "--processes", "2", "--grace", "1") as server:
            stopped = victim(server)
            os.kill(stopped, signal.SIGSTOP)
            for sig in (*before, signal.SIGTERM):
                server.process.send_signal(sig)
                time.sleep(0.02)  # so that it does not take the second before the first
            check(wait_end(server.process, 8) == 0, f"exit status {server.process.returncode}")
            wait_until(lambda: gone(stopped), "who was stopped is left")


def a_stopped_worker_holds_no_signal_up():
    signals_are_not_held_up(lambda server: workers_of(server)[0], signal.SIGHUP, signal.SIGHUP)


def a_stopped_supervisor_holds_no_signal_up():
    signals_are_not_held_up(lambda server: children(server.process.pid)[0], signal.SIGHUP)


def an_end_is_obeyed_while_it_starts(find):
    """Who hangs before the server has started holds no signal up. Stopped at some moment of the start: it may be too
    late, and then there is a URL."""
    for _ in range(100):
        with Tree() as tree:
            server = subprocess.Popen([WEFT, "web", tree.path, "--port", "0", "--processes", "100", "--grace", "0.2"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                victims = []
                while not victims:
                    check(server.poll() is None, "it has ended")
                    victims = find(server.pid)
                os.kill(victims[-1], signal.SIGSTOP)
                late, _, _ = select.select([server.stdout], [], [], 0.5 * PATIENCE)
                server.send_signal(signal.SIGTERM)
                check(wait_end(server, 8) == 0, f"exit status {server.returncode}")
            finally:
                server.kill()
                told = server.communicate()
            check(late or told == (b"", b""), f"it said {told}")
            wait_until(lambda: gone(victims[-1]), "who was stopped is left")
            if not late:
                return
    raise Failure("nobody was stopped in time")


def a_supervisor_that_hangs_in_the_start_holds_no_end_up():
    an_end_is_obeyed_while_it_starts(children)


def a_worker_that_hangs_in_the_start_holds_no_end_up():
    an_end_is_obeyed_while_it_starts(lambda pid: [w for supervisor in children(pid) for w in children(supervisor)])


def an_alarm_is_no_end():
    with Tree() as tree:
        tree.write("a.txt", "a")
        with Server(tree.path) as server:
            server.process.send_signal(signal.SIGALRM)
            check(get(server, "/a.txt").body == b"a", "not served")
            server.process.send_signal(signal.SIGTERM)
            check(wait_end(server.process, 8) == 0, f"exit status {server.process.returncode}")


def interrupt_of_the_group():
    """Ctrl-C reaches parent and workers alike, and is still graceful."""
    with Tree() as tree:
        tree.write("large.bin", b"x" * 30000000)
        with Server(tree.path, "--processes", "2", start_new_session=True) as server:
            check(len(workers_of(server)) == 2, "not two workers")
            with Client(server, 20) as c:
                c.send(request("/large.bin"))
                while len(c.buffer) < 1000:
                    check(c.fill(), "closed")
                os.killpg(server.process.pid, signal.SIGINT)
                check(len(c.answer().body) == 30000000, "the answer was cut")
            check(wait_end(server.process, 8) == 0, f"exit status {server.process.returncode}")


def a_closed_standard_output_is_no_matter():
    with Tree() as tree:
        tree.write("a.txt", "a")
        with Server(tree.path, "--log", "-") as server:
            server.process.stdout.close()
            for _ in range(500):
                check(get(server, "/a.txt").body == b"a", "not served")
            server.process.send_signal(signal.SIGTERM)
            check(wait_end(server.process, 8) == 0, f"exit status {server.process.returncode}")
            server.process.stdout = open(os.devnull, "rb")


def a_log_that_nobody_reads_is_no_matter():
    """The pipe is full: lines are dropped, requests are served, the end comes in time."""
    with Tree() as tree:
        tree.write("a.txt", "a")
        with Server(tree.path, "--log", "-", "--threads", "1", "--grace", "60") as server:
            with Client(server) as c:
                for _ in range(60):
                    c.send(("GET /a.txt HTTP/1.1\r\nHost: t\r\nUser-Agent: " + "x" * 100 + "\r\n\r\n") * 100)
                    for _ in range(100):
                        check(c.answer().body == b"a", "not served")
            start = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            check(wait_end(server.process, 30) == 0, f"exit status {server.process.returncode}")
            check(time.monotonic() - start < 30 * PATIENCE, f"took {time.monotonic() - start:.1f} s to end")


def words_that_nobody_reads_are_no_matter():
    """Standard error is a pipe that is full: a worker that dies is replaced all the same, and signals are obeyed."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    with Tree() as tree:
        with Server(tree.path, "--processes", "2", preexec_fn=lambda: os.dup2(writer, 2)) as server:
            for _ in range(2):
                victim = workers_of(server)[0]
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda: gone(victim) and len(workers_of(server)) == 2, "not replaced")
            os.rename(tree.path, tree.path + ".away")
            server.process.send_signal(signal.SIGHUP)  # it has something to say to that
            server.process.send_signal(signal.SIGTERM)
            check(wait_end(server.process, 8) == 0, f"exit status {server.process.returncode}")
            os.rename(tree.path + ".away", tree.path)
    os.close(reader)
    os.close(writer)


def an_end_wanted_before_the_start_is_one():
    """SIGTERM that is there before the server starts to serve: it ends well, and does not fail to start."""
    def wants_end():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)

    for arguments in ([], ["--processes", "2"], ["--model", "thread"]):
        with Tree() as tree:
            done = subprocess.run([WEFT, "web", tree.path, "--port", "0", *arguments], capture_output=True, timeout=30 * PATIENCE,
                                  preexec_fn=wants_end)
            check((done.returncode, done.stderr) == (0, b""), f"{arguments}: {done}")


if __name__ == "__main__":
    only = sys.argv[1:]
    run([(f.__name__.replace("_", " "), f) for f in (
        under_way_is_finished, grace_ends, second_signal, idle_server_ends_at_once, a_dead_worker_is_replaced,
        workers_end_with_the_parent, a_stopped_worker_holds_no_signal_up,
        a_stopped_supervisor_holds_no_signal_up, a_supervisor_that_hangs_in_the_start_holds_no_end_up,
        a_worker_that_hangs_in_the_start_holds_no_end_up, an_alarm_is_no_end, an_end_wanted_before_the_start_is_one, interrupt_of_the_group, a_closed_standard_output_is_no_matter,
        a_log_that_nobody_reads_is_no_matter, words_that_nobody_reads_are_no_matter) if not only or f.__name__ in only])

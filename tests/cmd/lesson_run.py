"""Running the lessons of `weft lesson` and looking at their lines, for lesson_test.py. Environment: WEFT, the command."""
import glob
import os
import subprocess
import time

WEFT = os.path.abspath(os.environ.get("WEFT", "build/weft"))
# ThreadSanitizer has threads of its own, which might be the ones that wake those that are stuck.
FINDS_STUCK = "tsan" not in os.environ.get("WEFT_BUILD", "")
PAUSE, fast = 1 / 20, ["--fast"]
failures, checked, tested = [], 0, set()


def check(condition, text, detail=""):
    global checked
    checked += 1
    if not condition:
        failures.append(text)
        print("FAIL %s %s" % (text, str(detail)[:600]))


def weft(*arguments, folder=None):
    """(exit status, standard output, standard error)."""
    done = subprocess.run([WEFT, *arguments], capture_output=True, timeout=120, cwd=folder, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def run(name, *flags, least=0.0, folder=None):
    """The lines of a lesson; `least` is how long its pauses are together."""
    tested.add(name)
    start = time.monotonic()
    status, out, err = weft("lesson", "run", name, *fast, *flags, folder=folder)
    seconds = time.monotonic() - start
    check(status == 0 and err == "", f"{name} {flags} succeeds", (status, err, out))
    check(seconds >= least * PAUSE, f"{name} takes its {least} s", seconds / PAUSE)
    check(out.endswith("\n"), f"{name} ends its last line")
    return out.rstrip("\n").split("\n")


def left_in_tmp(name):
    """The folders that runs of this lesson have there now."""
    return set(glob.glob(f"/tmp/{name}-*"))


def none_stays(folders):
    """folders() is empty, soon: others may be running the lesson at the same time."""
    limit = time.monotonic() + 20
    while folders() and time.monotonic() < limit:
        time.sleep(0.05)
    return not folders()


def same(name, lines, wanted):
    check(lines == wanted, f"{name}: the text", "%s instead of %s" % (lines, wanted))

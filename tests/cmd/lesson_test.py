#!/usr/bin/env python3
"""Every lesson of `weft lesson` prints the text of its tutorial, in its order and not faster than its pauses.

The lessons run with --fast: pauses are a twentieth. Only what is certain is compared: where threads may overtake each
other, the lines are counted or sorted. What is racy by --unsafe is wrong every time. Environment: WEFT, the command.
"""
import ast
import json
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile

import lesson_run
from lesson_run import WEFT, check, failures, run, same, tested, weft

# Whose lines stand in the order of their pauses. On a machine so busy that a thread comes a twentieth of a second late,
# they are run again with pauses twenty times as long.
BY_PAUSES = {"daemon", "mail_alarm", "sms", "thread_pool", "futures", "tickets", "five_threads", "efficiency", "alternate",
             "dice", "f1", "sticky", "both_wait"}


# ---- threads and daemons: S000-05 to S000-19 ----

def test_threads():  # S000-11: idents inside and outside, list of four, wall time one second
    lines = run("threads", least=1)
    starts = dict(m.groups() for m in (re.fullmatch(r"start(\d) (\d+)", line) for line in lines) if m)
    check(sorted(starts) == ["0", "1", "2"], "threads: three starts", lines)
    outside = [line for line in lines if re.fullmatch(r"\d+", line)]
    check(outside == [starts[i] for i in "012"], "threads: the same idents inside and outside", lines)
    listed = [line for line in lines if line.startswith("[")]
    wanted = "[<_MainThread(MainThread, started N)>, " + \
        ", ".join("<Thread(Thread-%d, started %s)>" % (i + 1, starts[str(i)]) for i in range(3)) + "] 4"
    check(len(listed) == 1 and re.sub(r"(MainThread, started )\d+", r"\1N", listed[0]) == wanted, "threads: the list", listed)
    check(sorted(line for line in lines if line.startswith("end")) == ["end0", "end1", "end2"], "threads: three ends", lines)
    check(lines[-1] == "所有线程执行完毕" and len(lines) == 11, "threads: the last line", lines)


def test_thread_class():  # S000-13
    lines = run("thread_class")
    check(len(lines) == 2 and lines[0] == lines[1] and lines[0].isdigit(), "thread_class: one ident, seen twice", lines)


def test_daemon():  # S000-15, -16, -18: three times son2, three or four times son, three seconds
    lines = run("daemon", least=3)
    check(lines.count("in son2...") == 3 and lines.count("in son") in (3, 4), "daemon: how often", lines)
    check(len(lines) in (6, 7) and set(lines[:2]) == {"in son", "in son2..."}, "daemon: both at once", lines)


# ---- locks: S000-20 to S000-31 ----

def test_steps():  # S000-20
    lines = run("steps")
    same("steps", [line.split()[1] for line in lines[:6]],
         ["LOAD_GLOBAL", "LOAD_CONST", "INPLACE_ADD", "STORE_GLOBAL", "LOAD_CONST", "RETURN_VALUE"])
    same("steps", [re.search(r"a = (\d)", line)[1] for line in lines[6:]], list("21112"))


def test_singleton():  # S000-25, X-11
    form = r"<__main__\.A object at 0x[0-9a-f]+>"
    safe, unsafe = run("singleton"), run("singleton", "--unsafe")
    check(len(safe) == 10 and len(set(safe)) == 1 and re.fullmatch(form, safe[0]), "singleton: one instance", safe)
    check(len(unsafe) == 10 and len(set(unsafe)) == 10, "singleton --unsafe: one for each", unsafe)


def test_rlock():  # S000-28, -29
    lines = run("rlock")
    for i in range(5):
        check(f"{i} :start" in lines and lines.index(f"{i} :start") < lines.index(f"{i} :end"), f"rlock: thread {i}", lines)
    check(len(lines) == 10, "rlock: ten lines", lines)


def test_noodle():  # S000-33, -35: exactly two lines, then the ring
    lines = run("noodle")
    check({lines[0].split()[1], lines[1].split()[1]} == {"抢到面了", "抢到叉子了"}, "noodle: each has one", lines)
    text = "\n".join(lines[2:])
    check("deadlock" in text and "吃面" not in text, "noodle: the report", lines)
    for line in lines[:2]:
        check(text.count('"%s"' % line.split()[0]) >= 1, "noodle: the report names " + line, text)
    for part in ("noodle_lock", "fork_lock", "noodle.c:"):
        check(part in text, "noodle: the report has " + part, text)


def test_noodle_rlock():  # S000-34: all eat, one after the other
    lines, people = run("noodle_rlock"), {}
    for line in lines:
        who, what = line.split(" ")
        people.setdefault(who, []).append(what)
    for who, kind in (("lucy", 1), ("jack", 2), ("rose", 1), ("disen", 2)):
        got = ["抢到面了", "抢到叉子了"] if kind == 1 else ["抢到叉子了", "抢到面了"]
        left = ["放下叉子了", "放下面了"] if kind == 1 else ["放下面了", "放下叉子了"]
        check(people.get(who) == got + ["吃面"] + left, f"noodle_rlock: {who} eats", lines)
    eaters = [line.split()[0] for line in lines if line.endswith("吃面")]
    holders = [line.split()[0] for line in lines if "抢到" in line]
    check(holders == [who for who in eaters for _ in range(2)], "noodle_rlock: nobody has just one", lines)


# ---- queues and questions: S000-36 to S000-54 ----

def test_crawl_music():  # S000-44
    lines = run("crawl_music", least=0.6)
    songs = [int(m[1]) for m in (re.search(r"链接 song(\d+)\.mp3$", line) for line in lines) if m]
    check(sorted(songs) == list(range(1, 19)), "crawl_music: each song once", lines)
    for page in range(1, 10):
        check(f"生产者: 第{page}页已下载" in lines, f"crawl_music: page {page}", lines)
    check(lines[-1] == "共收集到 18 首歌曲的链接" and len(lines) == 28, "crawl_music: the sum", lines)


def test_mail_alarm():  # S000-45: the monitor does not wait for the mail
    lines = run("mail_alarm", least=1.5)
    same("mail_alarm", [line for line in lines if line.startswith("监控")],
         ["监控: cpu %d%%" % n for n in (35, 92, 41, 97, 99, 20)])
    same("mail_alarm", [line for line in lines if line.startswith("发送")],
         ["发送邮件给 admin@example.com: 报警: cpu %d%%" % n for n in (92, 97, 99)])
    check(lines[-1].endswith("99%"), "mail_alarm: what is left in the queue is sent", lines)


def test_sms():  # S000-46, S003-10
    lines = run("sms", least=3)
    same("sms", lines[:3], ["任务已提交", "已取消一个任务", "发送短信: 验证码 1024"])
    same("sms", lines[3:], ["发送短信: 天气预报"] * 3)


def test_questions():  # S000-49 to S000-53, X-11
    same("question1", run("question1"), ["1"])
    same("question1 --two", run("question1", "--two"), ["1"])
    same("question1 --two --unsafe", run("question1", "--two", "--unsafe"), ["IndexError: pop from empty list", "0"])
    same("question2", run("question2"), ["1"])
    same("question3", run("question3"), ["0"])
    same("question4", run("question4"), ["0"])
    check(run("question4", "--unsafe") != ["0"], "question4 --unsafe: not 0")


def test_judge():  # S000-54
    same("judge", [line.split(" => ")[1][:2] for line in run("judge")], ["安全", "不安", "安全", "安全", "不安"])


# ---- pools: S000-55 to S000-69 ----

def test_thread_pool():  # S000-60: four idents, five rounds of a second
    lines = [line.split() for line in run("thread_pool", least=5)]
    same("thread_pool", sorted((int(a), int(b)) for _, a, b in lines), [(i, i + 1) for i in range(20)])
    check(len({ident for ident, _, _ in lines}) == 4, "thread_pool: four idents", lines)


def test_process_pool():  # S000-61: four processes, five rounds of a second
    lines = [line.split() for line in run("process_pool", least=5)]
    check(1 < len({pid for pid, *_ in lines}) <= 4 and len(lines) == 40, "process_pool: pids", lines)
    for i in range(20):
        mine = [line for line in lines if line[2:] == [str(i), str(i + 1)]]
        check([line[1] for line in mine] == ["start", "end"] and mine[0][0] == mine[1][0], f"process_pool: task {i}", mine)


def test_futures():  # S000-62
    lines = run("futures", least=2)
    for i in range(4):
        before, after, result = lines[3 * i:3 * i + 3]
        check(re.fullmatch(r"<Future at 0x[0-9a-f]+ state=(running|pending)>", before), "futures: at work", before)
        check(re.fullmatch(r"<Future at 0x[0-9a-f]+ state=finished>", after), "futures: finished", after)
        check(result == str(i * i), "futures: the result", result)


def test_futures_dict():  # S000-63
    same("futures_dict", run("futures_dict", least=5), ["%d %d" % (i, i * (i + 1)) for i in range(20)])


def test_map():  # S000-64, -65
    lines = run("map", least=5)
    same("map", [line for line in lines if line.isdigit()], [str(i * (i + 1)) for i in range(20)])
    for i in range(20):
        started = [line for line in lines if line.endswith(f" start {i} {i + 1}")]
        ended = [line for line in lines if line.endswith(f" end {i} {i + 1}")]
        check(len(started) == len(ended) == 1 and started[0].split()[0] == ended[0].split()[0], f"map: input {i}", lines)
        check(lines.index(ended[0]) < lines.index(str(i * (i + 1))) or i == 0, f"map: result {i} comes after its end", lines)
    check(len({line.split()[0] for line in lines if " start " in line}) == 4, "map: four workers", lines)


def test_callback():  # S000-66, -67
    lines = run("callback", least=1)
    same("callback", sorted(lines), sorted("(%d, %d)" % (i, i * (i + 1)) for i in range(20)))


def test_crawler():  # S000-68, -69, with pages made up
    sizes = {"https://www.baidu.com": 2443, "https://www.python.org": 48843, "https://www.openstack.org": 64125,
             "https://www.tencent.com/zh-cn": 16012, "http://www.sina.com.cn/": 572319}
    form = ["url:<%s> size:[%d]" % pair for pair in sizes.items()]
    for flags in ((), ("--ordered",), ("--missing",)):
        with tempfile.TemporaryDirectory(prefix="weft-lesson-") as folder:
            lines = [line for line in run("crawler", *flags, folder=folder) if not line.startswith("开始下载")]
            with open(os.path.join(folder, "db.txt"), encoding="utf-8") as file:
                db = file.read().splitlines()
        failed = [line for line in lines if "404" in line]
        check(sorted(db) == sorted(line for line in lines if "404" not in line), f"crawler {flags}: db.txt", (db, lines))
        if flags == ("--missing",):
            check(len(db) == 4 and len(failed) == 1 and "tencent" in failed[0], "crawler: a missing page is said", lines)
        else:
            check(sorted(db) == sorted(form) and (db == form or not flags), f"crawler {flags}: what is written", db)


# ---- S001: processes ----

def test_own_memory():  # S001-55
    lines = run("own_memory", least=3)
    child, parent = ["开始运行一个进程", "a = 1", "一个进程执行结束了"], ["原进程干点事", "父进程干完了"]
    same("own_memory: child", [line for line in lines if line in child], child)
    same("own_memory: parent", [line for line in lines if line in parent], parent)
    check(lines[-1] == "a: 1" and len(lines) == 6, "own_memory: the parent's variable", lines)


def test_tarena():  # S001-56: the daemon ends with its parent, so at most one line of its own
    lines = run("tarena")
    times = [line for line in lines if re.fullmatch(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", line)]
    rest = [line for line in lines if line not in times]
    check(len(times) <= 1, "tarena: the daemon", lines)
    same("tarena", [re.sub(r"\d+", "N", line) for line in rest], ["Name: Tarena", "PID: N", "is alive: True"])


def test_lily():  # S001-57
    lines = run("lily", least=6)
    same("lily", [line for line in lines if not line.startswith("=")], ["I'm Lily", "I'm working..."] * 3)
    check(len([line for line in lines if set(line) == {"="}]) == 1, "lily: the limit", lines)


def test_doudou():  # S001-58, S001-63: exit codes 0, 1, 0, or the lesson fails
    tested.add("doudou")
    status, out, err = weft("lesson", "run", "doudou", "--fast")
    lines = out.splitlines()
    check(status == 0 and err == "睡觉进程退出\n" and len(lines) == 4, "doudou", (status, out, err))
    same("doudou", sorted(lines[::2]), sorted(["吃饭", "打豆豆"]))
    ids = [re.fullmatch(r"(\d+) --- (\d+)", line).groups() for line in lines[1::2]]
    check(ids[0][0] == ids[1][0] and ids[0][1] != ids[1][1], "doudou: one parent, two children", ids)


def test_orphan():  # S001-64
    same("orphan", run("orphan"), ["子进程的父进程是: 创建它的进程", "父进程退出后, 系统进程收养了它: True", "孤儿进程结束了"])


def test_zombie():  # S001-65, -66, -67
    lines = run("zombie", least=3)
    pids = [line for line in lines if re.fullmatch(r"PID: \d+", line)]
    check(len(pids) == 1 and lines[-1] == "没有僵尸进程", "zombie: none is left", lines)
    same("zombie", [line for line in lines[:-1] if line not in pids], ["I'm Tom", "I'm working..."] * 3)
    lines = run("zombie", "--unsafe")
    same("zombie --unsafe", [re.sub(r"^\d+ ", "", line) for line in lines], ["状态: Z 僵尸进程", "处理之后: 没有僵尸进程"])


def test_ps():  # S001-49 to S001-51, S004-R5
    lines = run("ps")
    check(lines[0].split() == ["USER", "PID", "%CPU", "%MEM", "STAT", "START", "COMMAND"], "ps: the columns", lines)
    for line, state, name in zip(lines[1:4], "RSZ", ("运行/就绪", "等待", "终止")):
        fields = line.split()
        check(int(fields[1]) > 0 and fields[4] == state and fields[-1] == name, f"ps: the state {state}", line)
    pids = [line.split()[1] for line in lines[1:4]]
    check(lines[4].startswith("weft(") and lines[5:] == ["└─ busy(%s) 运行/就绪" % pids[0], "└─ waiting(%s) 等待" % pids[1],
                                                         "└─ ended(%s) 终止" % pids[2]], "ps: parent and children", lines)
    me = str(os.getpid())
    named = subprocess.Popen([sys.executable, "-c", "import sys\nprint(flush=True)\nsys.stdin.read()", "\x1b\x9b", b"\xff",
                              "é" * 200, "é"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    named.stdout.readline()
    lines = run("ps", "--all")[1:]
    check(any(line.split()[1] == me for line in lines), "ps --all: who asks is there")
    shown = [line for line in lines if line.split()[1] == str(named.pid)]
    check(len(shown) == 1 and "import sys?print(flush=True)?sys.stdin.read() ??? ? ééé" in shown[0],
          "ps --all: what others are named breaks no line", shown)
    named.communicate()
    check(any(f"({me}) " in line for line in run("ps", "--tree")), "ps --tree: who asks is there")
    check(any(line.split()[:2] == [me, me] for line in run("ps", f"--threads={me}")[1:]), "ps --threads: the first thread")
    status, _, err = weft("lesson", "run", "ps", "--threads=0")
    check(status == 1 and "no process 0" in err, "ps --threads: nobody", err)


def test_tedu():  # S001-69 to -73
    lines = run("tedu", least=10 / 4)
    check(lines.count("Pool not running: True") == 1 and len(lines) == 11, "tedu: closed", lines)
    found = [re.fullmatch(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} --- Tedu-(\d)", line) for line in lines]
    same("tedu", sorted(m[1] for m in found if m), list("0123456789"))


def test_copy_dir():  # S001-77: the same files with the same bytes, and 100.00% at the end
    lines = run("copy_dir")
    check(lines[0].startswith("要拷贝的目录:/tmp/") and not os.path.exists(lines[0].split(":")[1]), "copy_dir: cleaned up", lines)
    shown = [float(re.fullmatch(r"拷贝了(\d+\.\d\d)%", line)[1]) for line in lines[1:]]
    check(shown == sorted(shown) and len(shown) == 4 and lines[-1] == "拷贝了100.00%", "copy_dir: four blocks", lines)
    with tempfile.TemporaryDirectory(prefix="weft-lesson-") as folder:
        source, files = os.path.join(folder, "源"), {"a": 5000, "b b": 1024, "c": 0, "d": 1}
        os.makedirs(os.path.join(source, "subdirectory"))
        for name, size in files.items():
            with open(os.path.join(source, name), "wb") as file:
                file.write(os.urandom(size))
        lines = run("copy_dir", "--dir=" + source)
        check(lines[-1] == "拷贝了100.00%" and len(lines) == 1 + 5 + 1 + 1, "copy_dir: eight blocks", lines)
        copies = os.listdir(source + "-备份")
        same("copy_dir", sorted(copies), sorted(files))
        for name in copies:
            with open(os.path.join(source, name), "rb") as one, open(os.path.join(source + "-备份", name), "rb") as other:
                check(one.read() == other.read(), f"copy_dir: {name}")
        status, out, err = weft("lesson", "run", "copy_dir", "--dir=" + source)
        check(status == 1 and "File exists" in err and "%" not in out, "copy_dir: not twice", (status, out, err))


def test_process_class():  # S001-68
    lines = run("process_class", least=3)
    same("process_class", [line for line in lines if "函数1" in line], ["函数1在运行 3", "函数1还在运行"] * 3)
    same("process_class", [line for line in lines if "函数2" in line], ["函数2在运行", "函数2还在运行"] * 3)


def test_pipe():  # S001-83, -84
    lines = run("pipe")
    same("pipe", [lines[0]] + sorted(lines[1:-1]) + [lines[-1]],
         ["接收端不能发送: True"] + ["hello %d" % i for i in range(5)] + ["EOFError: 所有发送端都关闭了"])


# ---- S001 ----

def test_tickets():  # S001-47, X-11: each once, ascending
    for flags, form in (((), "w%d 窗口卖出：T%d"), (("--exercise",), "w%d ---- T%d")):
        pattern = form.replace("%d", r"(\d+)")
        sales = [re.fullmatch(pattern, line) for line in run("tickets", *flags, least=5)]
        check(all(sales), f"tickets {flags}: the form", sales)
        same("tickets", [int(m[2]) for m in sales if m], list(range(1, 501)))
        check({int(m[1]) for m in sales if m} == set(range(1, 11)), f"tickets {flags}: ten windows")
    lines = run("tickets", "--unsafe")
    check(len(lines) == 501 and lines[-1] == "w10 窗口: IndexError: pop from empty list", "tickets --unsafe", lines[-3:])


def test_five_threads():  # S001-90
    lines = run("five_threads", least=2)
    same("five_threads", lines[:5], ["含有参数的线程"] * 5)
    same("five_threads", sorted(lines[5:]), ["T%d线程执行完毕" % i for i in range(5)])


def test_music():  # S001-93
    lines = run("music", least=6)
    check(len(lines) == 3 and all(re.fullmatch(r"playing 凉凉:\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", line)
                                  for line in lines), "music", lines)


def test_password():  # S001-95
    lines = run("password")
    same("password", sorted(lines[:2]), sorted(["杨子荣前来拜山头", "数对口令就是自己人"]))
    same("password", lines[2:], ["宝塔镇河妖", "确认过眼神，你是对的人"])


def test_interleave():  # S001-97
    wanted = []
    for i in range(26):
        wanted += [str(2 * i + 1), str(2 * i + 2), chr(ord("A") + i)]
    same("interleave", run("interleave"), wanted)


# ---- S002, S003 ----

def test_efficiency():  # S002-05: six lines; waiting goes on at the same time in threads and in processes
    for flags in ((), ("--gil",)):
        lines = run("efficiency", *flags, least=6)
        names = ["Line CPU ", "Thread CPU: ", "Process CPU: ", "Line IO ", "Thread io: ", "Process io: "]
        values = [float(line[len(name):]) for line, name in zip(lines, names) if line.startswith(name)]
        check(len(lines) == len(values) == 6, "efficiency: the lines", lines)
        check(values[3] >= 4 * lesson_run.PAUSE and values[4] >= lesson_run.PAUSE and values[4] < values[3], "efficiency: waiting", lines)


def test_sync():  # S003-01, S003-29
    lines = run("sync", least=1.5)
    same("sync", lines[:5], ["同步: A 先写, B 后读", "A 开始写", "A 写完了", "B 读到: A 的数据", "互斥: A 和 C 不能同时写"])
    check(lines[5:] in (["A 开始写", "A 写完了", "C 开始写", "C 写完了"], ["C 开始写", "C 写完了", "A 开始写", "A 写完了"]),
          "sync: one after the other", lines)


def test_racy_counter():  # S003-02, -03, X-11
    same("racy_counter", run("racy_counter"), ["share_data result: 2000"])
    for flags, wanted in ((("--trace",), 2000), (("--unsafe", "--trace"), 1800)):
        lines = run("racy_counter", *flags)
        trace = ast.literal_eval(lines[0])
        same("racy_counter", lines[1:], ["2000", "share_data result: %d" % wanted])
        check(len(trace) == 2000 and len({value for _, value in trace}) == wanted, "racy_counter: values read", lines[0][:80])
        both = {value for who, value in trace if who == "1"} & {value for who, value in trace if who == "2"}
        check(len(both) == 2000 - wanted, "racy_counter: values that both read", len(both))


def test_join_third():  # S003-12, S003-27
    lines = run("join_third")
    check(re.fullmatch(r"This is main function at:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[0]), "join_third: time", lines)
    found = re.fullmatch(r"share_data result: (\d+)", lines[1])
    check(found and 1 <= int(found[1]) <= 10 and len(lines) == 2, "join_third: the third has ended", lines)


def test_check_data():  # S003-13
    lines = run("check_data")
    check(lines[0].startswith("This is main function at:") and lines[1:] == ["share_data result: 1"], "check_data", lines)
    if not lesson_run.FINDS_STUCK:
        return
    lines = run("check_data", "--unsafe")
    check("check_data.c:" in "\n".join(lines) and "lock" in "\n".join(lines), "check_data --unsafe: the report", lines)
    check(not any("result" in line for line in lines), "check_data --unsafe: it never gets there", lines)


def test_semaphore():  # S003-14, -15
    for _ in range(5):
        lines = run("semaphore")
        same("semaphore", sorted(lines), sorted(["producer:%d" % i for i in range(5)] + ["consumer:%d" % i for i in range(5, 10)]))
        for i, line in enumerate(lines):
            before = lines[:i + 1]
            ahead = sum(b.startswith("consumer") for b in before) - sum(b.startswith("producer") for b in before)
            check(ahead <= 0, "semaphore: no consumer before its producer", lines)


def test_alternate():  # S003-16, -18, -19
    lines = run("alternate", least=8)
    starts = [line for line in lines if "start at" in line]
    rest = [line for line in lines if "start at" not in line]
    check(sorted(line.split(" start")[0] for line in starts) == ["Thread 1", "Thread 2"] and
          all(re.fullmatch(r"Thread \d start at: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line) for line in starts), "alternate: starts", starts)
    same("alternate", [re.sub(r" at: \d+\.\d\d$", "", line) for line in rest],
         ["Thread 1 acquire", "Thread 1 add: #A", "Thread 2 acquire", "Thread 2 add: #AB", "Thread 1 add: #ABA",
          "Thread 2 add: #ABAB", "Thread 1 add: #ABABA", "Thread 2 add: #ABABAB", "End Thread 2 with: #ABABAB",
          "End Thread 1 with: #ABABAB", "share_data: #ABABAB"])


def test_trap():  # S003-17
    tested.add("trap")
    if not lesson_run.FINDS_STUCK:
        return
    lines = run("trap")
    same("trap", sorted(lines[:4]), ["Thread 1 notify", "Thread 1 wait", "Thread 2 notify", "Thread 2 wait"])
    text = "\n".join(lines[4:])
    check("cond" in text and "trap.c:" in text, "trap: the report", text)


def test_dice():  # S003-20, -21: fifteen lines, six seconds
    lines = run("dice", least=6)
    check(len(lines) == 15, "dice: fifteen lines", lines)
    for i in range(0, 12, 4):
        points = dict(re.fullmatch(r"player([12]) get ([1-6])", line).groups() for line in lines[i + 1:i + 3])
        winner = "both" if points["1"] == points["2"] else "player1" if points["1"] > points["2"] else "player2"
        check(lines[i] == "start game!" and lines[i + 3] == f"Stop! judging... {winner} win!", "dice: a round", lines)
    same("dice", [lines[12]] + sorted(lines[13:]), ["game over by judge!", "player1 quit!", "player2 quit!"])


# ---- S004 ----

def test_fork():  # S004-02, -03: the parent's and the child's line may come in either order
    lines = run("fork")
    first = re.fullmatch(r"Process \((\d+)\) start...", lines[0])
    check(first and len(lines) == 3, "fork: the first line", lines)
    both = sorted(lines[1:], key=lambda line: line.startswith("I am"))
    parent = re.fullmatch(r"I \((\d+)\) just created a child process \((\d+)\).", both[0])
    child = re.fullmatch(r"I am child process \((\d+)\) and my parent is (\d+).", both[1])
    check(parent and child and parent[1] == child[2] == first[1] and parent[2] == child[1], "fork: who is who", lines)


def test_run_proc():  # S004-05, -06
    lines = run("run_proc")
    parent = re.fullmatch(r"父进程ID:(\d+).", lines[0])
    child = re.fullmatch(r"运行子进程中,名字:test,进程ID:(\d+)...", lines[2])
    check(parent and child and parent[1] != child[1], "run_proc: two processes", lines)
    same("run_proc", [lines[1]] + lines[3:], ["开始执行子进程.", "结束子进程.", parent[1], str(os.getpid())])


def test_long_time_task():  # S004-07, -08: the fifth has the process of one that ended before
    lines = run("long_time_task")
    check(re.fullmatch(r"父进程ID:\d+", lines[0]) and lines[-1] == "所有子进程完成。", "long_time_task: the ends", lines)
    check(lines.count("等待所有子进程完成...") == 1 and len(lines) == 13, "long_time_task: the lines", lines)
    starts = {m[1]: (i, m[2]) for i, line in enumerate(lines) if (m := re.fullmatch(r"运行任务(\d),ID:(\d+)", line))}
    ends = {m[1]: i for i, line in enumerate(lines) if (m := re.fullmatch(r"任务(\d)运行\d\.\d\d秒。", line))}
    check(sorted(starts) == sorted(ends) == list("01234"), "long_time_task: the tasks", lines)
    check(all(starts[k][0] < ends[k] for k in starts), "long_time_task: start, then end", lines)
    check(len({pid for _, pid in starts.values()}) <= 4, "long_time_task: four processes", lines)
    for one, (began, pid) in starts.items():
        earlier = [k for k, (at, other) in starts.items() if other == pid and at < began]
        check(all(ends[k] < began for k in earlier), f"long_time_task: {one} waited for its process", lines)


def test_dialogue():  # S004-11, -12
    lines = run("dialogue")
    check(lines[0] == "$ nslookup" and lines[-1] == "Exit code: 0", "dialogue", lines)
    check("python.org\tmail exchanger = 50 mail.python.org." in lines, "dialogue: what was asked is answered", lines)


def test_write_read():  # S004-25, -26: each is got once, in order, after it was put
    lines = run("write_read")
    same("write_read", [line for line in lines if line.startswith("Put")], ["Put %s to queue..." % c for c in "ABC"])
    same("write_read", [line for line in lines if line.startswith("Get")], ["Get %s from queue." % c for c in "ABC"])
    for c in "ABC":
        check(lines.index(f"Put {c} to queue...") < lines.index(f"Get {c} from queue."), "write_read: put, then got", lines)
    check(sorted(re.sub(r"\d+", "N", line) for line in lines if line.startswith("Process")) ==
          ["Process to read:N", "Process to write:N"] and len(lines) == 8, "write_read: the processes", lines)
    ended = subprocess.Popen([WEFT, "lesson", "run", "write_read"], stdout=subprocess.PIPE)
    while b"read" not in ended.stdout.readline():
        pass
    ended.terminate()  # and with it the reader, who would wait for ever
    try:
        ended.communicate(timeout=60)  # the end of the pipe, which all of them have
    except subprocess.TimeoutExpired:
        check(False, "write_read: nobody is left when it is ended")


def test_loop():  # S004-30, -31
    same("loop", run("loop", least=5),
         ["thread MainThread is running...", "thread LoopThread is running..."] +
         ["thread LoopThread >>> %d" % n for n in range(1, 6)] + ["thread LoopThread ended.", "thread MainThread ended."])


def test_replay():  # S004-34
    lines = run("replay")
    check(lines[0] == "初始值 balance = 0" and lines[-1] == "结果 balance = -8" and len(lines) == 8, "replay", lines)
    same("replay", [line[:2] for line in lines[1:-1]], ["t1", "t2", "t2", "t1", "t1", "t2"])


def test_local():  # S004-38, -39
    same("local", sorted(run("local")), ["Hello,Jack (in Thread-1)", "Hello,john (in Thread=2)"])


def test_f1():  # S004-R3
    lines = run("f1", least=1)
    same("f1", [lines[0]] + sorted(lines[1:]), ["start"] + list("01234"))


EXACT = [  # (lesson, flags, lines)
    ("countdown", [], ["0"]),  # S000-14
    ("alone", [], ["0"]),  # S000-22
    ("addsub", [], ["0"]),  # S000-23, -24
    ("addsub", ["--unsafe"], ["5000"]),
    ("rlock_held", [], ["还持有 3 次", "其他线程: 拿不到锁", "还持有 2 次", "其他线程: 拿不到锁", "还持有 1 次",
                        "其他线程: 拿不到锁", "其他线程: 拿到锁了"]),  # S000-28
    ("fifo", [], ["1", "2"]),  # S000-37
    ("empty_queue", [], ["队列为空,继续执行其他代码"]),  # S000-38
    ("full_queue", [], ["队列已满,4 放不进去,丢失了", "1", "2", "3"]),  # S000-39
    ("lifo", [], ["2", "1"]),  # S000-40
    ("priority", [], ["(0, 'rose')", "(1, 'jack')", "(2, 'lucy')"]),  # S000-41
    ("login_queue", [], ["用户名: Levi", "密　码: 123"]),  # S001-76
    ("nslookup", [], ["$ nslookup www.python.org", "Server:\t\t127.0.0.1", "Address:\t127.0.0.1#53", "",
                      "Name:\twww.python.org", "Address: 192.0.2.1", "Exit code: 0"]),  # S004-09, -10
    ("bank", [], ["0"]),  # S004-35
    ("bank", ["--unsafe"], ["-8"]),  # S004-33, X-11
]


def test_exact():
    for name, flags, wanted in EXACT:
        same(name, run(name, *flags), wanted)


# ---- servers and clients: S001-16 to S001-20, -104, -105, -120 to -123. Two processes print, each in its own order ----

def run_net(name, server, client):
    """The lines of both, told apart by how they begin."""
    lines = [re.sub(r"\('127\.0\.0\.1', \d+\)", "ADDRESS", re.sub(r"fd=\d+", "fd=N", line)) for line in run(name)]
    mine = tuple({line.split(" ")[0] for line in client} | {">>"})
    same(name + ": the client", [line for line in lines if line.startswith(mine)], client)
    same(name + ": the server", [line for line in lines if not line.startswith(mine)], server)


def nobody_listens():
    """A client alone that finds no server says so, and fails; whatever is typed."""
    typed = b"Lily\n/\n"
    for name in ("udp", "udp_loss", "tcp", "fork_server", "thread_server", "select_server", "poll_server", "epoll_server",
                 "hybrid", "c10k", "chat_room", "file_server", "web_server"):
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as streams:
            streams.bind(("127.0.0.1", 0))  # the numbers are taken, but the one does not listen,
            datagrams.bind(("127.0.0.1", 0))
            datagrams.connect(datagrams.getsockname())  # and the other hears nobody but itself
            port = (datagrams if name in ("udp", "udp_loss", "chat_room") else streams).getsockname()[1]
            done = subprocess.run([WEFT, "lesson", "run", name, "--client=%d" % port, *lesson_run.fast], capture_output=True, timeout=60,
                                  input=typed)
            out, err = done.stdout.decode(), done.stderr.decode()
            check(done.returncode == 1, f"{name}: without a server its client fails", (done.returncode, out, err))
            check(err == "lesson: Connection refused\n", f"{name}: and says why", (out, err))
    status, _, err = weft("lesson", "run", "file_server", "--server=0", "--folder=/no/such")
    check(status == 1 and err.endswith("\nlesson: /no/such: No such file or directory\n"), "file_server: which folder is not there", err)
    before = lesson_run.left_in_tmp("file_server")
    status, _, err = weft("lesson", "run", "file_server", "--folder=/no/such", *lesson_run.fast)  # its client does not wait for ever
    check(status == 1 and "lesson: /no/such: No such file or directory\n" in err, "file_server: both end without a folder", err)
    check(lesson_run.none_stays(lambda: lesson_run.left_in_tmp("file_server") - before), "file_server: what it has made is gone", before)


def test_addresses():  # S001-06, S001-08
    check(any(re.fullmatch(r"lo: 127\.0\.0\.1 本机 \(回环地址\).*", line) for line in run("addresses")), "addresses: lo")
    for address, kind in (("8.8.8.8", "公网"), ("192.168.1.5", "内网"), ("172.60.50.92", "公网"), ("::1", "本机 (回环地址)")):
        same("addresses", run("addresses", "--address=" + address), [f"{address}: {kind}"])
    status, _, err = weft("lesson", "run", "addresses", "--address=300.1.1.1")
    check(status == 1 and "300.1.1.1" in err, "addresses: no address has such a number", err)


def test_ping():  # S001-07
    lines = [re.sub(r"时间=[0-9.]+ ms", "时间=N", line) for line in run("ping", least=2) if "ICMP" not in line]
    same("ping", lines, ["127.0.0.1 有回应: 序号=%d 时间=N" % n for n in (1, 2, 3)] + ["发送 3 次, 收到 3 次"])
    status, _, err = weft("lesson", "run", "ping", "--host=256.256.256.256", "--fast")
    check(status == 1 and "256.256.256.256" in err, "ping: nobody has that name", err)


def test_tcp_header():  # S001-36, S001-37, S001-40, S001-41
    lines = run("tcp_header")
    flags = [re.sub(r".*(SYN=.) (ACK=.) (FIN=.) (\S+).*", r"\1 \2 \3 \4", line) for line in lines]
    same("tcp_header: begin", flags[:4], ["三次握手:", "SYN=1 ACK=0 FIN=0 请求建立连接", "SYN=1 ACK=1 FIN=0 同意建立连接",
                                          "SYN=0 ACK=1 FIN=0 确认"])
    same("tcp_header: end", flags[8:], ["四次挥手:", "SYN=0 ACK=1 FIN=1 请求断开连接", "SYN=0 ACK=1 FIN=0 确认",
                                        "SYN=0 ACK=1 FIN=1 请求断开连接", "SYN=0 ACK=1 FIN=0 确认"])
    check("序号=301 " in lines[5] and lines[5].endswith("数据 301..400, 期待的确认号 401"), "tcp_header: 100 bytes", lines[5])
    check(lines[6].endswith("数据 501..700, 期待的确认号 701") and "确认号=701" in lines[7], "tcp_header: 200 bytes", lines)
    same("tcp_header", run("tcp_header", "--hex=c35022b80000012c000000005002ffff00000000"),
         ["50000 -> 8888 序号=300 确认号=0 SYN=1 ACK=0 FIN=0 请求建立连接"])
    for text in ("", "c350", "c35022b80000012c000000005002ffff0000000g", "c35022b80000012c00000000f002ffff00000000"):
        status, out, err = weft("lesson", "run", "tcp_header", "--hex=" + text)
        check(status == 1 and out == "" and err.count("\n") == 1, f"tcp_header: {text}", (status, err))


def test_udp():
    run_net("udp", ["ADDRESS 接收到: 你好", "发送了6 bytes", "ADDRESS 接收到: UDP 没有连接", "发送了6 bytes"],
            [">>你好", "从服务端收到: Thanks", ">>UDP 没有连接", "从服务端收到: Thanks", ">>"])


def test_tcp():
    waiting = ["Waiting for connect ...."]
    run_net("tcp", waiting + ["Connect from ADDRESS", "收到: 你好"] + waiting + ["Connect from ADDRESS", "收到: 再见"] + waiting,
            [">>你好", "从服务器收到: Thanks", ">>再见", "从服务器收到: Thanks", ">>"])


def one_client(name, typed, answer, before, line, after):
    client = [">>你好", "服务器： " + answer, ">>" + typed, "服务器： " + answer, ">>", "客户端退出"]
    lines = run(name)
    lines = [re.sub(r"\('127\.0\.0\.1', \d+\)", "ADDRESS", re.sub(r"fd=\d+", "fd=N", line)) for line in lines]
    lines = [re.sub(r"port \d+", "port N", each) for each in lines]
    same(name + ": the client", [each for each in lines if each.startswith(">>") or each in client], client)
    same(name + ": the server", [each for each in lines if not each.startswith(">>") and each not in client],
         before + ["Connect from ADDRESS", line + "你好", line + typed] + after)


def test_fork_server():
    one_client("fork_server", "每个客户端一个进程", "OK", ["Listen the port N..."], "客户端: ", ["服务端退出！！"])


def test_thread_server():
    one_client("thread_server", "每个客户端一个线程", "OK", ["Listen the port N..."], "客户端: ", ["服务端退出"])


def test_select_server():
    end = "客户端 <socket.socket fd=N, family=2, type=1, proto=0, laddr=ADDRESS, raddr=ADDRESS> 退出了"
    one_client("select_server", "select", "ok", [], "客户端: ", [end])


def test_poll_server():
    one_client("poll_server", "poll", "ok", [], "收到： ", ["关闭"])


def test_epoll_server():
    one_client("epoll_server", "epoll", "ok", [], "收到： ", ["关闭"])


def test_sticky():  # S001-31 to S001-33: two sends, one receive; not with bounds, nor when they are sent slowly
    sent = ["发送: 你好", "发送: 再见"]
    got = ["一条消息: 你好", "一条消息: 再见"]
    same("sticky", run("sticky", least=5), ["没有边界:"] + sent + ["一次接收: 你好再见", "消息边界, 换行:"] + sent + got +
         ["消息边界, 长度:"] + sent + got + ["控制发送的速度:", "发送: 你好", "一次接收: 你好", "发送: 再见", "一次接收: 再见"])


def test_both_wait():  # S001-27
    lines = run("both_wait", least=2)
    same("both_wait", lines[:1] + sorted(lines[1:3]) + lines[3:4] + sorted(lines[4:6]) + lines[6:],
         ["两端都接收:", "客户端: recv 一直阻塞", "服务端: recv 一直阻塞", "两端都发送:", "客户端: send 一直阻塞",
          "服务端: send 一直阻塞", "一端发送, 一端接收:", "服务端: 收到 你好"])


def test_trigger():  # S001-126: an event that is not handled: told again and again, or once and then with the next
    same("trigger", run("trigger", least=0.6),
         ["水平触发 (epoll)", "发送了 a: 有事件", "没有处理: 有事件", "又发送了 b: 有事件", "一起读到 ab", "处理了: 没有事件",
          "边缘触发 (epoll-et)", "发送了 a: 有事件", "没有处理: 没有事件", "又发送了 b: 有事件", "一起读到 ab", "处理了: 没有事件"])


def test_pollers():  # S001-124: how many descriptors, and the cost of a wakeup
    cost, refused = {}, []
    for line in run("pollers"):
        cell = re.fullmatch(r"([a-z-]+): (\d+)个描述符: (?:每次唤醒([\d.]+)微秒|超过1024)", line)
        check(cell is not None, "pollers: a line", line)
        if cell and cell[3]:
            cost[cell[1], int(cell[2])] = float(cell[3])
        elif cell:
            refused.append((cell[1], int(cell[2])))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 10100:
        check(not refused, "pollers: fewer than 1024", refused)
        return
    check(refused == [("select", 10000)], "pollers: select has no more than 1024", refused)
    check(set(cost) == {(kind, n) for kind in ("select", "poll", "epoll", "epoll-et", "uring") for n in (10, 100, 1000, 10000)} - set(refused),
          "pollers: the others have them all", cost)
    check(cost["poll", 10000] > 20 * cost["poll", 10], "pollers: poll looks at all of them", cost)
    for kind in ("epoll", "epoll-et"):
        check(cost[kind, 10000] < cost["poll", 10000] / 5, f"pollers: {kind} does not", cost)


def test_udp_loss():  # S001-18: what does not arrive is counted; in the end all of it does
    lines = run("udp_loss")
    first = re.fullmatch(r"不可靠: 发送了100个, 到达(\d+)个, 丢失(\d+)个", lines[0])
    check(first and sum(map(int, first.groups())) == 100, "udp_loss: the first try", lines)
    rounds = [re.fullmatch(r"第(\d+)轮: 确认了(\d+)个", line) for line in lines[1:-1]]
    check(all(rounds) and [int(r.group(1)) for r in rounds] == list(range(1, len(rounds) + 1)), "udp_loss: the rounds", lines)
    got = [int(r.group(2)) for r in rounds if r]
    check(got == sorted(got) and got[-1:] == [100], "udp_loss: confirmed", lines)
    last = re.fullmatch(r"可靠: 发送了(\d+)次, 100个全部到达", lines[-1])
    check(last and int(last.group(1)) >= 100, "udp_loss: the end", lines)


def test_hybrid():  # S001-139
    same("hybrid", run("hybrid"),
         ["多进程, 每个进程有多个线程"] + 8 * ["客户端: 你好"] + ["8个客户端同时在线", "由2个进程服务", "多进程, 每个进程IO多路复用"] +
         8 * ["客户端: 你好"] + ["8个客户端同时在线"])


def test_c10k():  # S001-138, with a thousand: what select and a process for each can hold, and that a loop holds all
    lines = run("c10k")
    found = [re.fullmatch(r"(\w+): 1000个客户端, 连接了(\d+)个, 得到回答的有(\d+)个", line) for line in lines]
    check(all(found) and [f.group(1) for f in found] == ["coroutine", "select", "process"], "c10k: the lines", lines)
    answered = [int(f.group(3)) for f in found if f]
    check(answered[0] == 1000 and 0 < answered[1] < 1000 and 0 < answered[2] <= 512, "c10k: who is answered", lines)


def test_chat_room():  # S001-86 to -88; two people, and what each of them sees is in order
    lines = run("chat_room")
    check(sorted(lines) == sorted(
        ["Name:Lily", "进入聊天室", "Name:Lily", "该用户已存在", "Name:Tom", "进入聊天室", "欢迎 Tom 进入聊天室", "发言:你好 Tom",
         "Lily : 你好 Tom", "发言:你好 Lily", "Tom : 你好 Lily", "发言:quit", "Tom 退出聊天室", "发言:quit", "您已退出聊天室",
         "您已退出聊天室"] + 2 * ["管理员消息： 请文明发言"]), "chat_room: the lines", lines)
    order = ["该用户已存在", "Name:Tom", "欢迎 Tom 进入聊天室", "发言:你好 Tom", "Lily : 你好 Tom", "发言:你好 Lily", "Tom : 你好 Lily",
             "Tom 退出聊天室"]
    check([line for line in lines if line in order] == order, "chat_room: the order", lines)


def test_file_server():  # S001-107, S002-13, S002-15 to S002-17
    lines = run("file_server")
    client = [re.sub(r"^命令\(.*\):", "$", line) for line in lines if not line.startswith(("Connect", "请求"))]
    same("file_server", client,
         ["$list", "poem.txt", "$get poem.txt", "下载完成", "$get poem.txt", "下载失败", "$get ../secret", "文件不存在",
          "$put letter.txt", "上传完成", "$put letter.txt", "文件已存在", "$list"] + client[13:15] + ["$quit", "谢谢使用"])
    check(sorted(client[13:15]) == ["letter.txt", "poem.txt"], "file_server: the list", lines)
    same("file_server: requests", [line[4:] for line in lines if line.startswith("请求")],
         ["L", "G poem.txt", "G poem.txt", "G ../secret", "P letter.txt 10", "P letter.txt 10", "L", "Q"])


def test_web_server():  # S001-133, -134
    lines = run("web_server")
    check(sum(bool(re.fullmatch(r"Listen the port \d+", line)) for line in lines) == 1, "web_server listens", lines)
    typed = ["/", "/python.html?v=1", "/missing", "/../etc/passwd"]
    same("web_server: requests", [line for line in lines if line.startswith("请求内容")], ["请求内容： " + path for path in typed])
    same("web_server: asked", [line for line in lines if line.startswith(">>")], [">>" + path for path in typed + [""]])
    same("web_server: answers", [line for line in lines if line.startswith("HTTP/1.1 ")][:3],
         ["HTTP/1.1 200 OK <h1>首页</h1>", "HTTP/1.1 200 OK <h1>Python</h1>", "HTTP/1.1 404 Not Found <h1>Not Find<h1>"])
    check(any(line.startswith("HTTP/1.1 400 ") for line in lines), "web_server: nobody gets out", lines)


def test_command(names):
    status, out, _ = weft("lesson", "list", "--json")
    listed = json.loads(out)
    check(status == 0 and [lesson["name"] for lesson in listed] == names, "list --json has what list has", names)
    check(all(set(lesson) == {"name", "title", "english", "chapter", "flags"} for lesson in listed), "list --json: members")
    for name in names:
        status, out, _ = weft("lesson", "show", name)
        check(status == 0 and out.startswith(f"/* {name}.c - ") and "int main(" in out, f"show {name}", out[:80])
    for arguments, words in ((["run", "noodel"], "did you mean 'noodle"), (["run", "xyzzy"], "there is no lesson 'xyzzy'"),
                             (["run"], "which lesson"), ([], "list, run or show"), (["walk", "fifo"], "not list, run or show"),
                             (["run", "udp", "--server=x"], "(not 'x')"), (["run", "tcp", "--server=70000"], "(not '70000')"),
                             (["run", "tcp", "--client="], "takes a port"), (["run", "fifo", "--unsafe"], "has no flag --unsafe"), (["show", "fifo", "--fast"], "no flag"),
                             (["list", "--jsn"], "--json"), (["run", "fifo", "lifo"], "one argument too many")):
        status, out, err = weft("lesson", *arguments)
        check(status == 2 and out == "" and err.count("\n") == 1 and words in err, f"lesson {arguments}", (status, out, err))
    status, out, _ = weft("lesson", "show", "lesson.h")
    check(status == 0 and "lesson_begin(" in out, "show lesson.h", out[:80])
    status, out, _ = weft("lesson", "--help")
    check(status == 0 and "Examples:" in out, "lesson --help", out)
    same("run thread-class", [str(len(weft("lesson", "run", "thread-class")[1].split()))], ["2"])


def again_slowly(name, test):
    """With the pauses of the tutorial."""
    print(f"{name} again, slowly")
    lesson_run.PAUSE, lesson_run.fast = 1, []
    test()
    lesson_run.PAUSE, lesson_run.fast = 1 / 20, ["--fast"]


def test_standalone(names):
    """What show prints is a whole program: the compiler takes each as it is, without a flag of this project's own; a few
    are built against the library alone, and understand the same flags."""
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    build = os.environ.get("WEFT_BUILD", os.path.join(here, "build"))
    if not os.path.exists(os.path.join(build, "libweft.so")):
        return
    with tempfile.TemporaryDirectory(prefix="weft-lesson-") as folder:
        for source, file in [("lesson.h", "lesson.h"), *((name, name + ".c") for name in names)]:
            with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
                out.write(weft("lesson", "show", source)[1])
        for name in names:
            taken = subprocess.run(["cc", "-fsyntax-only", name + ".c", "-I", here + "/include"], capture_output=True, cwd=folder)
            check(taken.returncode == 0 and taken.stderr == b"", f"{name} needs no flag", taken.stderr.decode())
        for name, flags, wanted in EXACT[2:6]:
            program = os.path.join(folder, name)
            built = subprocess.run(["cc", "-o", program, program + ".c", "-I", here + "/include", "-L", build,
                                    "-Wl,-rpath," + os.path.abspath(build), "-lweft"], capture_output=True)
            check(built.returncode == 0, f"{name} builds alone", built.stderr.decode())
            if built.returncode == 0:
                out = subprocess.run([program, "--fast", *flags], capture_output=True, timeout=60).stdout.decode()
                same(name, out.split("\n")[:-1], wanted)


def main():
    status, out, _ = weft("lesson", "list")
    names = [line.split()[0] for line in out.splitlines()]
    check(status == 0 and len(names) >= 39, "list", out)
    test_command(names)
    for key, test in sorted(globals().items()):
        name = key.removeprefix("test_")
        if key.startswith("test_") and name in names:
            before = list(failures)
            test()
            if failures != before and name in BY_PAUSES:
                failures[:] = before
                again_slowly(name, test)
    test_questions()
    test_exact()
    nobody_listens()
    test_standalone(names)
    check(not set(names) - tested, "every lesson is tested", set(names) - tested)
    print("lesson_test: %d checks, %d failed" % (lesson_run.checked, len(failures)))
    return 1 if failures else 0


sys.exit(main())

#!/usr/bin/env python3
"""What the core benchmarks do, as Python does it: python_peers.py WHAT N

Does N operations of WHAT and prints one number: nanoseconds each, or what the benchmark's unit says (bytes, us late, ...).
"""
import asyncio
import concurrent.futures
import queue
import sys
import threading
import time


def run_threads(*bodies):
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- locks ---


def take_turns(lock, n):
    for _ in range(n):
        lock.acquire()
        lock.release()


def contended(n, count):
    lock = threading.Lock()
    run_threads(*[lambda: take_turns(lock, n // count + 1)] * count)


def evenness(_):
    lock, taken, ended = threading.Lock(), [0] * 8, time.monotonic() + 0.5

    def rival(i):
        while time.monotonic() < ended:
            with lock:
                taken[i] += 1

    run_threads(*[lambda i=i: rival(i) for i in range(8)])
    return min(taken) / max(taken)


def semaphore_roundtrip(n):
    there, back = threading.Semaphore(0), threading.Semaphore(0)

    def echo():
        for _ in range(n):
            there.acquire()
            back.release()

    def ask():
        for _ in range(n):
            there.release()
            back.acquire()

    run_threads(echo, ask)


# --- threads, queues ---


def start_join(n):
    for _ in range(n):
        run_threads(lambda: None)


def pairs(n, count, q):
    each = n // count + 1

    def put():
        for i in range(each):
            q.put(i)

    def get():
        for _ in range(each):
            q.get()

    run_threads(*[put] * count, *[get] * count)


def queue_alone(n):
    q = queue.Queue(1024)
    for i in range(n):
        q.put(i)
        q.get()


def queue_roundtrip(n):
    there, back = queue.Queue(1), queue.Queue(1)

    def echo():
        for _ in range(n):
            back.put(there.get())

    def ask():
        for i in range(n):
            there.put(i)
            back.get()

    run_threads(echo, ask)


# --- futures, pools ---


def future_set_get(n):
    for i in range(n):
        future = concurrent.futures.Future()
        future.set_result(i)
        future.result()


def future_roundtrip(n):
    first = concurrent.futures.Future()

    def echo():
        question = first
        for _ in range(n):
            answer, question = question.result()
            answer.set_result(None)

    def ask():
        question = first
        for _ in range(n):
            answer, follows = concurrent.futures.Future(), concurrent.futures.Future()
            question.set_result((answer, follows))
            answer.result()
            question = follows

    run_threads(echo, ask)


def pool_jobs(n):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for first in range(0, n, 1000):
            for future in [pool.submit(int) for _ in range(min(1000, n - first))]:
                future.result()


def pool_roundtrip(n):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(n):
            pool.submit(int).result()


def computing(_):
    def compute(x):
        for _ in range(20000):
            x = x * 6364136223846793005 + 1442695040888963407 & 0xFFFFFFFFFFFFFFFF

    def seconds(workers):
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            list(pool.map(compute, range(32)))
        return time.monotonic() - began

    one = seconds(1)
    return seconds(2) / one


# --- tasks of asyncio ---


async def co_semaphore_roundtrip(n):
    there, back = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def echo():
        for _ in range(n):
            await there.acquire()
            back.release()

    task = asyncio.create_task(echo())
    for _ in range(n):
        there.release()
        await back.acquire()
    await task


async def nothing():
    pass


async def co_yield(n):
    async def half():
        for _ in range(n // 2):
            await asyncio.sleep(0)

    await asyncio.gather(half(), half())


async def co_start_join(n):
    for _ in range(n):
        await asyncio.create_task(nothing())


async def co_start_batch(n):
    for first in range(0, n, 1000):
        await asyncio.gather(*[asyncio.create_task(nothing()) for _ in range(min(1000, n - first))])


async def co_pairs(n, count):
    q, each = asyncio.Queue(1024), n // count + 1

    async def put():
        for i in range(each):
            await q.put(i)

    async def get():
        for _ in range(each):
            await q.get()

    await asyncio.gather(*[put() for _ in range(count)], *[get() for _ in range(count)])


async def co_queue_roundtrip(n):
    there, back = asyncio.Queue(1), asyncio.Queue(1)

    async def echo():
        for _ in range(n):
            await back.put(await there.get())

    task = asyncio.create_task(echo())
    for i in range(n):
        await there.put(i)
        await back.get()
    await task


async def co_future_roundtrip(n):
    make = asyncio.get_running_loop().create_future
    first = make()

    async def echo():
        question = first
        for _ in range(n):
            answer, question = await question
            answer.set_result(None)

    task, question = asyncio.create_task(echo()), first
    for _ in range(n):
        answer, follows = make(), make()
        question.set_result((answer, follows))
        await answer
        question = follows
    await task


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


async def co_parked(n):
    event, before = asyncio.Event(), resident_bytes()
    tasks = [asyncio.create_task(event.wait()) for _ in range(n)]
    await asyncio.sleep(0)
    each = (resident_bytes() - before) / n
    event.set()
    await asyncio.gather(*tasks)
    return each


async def co_timers(n):
    loop = asyncio.get_running_loop()
    for timer in [loop.call_later(1 + i * 7919 % 999, int) for i in range(n)]:
        timer.cancel()


async def co_timer_late(n):
    late = []
    for _ in range(n):
        due = time.monotonic() + 0.001
        await asyncio.sleep(0.001)
        late.append(time.monotonic() - due)
    return sorted(late)[n // 2] * 1e6


WORK = {
    "lock": lambda n: take_turns(threading.Lock(), n),
    "rlock": lambda n: take_turns(threading.RLock(), n),
    "lock_2": lambda n: contended(n, 2),
    "lock_8": lambda n: contended(n, 8),
    "evenness": evenness,
    "semaphore_roundtrip": semaphore_roundtrip,
    "start_join": start_join,
    "queue_1": lambda n: pairs(n, 1, queue.Queue(1024)),
    "queue_2": lambda n: pairs(n, 2, queue.Queue(1024)),
    "queue_4": lambda n: pairs(n, 4, queue.Queue(1024)),
    "queue_16": lambda n: pairs(n, 1, queue.Queue(16)),
    "queue_unbounded": lambda n: pairs(n, 2, queue.SimpleQueue()),
    "queue_lifo": lambda n: pairs(n, 2, queue.LifoQueue(1024)),
    "queue_priority": lambda n: pairs(n, 2, queue.PriorityQueue(1024)),
    "queue_alone": queue_alone,
    "queue_roundtrip": queue_roundtrip,
    "future_set_get": future_set_get,
    "future_roundtrip": future_roundtrip,
    "pool_jobs": pool_jobs,
    "pool_roundtrip": pool_roundtrip,
    "computing": computing,
    "co_semaphore_roundtrip": co_semaphore_roundtrip,
    "co_yield": co_yield,
    "co_start_join": co_start_join,
    "co_start_batch": co_start_batch,
    "co_queue_1": lambda n: co_pairs(n, 1),
    "co_queue_2": lambda n: co_pairs(n, 2),
    "co_queue_4": lambda n: co_pairs(n, 4),
    "co_queue_roundtrip": co_queue_roundtrip,
    "co_future_roundtrip": co_future_roundtrip,
    "co_parked": co_parked,
    "co_timers": co_timers,
    "co_timer_late": co_timer_late,
}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in WORK:
        sys.exit("usage: python_peers.py WHAT N")
    n = int(sys.argv[2])
    began = time.monotonic_ns()
    value = WORK[sys.argv[1]](n)
    if asyncio.iscoroutine(value):
        value = asyncio.run(value)
    print(value if value is not None else (time.monotonic_ns() - began) / n)


if __name__ == "__main__":
    main()

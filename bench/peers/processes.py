#!/usr/bin/env python3
"""What core_process.c is measured beside: processes.py fork|forkserver N

fork, forkserver: start, run and join a function N times by multiprocessing.Process. Prints nanoseconds each.
"""
import multiprocessing
import sys
import time


def nothing():
    pass


def once(context):
    process = context.Process(target=nothing)
    process.start()
    process.join()


def main():
    context, n = multiprocessing.get_context(sys.argv[1]), int(sys.argv[2])
    once(context)  # the server starts with the first
    start = time.monotonic_ns()
    for _ in range(n):
        once(context)
    print((time.monotonic_ns() - start) / n)


if __name__ == "__main__":
    main()

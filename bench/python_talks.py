#!/usr/bin/python3
"""Round trips of a line with a device that says it again, from Python: by spile's package, and by what else there is.

    [PYTHONPATH=BUILD/python] python_talks.py LINES DEVICE...

The kinds run in turn, each with a device of its own, in many short turns; prints the median of a trip in nanoseconds.
What is not installed is left out, and named on standard error.
"""
from __future__ import annotations

import io
import os
import random
import select
import statistics
import sys
import termios
import time
import tty
from collections.abc import Callable

import spile

LINE = "a line as devices say it, 40 characters\n"
DATA = LINE.encode()
TURNS = 100
Trip = Callable[[], object]


def open_raw(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd, termios.TCSANOW)
    return fd


def by_os(path: str) -> Trip:
    fd = open_raw(path)
    poll = select.poll()
    poll.register(fd, select.POLLIN)

    def trip() -> None:
        os.write(fd, DATA)
        data = b""
        while not data.endswith(b"\n"):
            poll.poll()
            data += os.read(fd, 4096)

    return trip


def by_text_io(path: str) -> Trip:
    raw = io.FileIO(open_raw(path), "r+")
    stream = io.TextIOWrapper(io.BufferedRWPair(raw, raw), encoding="utf-8", line_buffering=True)

    def trip() -> None:
        stream.write(LINE)
        stream.readline()

    return trip


def by_spile(path: str) -> Trip:
    stream = spile.open(path)

    def trip() -> None:
        stream.write(LINE)
        stream.readline()

    return trip


def by_spile_ask(path: str) -> Trip:
    stream = spile.open(path)
    return lambda: stream.ask(LINE[:-1])


def by_pexpect(path: str) -> Trip:
    from pexpect import fdpexpect

    child = fdpexpect.fdspawn(open_raw(path))

    def trip() -> None:
        child.send(DATA)
        child.expect_exact(b"\n")

    return trip


def by_pexpect_tuned(path: str) -> Trip:
    import pexpect

    child = pexpect.spawn("cat", echo=False)
    child.delaybeforesend = None
    child.setecho(False)
    assert path

    def trip() -> None:
        child.send(DATA)
        child.expect_exact(b"\n")

    return trip


def by_serial(path: str) -> Trip:
    import serial

    port = serial.Serial(path)

    def trip() -> None:
        port.write(DATA)
        port.readline()

    return trip


KINDS: dict[str, Callable[[str], Trip]] = {
    "python-os": by_os,
    "python-text-io": by_text_io,
    "python-spile": by_spile,
    "python-ask": by_spile_ask,
    "fdpexpect": by_pexpect,
    "pexpect-cat": by_pexpect_tuned,
    "pyserial": by_serial,
}


def main() -> None:
    batch = max(1, int(sys.argv[1]) // TURNS)
    kinds: dict[str, Trip] = {}
    for (name, make), path in zip(KINDS.items(), sys.argv[2:]):
        try:
            kinds[name] = make(path)
        except ImportError as missing:
            print(f"bench: {name} is left out: {missing}", file=sys.stderr)
    took: dict[str, list[float]] = {name: [] for name in kinds}
    order = list(kinds)
    for turn in range(TURNS + 5):
        random.shuffle(order)
        for name in order:
            trip = kinds[name]
            trips = batch if not name.startswith(("fdpexpect", "pexpect")) else max(1, batch // 10)
            begin = time.perf_counter_ns()
            for _ in range(trips):
                trip()
            if turn >= 5:
                took[name].append((time.perf_counter_ns() - begin) / trips)
    for name, each in took.items():
        print(name, round(statistics.median(each)))
    sys.stdout.flush()
    os._exit(0)  # nothing that is held open is worth waiting for


if __name__ == "__main__":
    main()

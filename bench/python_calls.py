#!/usr/bin/python3
"""What a call costs from Python, and what one writes by hand instead.

    PYTHONPATH=BUILD/python python_calls.py TINY DISK TURNS

Prints a line a kind: name, median and quartiles in nanoseconds, as bench/calls does. All kinds run in turn, in an order that
changes.
"""
from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import spile

INPUT = bytes(i * 7 % 256 for i in range(12 * 1024))
MEMORY = "/dev/shm"
WARM_UP = 5


def by_hand(tiny: str, parent: str, captures: bool = False) -> bytes:
    """A temporary directory, the file, subprocess, the output."""
    with tempfile.TemporaryDirectory(dir=parent) as own:
        with open(f"{own}/in", "wb") as file:
            file.write(INPUT)
        subprocess.run([tiny, "in", "out"], cwd=own, check=True, capture_output=captures)
        with open(f"{own}/out", "rb") as file:
            return file.read()


def kinds(tiny: str, disk: str, directory: str) -> dict[str, Callable[[], bytes]]:
    """Each does its work once and returns the bytes that came out."""
    Path(directory, "in").write_bytes(INPUT)
    copy = spile.function([tiny, "{<in}", "{>out}"])
    plan = spile.Plan([tiny, "{<in}", "{>out}"])
    filter_plan = spile.Plan("cat")

    environment = dict(os.environb)  # what os.environ costs to convert is no part of the program

    def program() -> bytes:
        pid = os.posix_spawn(tiny, [tiny, f"{directory}/in", f"{directory}/out"], environment)
        os.waitpid(pid, 0)
        return INPUT

    return {
        "python-program": program,
        "python-directory-in-memory": lambda: by_hand(tiny, MEMORY),
        "python-directory-captured": lambda: by_hand(tiny, MEMORY, True),
        "python-directory-on-disk": lambda: by_hand(tiny, disk),
        "python-function": lambda: bytes(copy(INPUT)),
        "python-run": lambda: spile.run(plan, files={"in": INPUT})["out"],
        "python-run-bare": lambda: spile.run(plan, files={"in": INPUT}, stdout=spile.NULL, stderr=spile.NULL)["out"],
        "python-subprocess-filter": lambda: subprocess.run(["cat"], input=INPUT, capture_output=True, check=True).stdout,
        "python-filter": lambda: spile.run(filter_plan, stdin=INPUT).stdout,
        "python-filter-files": lambda: spile.run("cat <{in} >{out}", files={"in": INPUT})["out"],
    }


def sample(functions: dict[str, Callable[[], bytes]], turns: int) -> dict[str, list[int]]:
    samples: dict[str, list[int]] = {name: [] for name in functions}
    order = list(functions.items())
    for turn in range(turns + WARM_UP):
        random.shuffle(order)  # what goes before leaves its traces
        for name, function in order:
            begin = time.perf_counter_ns()
            made = function()
            took = time.perf_counter_ns() - begin
            assert made == INPUT, name
            if turn >= WARM_UP:
                samples[name].append(took)
    return samples


def main() -> None:
    tiny, disk, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
    directory = tempfile.mkdtemp(dir=MEMORY)
    try:
        samples = sample(kinds(tiny, disk, directory), turns)
    finally:
        shutil.rmtree(directory)
    for name, values in samples.items():
        low, median, high = statistics.quantiles(values, n=4)
        print(name, round(median), round(low), round(high))


if __name__ == "__main__":
    main()

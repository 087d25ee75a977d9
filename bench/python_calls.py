#!/usr/bin/python3
"""What a call costs from Python, against what one writes by hand.

    PYTHONPATH=BUILD/python bench/python_calls.py BUILD [TURNS [ROUNDS]]

Prints a Markdown table. "Beyond the program" is what is left after the program's own time: posix_spawn and wait of the same
program on plain files in a directory that is there already. All kinds run in turn, in an order that changes; each number is the median of a
round, each ratio is taken within a round, and the least and greatest of the rounds are shown. This never judges.
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


def kinds(tiny: str, directory: str) -> dict[str, Callable[[], bytes]]:
    """Each does its work once and returns the bytes that came out."""
    Path(directory, "in").write_bytes(INPUT)
    copy = spile.function([tiny, "{<in}", "{>out}"])
    plan = spile.Plan([tiny, "{<in}", "{>out}"])
    filter_plan = spile.Plan("cat")

    def program() -> bytes:
        pid = os.posix_spawn(tiny, [tiny, f"{directory}/in", f"{directory}/out"], os.environ)
        os.waitpid(pid, 0)
        return INPUT

    def by_hand(captures: bool) -> bytes:
        with tempfile.TemporaryDirectory(dir=MEMORY) as own:
            with open(f"{own}/in", "wb") as file:
                file.write(INPUT)
            subprocess.run([tiny, "in", "out"], cwd=own, check=True, capture_output=captures)
            with open(f"{own}/out", "rb") as file:
                return file.read()

    return {
        "program": program,
        "by-hand": lambda: by_hand(True),
        "by-hand-bare": lambda: by_hand(False),
        "function": lambda: bytes(copy(INPUT)),
        "run": lambda: spile.run(plan, files={"in": INPUT})["out"],
        "run-bare": lambda: spile.run(plan, files={"in": INPUT}, stdout=spile.NULL, stderr=spile.NULL)["out"],
        "subprocess-filter": lambda: subprocess.run(["cat"], input=INPUT, capture_output=True, check=True).stdout,
        "filter": lambda: spile.run(filter_plan, stdin=INPUT).stdout,
        "filter-files": lambda: spile.run("cat <{in} >{out}", files={"in": INPUT})["out"],
    }


def round_of(functions: dict[str, Callable[[], bytes]], turns: int) -> dict[str, float]:
    samples: dict[str, list[int]] = {name: [] for name in functions}
    order = list(functions.items())
    for turn in range(turns + 5):
        random.shuffle(order)  # what goes before leaves its traces
        for name, function in order:
            begin = time.perf_counter_ns()
            made = function()
            took = time.perf_counter_ns() - begin
            assert made == INPUT, name
            if turn >= 5:
                samples[name].append(took)
    return {name: statistics.median(values) for name, values in samples.items()}


def main() -> None:
    tiny = str(Path(sys.argv[1], "bench", "tiny").resolve())
    turns, rounds = (int(sys.argv[2]) if len(sys.argv) > 2 else 200), (int(sys.argv[3]) if len(sys.argv) > 3 else 7)
    directory = tempfile.mkdtemp(dir=MEMORY)
    try:
        functions = kinds(tiny, directory)
        medians = [round_of(functions, turns) for _ in range(rounds)]
    finally:
        shutil.rmtree(directory)

    def beyond(name: str) -> list[float]:
        return [median[name] - median["program"] for median in medians]

    rows = [
        ("the program alone, on files that are there", "program", None),
        ("`subprocess` and a temporary directory in /dev/shm, standard streams captured", "by-hand", None),
        ("the same, standard streams inherited", "by-hand-bare", None),
        ("`spile.function`", "function", None),
        ("`spile.run`, standard streams captured", "run", None),
        ("`spile.run`, standard streams null", "run-bare", None),
        ("`subprocess.run`, a filter", "subprocess-filter", None),
        ("`spile.run`, a filter", "filter", "subprocess-filter"),
        ("`spile.run`, a filter between files", "filter-files", "subprocess-filter"),
    ]
    print(f"{len(os.sched_getaffinity(0))} processors, {os.uname().release}, Python {sys.version.split()[0]}, "
          f"{rounds} rounds of {turns} turns\n")
    print("| what | µs | against | ratio | least - greatest |\n|---|---|---|---|---|")
    for text, name, against in rows:
        took = statistics.median(median[name] for median in medians) / 1000
        ratios = [median[name] / median[against] for median in medians] if against else []
        shown = f"{statistics.median(ratios):.2f} | {min(ratios):.2f} - {max(ratios):.2f}" if ratios else " | "
        print(f"| {text} | {took:.0f} | {against or ''} | {shown} |")
    for name, hand in (("function", "by-hand"), ("run", "by-hand"), ("run-bare", "by-hand-bare")):
        ratios = [by_hand / own for by_hand, own in zip(beyond(hand), beyond(name))]
        print(f"| {hand}, both beyond the program | | {name} | {statistics.median(ratios):.2f} | "
              f"{min(ratios):.2f} - {max(ratios):.2f} |")


if __name__ == "__main__":
    main()

"""What the benchmarks have in common: a round is a dict of medians by name; a row is a ratio of two of them.

Nothing here judges: an aim is shown beside what was measured, and that is all.
"""
from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
PYTHON = "/usr/bin/python3"  # the one the package is built for

Round = dict[str, float]


@dataclass(frozen=True)
class Setting:
    """What a part is told."""

    build: Path
    disk: Path  # a directory on a disk
    is_quick: bool
    bytes: int | None  # for each stream; None: as much as the machine moves in reasonable time

    def program(self, name: str) -> Path:
        return self.build / "bench" / name


@dataclass(frozen=True)
class Row:
    text: str
    name: str
    against: str = ""
    aim: str = ""
    ratio: Callable[[Round], float] | None = None  # where it is no plain one
    is_rate: bool = False  # how much of the other's speed it reaches, instead of how much longer it takes
    unit: str = "time"

    def ratio_of(self, medians: Round) -> float:
        if self.ratio:
            return self.ratio(medians)
        if self.is_rate:
            return medians[self.against] / medians[self.name]
        return medians[self.name] / medians[self.against or self.name]


@dataclass(frozen=True)
class Part:
    title: str
    rows: list[Row]
    measure: Callable[[Setting], tuple[list[Round], str]]  # the rounds, and what of


def note(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run_measuring(command: list[object], env: dict[str, str] | None = None, timeout: float = 300) -> Round:
    """The numbers that a measuring program prints."""
    words = list(map(str, command))
    shown = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, timeout=timeout, env=env).stdout
    return {line.split()[0]: int(line.split()[1]) for line in shown.splitlines()}


def python_environment(setting: Setting) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(setting.build / "python")}


def first_line(*command: str) -> str:
    if not shutil.which(command[0]):
        return f"no {command[0]}"
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=SOURCE)
    return next(iter(shown.stdout.splitlines()), "?")


def versions() -> list[str]:
    model = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    socat = next((word for word in first_line("sh", "-c", "socat -V 2>&1 | grep version").split() if word[:1].isdigit()), "none")
    return [f"- machine: {len(os.sched_getaffinity(0))} x {model[0] if model else platform.machine()}, load "
            f"{os.getloadavg()[0]:.1f} at the start",
            f"- kernel: {platform.release()}",
            f"- {first_line('cc', '--version')}; {first_line(PYTHON, '--version')}; socat {socat}; {first_line('pv', '--version')}",
            f"- spile: {first_line('git', 'describe', '--always', '--dirty')}"]


def show_amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value:.0f} B"
    if unit == "count":
        return f"{value:.1f}"
    return f"{value / 1e3:.0f} µs" if value < 1e7 else f"{value / 1e6:.0f} ms"


def show_rows(part: Part, rounds: list[Round]) -> list[str]:
    lines = []
    for row in part.rows:
        if not rounds or any(name not in rounds[0] for name in (row.name, row.against or row.name)):
            lines.append(f"| {row.text} | not measured | | {row.aim} | |")
            continue
        ratios = [row.ratio_of(medians) for medians in rounds]
        amount = show_amount(statistics.median(medians[row.name] for medians in rounds), row.unit)
        shown = f"{statistics.median(ratios):.2f} | {min(ratios):.2f} - {max(ratios):.2f}"
        if row.unit != "time":
            shown = " | "
        lines.append(f"| {row.text} | {shown} | {row.aim} | {amount} |")
    return lines

#!/usr/bin/python3
"""Process substitution for `subprocess`: two inputs and an output that are pipes, whatever order they are opened in.

    pipe.py       compares two texts that are made while diff reads them
"""
from __future__ import annotations

import subprocess
from collections.abc import Iterator

import spile


def numbers(*left_out: int) -> Iterator[str]:
    for number in range(100_000):
        if number not in left_out:
            yield f"{number}\n"


def main() -> None:
    with (
        spile.Pipe.input(numbers(), name="all.txt") as old,
        spile.Pipe.input(numbers(4711, 99_999), name="some.txt") as new,
        spile.Pipe.output(name="difference.txt") as difference,
    ):
        # As `diff <(...) <(...) > >(...)` in a shell, but what goes wrong at either end is raised here.
        subprocess.run(["sh", "-c", 'diff "$1" "$2" >"$3"', "sh", old, new, difference])
        print(difference.read().decode(), end="")


if __name__ == "__main__":
    main()

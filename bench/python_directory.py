#!/usr/bin/python3
"""The same in Python by hand: a temporary directory, the file, subprocess, the output.

    python_directory.py TINY DISK TURNS

Prints a line a kind: name, median and quartiles in nanoseconds, as bench/calls does.
"""
import statistics
import subprocess
import sys
import tempfile
import time

INPUT = bytes(i * 7 % 256 for i in range(12 * 1024))


def by_hand(tiny, parent):
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        with open(f"{directory}/in", "wb") as file:
            file.write(INPUT)
        subprocess.run([tiny, "in", "out"], cwd=directory, check=True)
        with open(f"{directory}/out", "rb") as file:
            return file.read()


def main():
    tiny, disk, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
    kinds = {"python-directory-in-memory": "/dev/shm", "python-directory-on-disk": disk}
    samples = {name: [] for name in kinds}
    for turn in range(turns + 5):
        for name, parent in kinds.items():
            start = time.perf_counter_ns()
            made = by_hand(tiny, parent)
            took = time.perf_counter_ns() - start
            assert made == INPUT
            if turn >= 5:
                samples[name].append(took)
    for name, values in samples.items():
        low, median, high = statistics.quantiles(values, n=4)
        print(name, round(median), round(low), round(high))


if __name__ == "__main__":
    main()

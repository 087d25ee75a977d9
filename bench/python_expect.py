#!/usr/bin/python3
"""A marker behind much text, and round trips with a program, from Python: `spile.pexpect`, spile's own `expect`, and pexpect.

    [PYTHONPATH=BUILD/python] python_expect.py MEGABYTES TURNS TRIPS

Prints medians in nanoseconds. Without pexpect or Expect their kinds are left out; pexpect's default and Expect, both
quadratic, are left out above 4 MB.
"""
from __future__ import annotations

import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import spile
from spile import pexpect as ours
from spile.pexpect import fdpexpect

try:
    import pexpect as theirs
    from pexpect import fdpexpect as theirs_fd
except ImportError:
    theirs = None

MARKER = "the marker 42"
PATTERN = r"the marker \d+"
DEFAULT_LIMIT = 4
WRITER = """
import sys
block = bytes(10 if i % 64 == 63 else 32 + (i * 7 + i // 64) % 95 for i in range(1 << 20))
sys.stdin.readline()
for _ in range(int(sys.argv[1])): sys.stdout.buffer.write(block)
sys.stdout.buffer.write(b"the marker 42\\n")
"""


def search(megabytes: int, find: Callable[[socket.socket], int]) -> int:
    near, far = socket.socketpair()
    with near, subprocess.Popen([sys.executable, "-c", WRITER, str(megabytes)], stdin=subprocess.PIPE, stdout=far) as writer:
        far.close()
        assert writer.stdin
        time.sleep(0.2)  # so that its start is not measured
        begin = time.monotonic_ns()
        writer.stdin.write(b"\n")
        writer.stdin.close()
        assert find(near) == megabytes << 20
        return time.monotonic_ns() - begin


def by_spile(pattern: object) -> Callable[[socket.socket], int]:
    def find(near: socket.socket) -> int:
        with spile.open(near.fileno(), closefd=False) as talk:
            return len(talk.buffer.expect(pattern).before)
    return find


def by_pexpect(module: object, exact: bool, **how: object) -> Callable[[socket.socket], int]:
    def find(near: socket.socket) -> int:
        child = module.fdspawn(near, timeout=300, **how)
        child.expect_exact(MARKER) if exact else child.expect(PATTERN)
        return len(child.before)
    return find


def by_expect(megabytes: int) -> int:
    script = pathlib.Path(__file__).with_name("marker.exp")
    return int(subprocess.check_output(["expect", "-f", script, str(megabytes), sys.executable, "-c", WRITER, str(megabytes)]))


def trips(spawn: Callable[..., object], count: int) -> int:
    child = spawn("cat", echo=False, timeout=30)
    samples = []
    for number in range(count):
        line = f"a line as devices say it, number {number}"
        begin = time.monotonic_ns()
        child.sendline(line)
        child.expect_exact(line + "\r\n")
        samples.append(time.monotonic_ns() - begin)
    child.close()
    return round(statistics.median(samples))


def main() -> None:
    megabytes, turns, count = map(int, sys.argv[1:])
    kinds = {"spile-literal": by_spile(MARKER.encode()), "spile-regex": by_spile(spile.regex(PATTERN.encode())),
             "pexpect-literal": by_pexpect(fdpexpect, True), "pexpect-regex": by_pexpect(fdpexpect, False)}
    if theirs:
        tuned = {"maxread": 1 << 16, "searchwindowsize": 1 << 16}
        kinds["their-tuned-literal"] = by_pexpect(theirs_fd, True, maxread=1 << 16)
        kinds["their-tuned-regex"] = by_pexpect(theirs_fd, False, **tuned)
        if megabytes <= DEFAULT_LIMIT:
            kinds["their-regex"] = by_pexpect(theirs_fd, False)
    samples: dict[str, list[int]] = {name: [] for name in kinds}
    for _ in range(turns):
        for name, find in kinds.items():
            samples[name].append(search(megabytes, find))
    if shutil.which("expect") and megabytes <= DEFAULT_LIMIT:
        samples["expect-literal"] = [by_expect(megabytes) for _ in range(turns)]
    for name, each in samples.items():
        print(name, round(statistics.median(each)))
    print("trip", trips(ours.spawn, count))
    if theirs:
        print("their-trip", trips(theirs.spawn, min(count, 20)))


if __name__ == "__main__":
    main()

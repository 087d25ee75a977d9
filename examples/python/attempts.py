#!/usr/bin/python3
"""How one tries to give a program named pipes instead of files, and where each try ends. For contrast: see traps.py.

    attempts.py ATTEMPT     prints what it is about to do, step by step; most hang there, so give it a deadline

The program stands for any that wants two file names: it opens its output first and then its input, as many do.
"""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

PROGRAM = ["sh", "-c", 'exec 3>"$2"; exec cat "$1" >&3', "program"]
FAILING = ["sh", "-c", 'echo "program: syntax error" >&2; exit 1', "program"]
SOURCE = b"a line of source\n"


def say(step: str) -> None:
    print(step, flush=True)


def both_opened_by_the_script(source: Path, target: Path) -> None:
    """The script opens in one order, the program in the other: each waits for the other's open."""
    with subprocess.Popen([*PROGRAM, str(source), str(target)]):
        say("opening the input for writing")
        with open(source, "wb") as feed:
            feed.write(SOURCE)
        say("opening the output for reading")
        with open(target, "rb") as result:
            say(f"read {len(result.read())} bytes")


def nonblocking(source: Path, target: Path) -> None:
    """An open that does not wait fails where nobody reads yet; and a read without a writer looks like the end."""
    result = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
    say(f"read {len(os.read(result, 65536))} bytes")
    say("opening the input for writing")
    os.open(source, os.O_WRONLY | os.O_NONBLOCK)


def wait_before_read(source: Path, target: Path) -> None:
    """The program waits for room in the pipe, the script for the program: above the pipe's capacity both wait."""
    with subprocess.Popen([*PROGRAM, str(source), str(target)]) as program:
        result = os.open(target, os.O_RDONLY)
        with open(source, "wb") as feed:
            threading.Thread(target=feed.write, args=(bytes(1 << 20),), daemon=True).start()
            say("waiting for the program")
            program.wait()
        say(f"read {len(os.read(result, 65536))} bytes")


def threads(source: Path, target: Path) -> None:
    """A thread for each pipe: until the program fails before it opened them, and both wait in their open for ever."""
    workers = [
        threading.Thread(target=source.write_bytes, args=(SOURCE,)),
        threading.Thread(target=target.read_bytes),
    ]
    for worker in workers:
        worker.start()
    subprocess.run([*FAILING, str(source), str(target)], stderr=subprocess.DEVNULL)
    say("waiting for the threads")
    for worker in workers:
        worker.join()


ATTEMPTS: dict[str, Callable[[Path, Path], None]] = {
    "both-opened-by-the-script": both_opened_by_the_script,
    "nonblocking": nonblocking,
    "wait-before-read": wait_before_read,
    "threads": threads,
}

if __name__ == "__main__":
    attempt = ATTEMPTS.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if attempt is None:
        sys.exit(f"usage: attempts.py {'|'.join(ATTEMPTS)}")
    with tempfile.TemporaryDirectory() as directory:
        pipes = Path(directory, "source"), Path(directory, "target")
        for pipe in pipes:
            os.mkfifo(pipe)
        attempt(*pipes)

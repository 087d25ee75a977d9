"""What goes wrong in conversations with devices, each beside the same with spile.

    talk_traps.py           tries each way that is naive, which fails as told, and then spile's
"""
import io
import os
import pty
import re
import resource
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import spile
from talk import fails_with, hangs


@contextmanager
def terminal() -> Iterator[tuple[int, str]]:
    """The service's side of a terminal in its usual modes, and the path that its users open."""
    master, slave = pty.openpty()
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


@contextmanager
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def answer_errors(master: int, heard: list[bytes]) -> None:
    """A device that knows no word, and ends with its terminal."""
    while len(heard) < 10:
        try:
            heard += os.read(master, 1000).splitlines()
            os.write(master, b"ERR\n")
        except OSError:
            return


def hears_itself() -> bool:
    """A terminal in its usual mode sends the device's own words back to it, which it answers."""
    with terminal() as (master, path):
        heard: list[bytes] = []
        device = threading.Thread(target=answer_errors, args=(master, heard))
        device.start()
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, b"hello\n")
        device.join()
        os.close(fd)
    with terminal() as (master, path):
        asked: list[bytes] = []
        threading.Thread(target=answer_errors, args=(master, asked), daemon=True).start()
        with spile.open(path, timeout=10) as talk:
            reply = talk.ask("hello"), talk.ask("again")
    return len(heard) == 10 and reply == ("ERR", "ERR") and asked == [b"hello", b"again"]


def long_line_is_cut() -> bool:
    """A terminal in its usual mode cuts a long line, and tells nobody."""
    line = b"x" * 5000 + b"\n"
    with terminal() as (master, path):
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        os.write(master, line)
        cut = os.read(fd, 10000)
        os.close(fd)
    with terminal() as (master, path), spile.open(path, timeout=10) as talk:
        os.write(master, line)
        return len(cut) < 5000 and talk.readline() == line.decode()


def end_is_an_error() -> bool:
    """When a program on a terminal ends, reading from it is an error, whatever it said last."""
    master, slave = pty.openpty()
    with subprocess.Popen(["echo", "last words"], stdin=slave, stdout=slave, stderr=slave):
        os.close(slave)
    with open(master, "rb") as naive:
        is_error = fails_with(OSError, "Input/output error", naive.read)
    with spile.open("pty: echo 'last words'", timeout=10) as talk:
        return is_error and list(talk) == ["last words\n"]


def bad_byte_takes_all() -> bool:
    """Text that is decoded as it was read: one byte that is none takes the lines around it along."""
    said = b"before\nb\xffd\nafter\n"
    with sockets() as (ours, theirs):
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        naive = io.TextIOWrapper(ours.makefile("rb"), encoding="utf-8")
        is_lost = fails_with(UnicodeDecodeError, "invalid start byte", naive.readline)
    with sockets() as (ours, theirs), spile.open(ours.fileno(), closefd=False, timeout=10) as talk:
        theirs.sendall(said)
        return is_lost and [talk.readline() for _ in range(3)] == ["before\n", "b\ufffdd\n", "after\n"]


def carriage_return_waits() -> bool:
    """A device that ends its lines with CR alone: who looks for an LF behind it waits for the next line."""
    with sockets() as (ours, theirs):
        theirs.sendall(b"ready\r")
        naive = ours.makefile("r", encoding="utf-8")
        is_stuck = hangs(naive.readline)
        theirs.close()
    with sockets() as (ours, theirs), spile.open(ours.fileno(), closefd=False, timeout=10) as talk:
        theirs.sendall(b"ready\r")
        return is_stuck and talk.readline() == "ready\n"


def cut_by_chunks() -> bool:
    """An expression that is looked for in what one read gave matches half of the number."""
    with sockets() as (ours, theirs):
        theirs.sendall(b"value=12")
        naive = re.search(rb"value=(\d+)", ours.recv(1000))
        theirs.sendall(b"345\n")
    with sockets() as (ours, theirs), spile.open(ours.fileno(), closefd=False, timeout=10) as talk:
        theirs.sendall(b"value=12")
        later = threading.Timer(0.1, theirs.sendall, [b"345\n"])
        later.start()
        found = talk.expect(spile.regex(r"value=(\d+)"), rest=None)  # or mode="line", where lines are what comes
        later.join()
        return naive is not None and naive[1] == b"12" and found[1] == "12345"


def own_words_come_back() -> bool:
    """The first line that a program's terminal gives is the question."""
    program = 'while read -r line; do echo "got $line"; done'
    master, slave = pty.openpty()
    with subprocess.Popen(["sh", "-c", program], stdin=slave, stdout=slave, stderr=slave) as child:
        os.close(slave)
        with open(master, "r+b", buffering=0) as naive:
            naive.write(b"hello\n")
            first = naive.readline()
            child.kill()
    with spile.open(["sh", "-c", program], timeout=10) as talk:
        return first == b"hello\r\n" and talk.ask("hello") == "got hello"


def deadline_starts_again() -> bool:
    """A time-out for each read, and a device that sends a byte now and then: the line is waited for without end."""

    def dribble(to: socket.socket, until: threading.Event) -> None:
        while not until.wait(0.05):
            to.sendall(b".")

    def is_put_off(read: Callable[[], object], to: socket.socket) -> bool:
        is_over = threading.Event()
        thread = threading.Thread(target=dribble, args=(to, is_over))
        thread.start()
        has_hung = hangs(lambda: fails_with(TimeoutError, "", read))
        is_over.set()
        thread.join()
        return has_hung

    with sockets() as (ours, theirs):
        ours.settimeout(0.3)
        is_stuck = is_put_off(ours.makefile("rb").readline, theirs)
        theirs.close()
    with sockets() as (ours, theirs), spile.open(ours.fileno(), closefd=False, timeout=0.3) as talk:
        return is_stuck and not is_put_off(talk.readline, theirs)


def two_users() -> bool:
    """Two who open one terminal get a part of the answers each; spile lets only one of its users in."""
    with terminal() as (master, path), open(path, "rb", buffering=0), open(path, "rb", buffering=0):
        with spile.open(path):
            return fails_with(spile.EndpointError, "is held", lambda: spile.open(path))


def many_descriptors() -> bool:
    """select() can't look at a descriptor above 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048 and hard != resource.RLIM_INFINITY:
        return True  # nobody can have so many here
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    with sockets() as (ours, theirs):
        high = [os.dup(ours.fileno()) for _ in range(1100)]
        try:
            is_refused = fails_with(ValueError, "out of range", lambda: select.select([high[-1]], [], []))
            with spile.open(high[-1], closefd=False, timeout=10) as talk:
                theirs.sendall(b"hello\n")
                return is_refused and talk.readline() == "hello\n"
        finally:
            for fd in high:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


TRAPS: tuple[Callable[[], bool], ...] = (
    hears_itself, long_line_is_cut, end_is_an_error, bad_byte_takes_all, carriage_return_waits, cut_by_chunks,
    own_words_come_back, deadline_starts_again, two_users, many_descriptors,
)

if __name__ == "__main__":
    for trap in TRAPS:
        print("fails as told:" if trap() else "NOT AS TOLD:", (trap.__doc__ or "").strip())

"""The first story: a service put a device into the file system, and a program wants to say a line and read a line.

Beside what works stand the ways that one tries first, each of which ends in an error, in one's own words, or never.
"""
import io
import os
import pty
import tempfile
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import spile

SECONDS = 1.0


def serve(read: int, write: int) -> None:
    """Answers each line in capitals."""
    rest = b""
    while True:
        try:
            block = os.read(read, 1000)
        except OSError:
            return
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            os.write(write, line.upper() + b"\n")


@contextmanager
def device() -> Iterator[str]:
    """A pty with a raw slave under a stable path."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    threading.Thread(target=serve, args=(master, master), daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "door")
        os.symlink(os.ttyname(slave), path)
        yield path
    os.close(slave)


@contextmanager
def fifos() -> Iterator[tuple[str, str]]:
    """Two FIFOs: what the service says, and what it hears."""
    with tempfile.TemporaryDirectory() as directory:
        says, hears = os.path.join(directory, "says"), os.path.join(directory, "hears")
        os.mkfifo(says)
        os.mkfifo(hears)
        threading.Thread(target=lambda: serve(os.open(hears, os.O_RDONLY), os.open(says, os.O_WRONLY)), daemon=True).start()
        yield says, hears


# ------------------------------------------------------------------------------------------------ what works


def conversation(endpoint: str) -> list[str]:
    """Five lines: any of the two, and any other endpoint."""
    with spile.open(endpoint, timeout=10) as talk:
        print("hello", file=talk)
        first = talk.readline()
        talk.write("and\nagain\n")
        return [first.strip(), *(talk.readline().strip() for _ in range(2)), talk.ask("bye")]


# ------------------------------------------------------------------------------------------------ what does not


def fails_with(error: type[Exception], text: str, act: Callable[[], object]) -> bool:
    try:
        act()
    except error as raised:
        return text in str(raised)
    return False


def hangs(act: Callable[[], object]) -> bool:
    """Whether it has not ended in time; its thread is left behind."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return thread.is_alive()


def open_for_both() -> bool:
    """open(path, "r+"): text for both directions wants to seek."""
    with device() as path:
        return fails_with(io.UnsupportedOperation, "not seekable", lambda: open(path, "r+"))


def fdopen_for_both() -> bool:
    """os.fdopen(fd, "w+") on a descriptor that is open for both."""
    with device() as path:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            return fails_with(io.UnsupportedOperation, "not seekable", lambda: os.fdopen(fd, "w+", closefd=False))
        finally:
            os.close(fd)


def one_fifo_both_ways() -> bool:
    """One FIFO, opened for both directions, gives back one's own text; spile says so."""
    with fifos() as (says, _):
        with open(says, "r+b", buffering=0) as fifo:
            fifo.write(b"hello\n")
            own = fifo.readline()
        return own == b"hello\n" and fails_with(spile.EndpointError, "reads back his own text", lambda: spile.open(says))


def pair_with_a_large_write() -> bool:
    """BufferedRWPair: a write that the echoing peer can't finish taking, as nobody reads what it says."""
    with fifos() as (says, hears):
        out = open(hears, "wb", buffering=0)
        pair = io.BufferedRWPair(open(says, "rb", buffering=0), out)
        is_stuck = hangs(lambda: pair.write(b"x\n" * 1000000))
    with fifos() as (says, hears), spile.open(f"fifo:{says},{hears}", timeout=60) as talk:
        talk.write("x\n" * 1000000)
        return is_stuck and sum(talk.readline() == "X\n" for _ in range(1000000)) == 1000000


TRAPS = [open_for_both, fdopen_for_both, one_fifo_both_ways, pair_with_a_large_write]


def main() -> None:
    with device() as path:
        print(*conversation(path))
    with fifos() as (says, hears):
        print(*conversation(f"fifo:{says},{hears}"))
    for trap in TRAPS:
        print("fails as told:" if trap() else "NOT AS TOLD:", (trap.__doc__ or "").strip())


if __name__ == "__main__":
    main()

"""A child program on a terminal of its own."""
from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from typing import Any

from .exceptions import ExceptionPexpect
from .utils import wait_exit

ABOVE_STANDARD = 3
ENDING_SECONDS = 1.0  # between the end of its output and its own
CONTROLS = {"@": 0, "`": 0, "[": 27, "{": 27, "\\": 28, "|": 28, "]": 29, "}": 29, "^": 30, "~": 30, "_": 31, "?": 127}


def _above_standard(fd: int) -> int:
    """The same, clear of 0, 1 and 2, which a caller may have closed."""
    if fd >= ABOVE_STANDARD:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE_STANDARD)
    finally:
        os.close(fd)


class PtyProcess:
    """The child, and the master of its terminal."""

    def __init__(
        self, argv: list[Any], *, cwd: Any = None, env: Any = None, echo: bool = True, preexec_fn: Callable[[], Any] | None = None,
        dimensions: tuple[int, int] = (24, 80),
    ) -> None:
        self.flag_eof = False
        self.terminated: Any = False
        self.closed = False
        self.status: int | None = None
        self.exitstatus: int | None = None
        self.signalstatus: int | None = None
        self.echo = echo
        master, slave = map(_above_standard, os.openpty())
        self.fd = master

        def prepare() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if preexec_fn is not None:
                preexec_fn()

        try:
            self.setwinsize(*dimensions)
            self._intr, self._eof = (control or default for control, default in zip(self._controls(slave), (b"\x03", b"\x04")))
            if not echo:
                self.setecho(False)
            process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=env, start_new_session=True,
                                       preexec_fn=prepare)
            os.set_blocking(master, False)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        self.pid = process.pid
        process.returncode = 0  # from here on it is waited for here

    @staticmethod
    def _controls(fd: int) -> tuple[Any, Any]:
        characters = termios.tcgetattr(fd)[6]
        return characters[termios.VINTR], characters[termios.VEOF]

    # ---------------------------------------------------------------------------------------------- its life

    def _take(self, status: int) -> None:
        self.status = status
        self.terminated = True
        if os.WIFSIGNALED(status):
            self.exitstatus, self.signalstatus = None, os.WTERMSIG(status)
        else:
            self.exitstatus, self.signalstatus = os.WEXITSTATUS(status), None

    def _look(self, flags: int) -> bool:
        """Whether it has ended."""
        try:
            pid, status = os.waitpid(self.pid, flags)
        except ChildProcessError:
            raise ExceptionPexpect('isalive() encountered condition where "terminated" is 0, but there was no child process. '
                                   "Did someone else call waitpid() on our process?") from None
        if pid:
            self._take(status)
        return pid != 0

    def isalive(self) -> bool:
        """Whether it runs. Of one whose output has ended: a moment later."""
        if self.terminated:
            return False
        if self.flag_eof:
            wait_exit(self.pid, ENDING_SECONDS)
        return not self._look(os.WNOHANG)

    def wait(self) -> int | None:
        """Waits until it has ended; its exit status."""
        if not self.terminated:
            self._look(0)
        return self.exitstatus

    def kill(self, number: int) -> None:
        """Sends it a signal."""
        if self.isalive():
            os.kill(self.pid, number)

    def terminate(self, patience: float, force: bool) -> bool:
        """Ends it, politely first; whether it has ended."""
        steps = [signal.SIGHUP, signal.SIGCONT, signal.SIGINT] + ([signal.SIGKILL] if force else [])
        for number in steps:
            if not self.isalive():
                return True
            try:
                os.kill(self.pid, number)
            except OSError:
                pass
            wait_exit(self.pid, max(patience, ENDING_SECONDS) if number == signal.SIGKILL else patience)
        return not self.isalive()

    def close(self, patience: float, force: bool) -> None:
        """Hangs its terminal up, and ends it."""
        if self.closed:
            return
        os.close(self.fd)
        self.fd = -1
        self.closed = True
        if not self.terminated:
            wait_exit(self.pid, patience)
            if not self.terminate(patience, force):
                raise ExceptionPexpect("Could not terminate the child.")

    # ---------------------------------------------------------------------------------------------- its terminal

    def isatty(self) -> bool:
        """True while it is open."""
        return os.isatty(self.fd)

    def getecho(self) -> bool:
        """Whether it shows what is sent."""
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def setecho(self, state: bool) -> None:
        """Whether it shall."""
        modes = termios.tcgetattr(self.fd)
        modes[3] = modes[3] | termios.ECHO if state else modes[3] & ~termios.ECHO
        termios.tcsetattr(self.fd, termios.TCSANOW, modes)
        self.echo = state

    def waitnoecho(self, timeout: float | None) -> bool:
        """Waits until it does not; no event tells."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.getecho():
            if until is not None and time.monotonic() >= until:
                return False
            time.sleep(0.005)
        return True

    def getwinsize(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(self.fd, termios.TIOCGWINSZ, b"\0" * 8))
        return rows, columns

    def setwinsize(self, rows: int, columns: int) -> None:
        """Makes it so large."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    # ---------------------------------------------------------------------------------------------- control characters

    def control(self, char: str) -> bytes:
        """The control character of that name; empty where there is none."""
        char = char.lower()
        if len(char) == 1 and "a" <= char <= "z":
            return bytes([ord(char) - ord("a") + 1])
        return bytes([CONTROLS[char]]) if char in CONTROLS else b""

    def end_of_file(self) -> bytes:
        """What says that nothing follows."""
        return bytes(self._eof)

    def interrupt(self) -> bytes:
        """What interrupts."""
        return bytes(self._intr)

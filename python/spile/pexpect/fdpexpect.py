"""`fdspawn`: a descriptor that is open already: a serial port, a FIFO, a socket."""
from __future__ import annotations

import os
from typing import Any

from .exceptions import TIMEOUT, ExceptionPexpect
from .spawnbase import MAXREAD, SpawnBase
from .utils import wait_readable

__all__ = ["fdspawn"]


class fdspawn(SpawnBase):
    """Speaks with a descriptor, or with something that has one."""

    def __init__(
        self, fd: Any, args: Any = None, timeout: float | None = 30, maxread: int = MAXREAD, searchwindowsize: int | None = None,
        logfile: Any = None, encoding: str | None = None, codec_errors: str = "strict", use_poll: bool = False,
    ) -> None:
        if not isinstance(fd, int) and hasattr(fd, "fileno"):
            fd = fd.fileno()
        if not isinstance(fd, int):
            raise ExceptionPexpect("The fd argument is not an int. If this is a command string then maybe you want to use pexpect.spawn.")
        try:
            os.fstat(fd)
        except OSError:
            raise ExceptionPexpect("The fd argument is not a valid file descriptor.") from None
        super().__init__(timeout, maxread, searchwindowsize, logfile, encoding, codec_errors)
        self.args = self.command = None
        self.child_fd = fd
        self.own_fd = False
        self.closed = False
        self.name = f"<file descriptor {fd}>"
        self.use_poll = use_poll

    def close(self, *force: Any) -> None:
        """Closes the descriptor; a second time does nothing."""
        if self.child_fd == -1:
            return
        os.close(self.child_fd)
        self.child_fd = -1
        self.closed = True

    def isalive(self) -> bool:
        """Whether the descriptor is open."""
        try:
            os.fstat(self.child_fd)
        except OSError:
            return False
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.child_fd >= 0 and os.isatty(self.child_fd)

    def terminate(self, force: bool = False) -> None:
        """Not of a descriptor."""
        raise ExceptionPexpect("This method is not valid for file descriptors.")

    def send(self, s: Any) -> int:
        """Writes it; returns the number of bytes."""
        s = self._coerce_send_string(s)
        self._log(s, "send")
        return os.write(self.child_fd, self._encoder.encode(s, final=False))

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> Any:
        """Reads what is there, at most so much; waits for it so long, -1: as `timeout` says."""
        if not wait_readable(self.child_fd, self.timeout if timeout == -1 else timeout):
            raise TIMEOUT("Timeout exceeded.")
        return self._read_fd(size)

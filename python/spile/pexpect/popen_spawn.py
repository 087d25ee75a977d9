"""`PopenSpawn`: a program on pipes."""
from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

from .exceptions import TIMEOUT
from .spawnbase import MAXREAD, SpawnBase
from .utils import wait_readable

__all__ = ["PopenSpawn"]


class PopenSpawn(SpawnBase):
    """Starts a program on pipes, its standard error with its output; `proc` is the `subprocess.Popen`."""

    def __init__(
        self, cmd: Any, timeout: float | None = 30, maxread: int = MAXREAD, searchwindowsize: int | None = None, logfile: Any = None,
        cwd: Any = None, env: Any = None, encoding: str | None = None, codec_errors: str = "strict",
        preexec_fn: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(timeout, maxread, searchwindowsize, logfile, encoding, codec_errors)
        self.crlf = self.linesep
        words = shlex.split(cmd) if isinstance(cmd, str) else cmd
        self.proc = subprocess.Popen(words, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     cwd=cwd, env=env, preexec_fn=preexec_fn)
        assert self.proc.stdout is not None and self.proc.stdin is not None
        self.stdin_pipe = self.proc.stdin
        os.set_blocking(self.stdin_pipe.fileno(), False)
        self.pid = self.proc.pid
        self.child_fd = self.proc.stdout.fileno()
        self.closed = False

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> Any:
        """Reads what is there, at most so much; waits for it so long, -1: as `timeout` says."""
        if not wait_readable(self.child_fd, self.timeout if timeout == -1 else timeout):
            raise TIMEOUT("Timeout exceeded.")
        return self._read_fd(size)

    def send(self, s: Any) -> int:
        """Sends it, all of it: what the program says meanwhile is taken in. Returns the number of bytes.

        Raises:
            TIMEOUT: it neither takes nor says anything for as long as `timeout` says.
        """
        s = self._coerce_send_string(s)
        self._log(s, "send")
        return self._send_all(self.stdin_pipe.fileno(), self._encoder.encode(s, final=False), timeout=self.timeout)

    def sendeof(self) -> None:
        """Closes its standard input."""
        self.stdin_pipe.close()

    def wait(self) -> int:
        """Waits until it has ended; its exit status, or minus the signal."""
        status = self.proc.wait()
        self.exitstatus, self.signalstatus = (status, None) if status >= 0 else (None, -status)
        self.terminated = True
        return status

    def isalive(self) -> bool:
        """Whether it runs."""
        if self.proc.poll() is None:
            return True
        self.wait()
        return False

    def kill(self, sig: int) -> None:
        """Sends it a signal."""
        os.kill(self.proc.pid, sig)

    def close(self, *force: Any) -> None:
        """Closes its pipes."""
        self.stdin_pipe.close()
        if self.proc.stdout is not None:
            self.proc.stdout.close()
        self.child_fd = -1
        self.closed = True

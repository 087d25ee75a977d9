"""`SocketSpawn`: a socket that is open already."""
from __future__ import annotations

import socket as sockets
from typing import Any

from .exceptions import EOF, TIMEOUT
from .spawnbase import MAXREAD, SpawnBase
from .utils import wait_readable

__all__ = ["SocketSpawn"]


class SocketSpawn(SpawnBase):
    """Speaks with a socket."""

    def __init__(
        self, socket: sockets.socket, args: Any = None, timeout: float | None = 30, maxread: int = MAXREAD,
        searchwindowsize: int | None = None, logfile: Any = None, encoding: str | None = None, codec_errors: str = "strict",
        use_poll: bool = False,
    ) -> None:
        super().__init__(timeout, maxread, searchwindowsize, logfile, encoding, codec_errors)
        self.args = self.command = None
        self.socket = socket
        self.child_fd = socket.fileno()
        self.closed = False
        self.name = f"<socket {socket}>"
        self.use_poll = use_poll

    def close(self, *force: Any) -> None:
        """Shuts it down and closes it; a second time does nothing."""
        if self.child_fd == -1:
            return
        try:
            self.socket.shutdown(sockets.SHUT_RDWR)
        except OSError:
            pass  # the other side was first
        self.socket.close()
        self.child_fd = -1
        self.closed = True

    def isalive(self) -> bool:
        """Whether it is open."""
        return self.socket.fileno() >= 0

    def send(self, s: Any) -> int:
        """Sends all of it; returns the number of bytes."""
        s = self._coerce_send_string(s)
        self._log(s, "send")
        data = self._encoder.encode(s, final=False)
        self.socket.sendall(data)
        return len(data)

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> Any:
        """Reads what is there, at most so much; waits for it so long, -1: as `timeout` says."""
        if not wait_readable(self.socket.fileno(), self.timeout if timeout == -1 else timeout):
            raise TIMEOUT("Timeout exceeded.")
        data = self.socket.recv(size)
        if not data:
            self.flag_eof = True
            raise EOF("Socket closed")
        return self._decoded(data)

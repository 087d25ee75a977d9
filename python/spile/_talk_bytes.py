"""The bytes under a conversation."""
from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ._expect import REST_SECONDS, UNSET, AnyPattern, Match, Patterns, Unset, patterns_of

if TYPE_CHECKING:
    from ._talk import Talk

__all__ = ["TalkBytes"]


class TalkBytes(io.RawIOBase):
    """The bytes under a `Talk`: what is read of either is taken of both. Closing it closes the talk."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """At most so many bytes, at least one; all up to the end without a number. `b""` at the end."""
        if size is None or size < 0:
            return self.readall()
        talk, most = self._talk, size
        talk.flush()
        return b"" if most == 0 else talk._wait(lambda raw, ns: raw.read_bytes(1, most, ns), talk.timeout, "sent no more bytes")

    def read_exactly(self, size: int) -> bytes:
        """So many bytes; fewer only at the end."""
        talk = self._talk
        talk.flush()
        return talk._wait(lambda raw, ns: raw.read_bytes(size, size, ns), talk.timeout, "did not send so many bytes")

    def readinto(self, buffer: Any, /) -> int:
        """Fills as much of it as there is."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def expect(
        self,
        *patterns: AnyPattern | Patterns | Iterable[AnyPattern],
        timeout: float | None | Unset = UNSET,
        window: int = 0,
        rest: float | None = REST_SECONDS,
    ) -> Match[bytes]:
        """As `Talk.expect`, of bytes as they come."""
        return self._talk._expect(patterns_of(patterns, True), timeout, window, rest)

    def write(self, data: Any, /) -> int:
        """Writes all of it."""
        view = memoryview(data).cast("B")
        self._talk.flush()
        self._talk._write(view, False)
        return len(view)

    def close(self) -> None:
        """Closes the talk."""
        if not self.closed:
            super().close()
            self._talk.close()

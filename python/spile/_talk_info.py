"""What the library tells of a conversation."""
from __future__ import annotations

import os
from typing import NamedTuple

from . import _spile

OPENING, OPEN = 1, 2


class TalkInfo(NamedTuple):
    """What `_spile.Talk.info` returns, by its names in spile_talk_info."""

    state: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_kept: int = 0
    bytes_queued: int = 0
    is_terminal: int = 0
    is_ended: int = 0
    is_out_of_step: int = 0
    pid: int = 0
    has_exited: int = 0
    exit_status: int = 0  # negative: ended by a signal
    signal: int = 0
    transcript_error: int = 0
    entries_missing: int = 0
    losses: int = 0

    @property
    def status(self) -> int | None:
        """Of a program that has ended, as Python has it."""
        return None if not self.has_exited else self.exit_status if self.exit_status >= 0 else -self.signal

    @property
    def is_settled(self) -> bool:
        """Nothing is left to be written, and a program has ended."""
        return self.bytes_queued == 0 and (not self.pid or bool(self.has_exited)) or self.state != OPEN

    @property
    def transcript_failure(self) -> OSError | None:
        """Why entries are missing in the transcript."""
        number = -self.transcript_error
        return OSError(number, f"{os.strerror(number)}: {self.entries_missing} entries are missing") if number else None


def info_of(raw: _spile.Talk) -> TalkInfo:
    return TalkInfo(*raw.info())

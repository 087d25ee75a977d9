"""What a call came to."""
from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from . import _spile
from ._errors import CallError, Info, error_from
from ._programs import Containment, Plan

__all__ = ["Event", "OutputInfo", "ProgramResult", "Result", "StreamResult"]

NS = 1_000_000_000

CONTAINMENTS = tuple(item.name.lower() for item in Containment)



class Event(NamedTuple):
    """Something that happened while a call ran: see `trace`."""

    kind: str
    """`input_ready`, `started`, `exited`, `output_ready`, `delivered`, `killed`, `stream` (an end was opened; `bytes`: how
    often so far), `notice` or `ended`."""
    time: float
    """Seconds since the call began."""
    program: int | None
    name: str | None
    """A file's."""
    text: str | None
    bytes: int
    pid: int
    status: int
    """Of `exited` as `os.waitpid` gives it; of `killed` the signal."""


def event_from(fields: tuple[Any, ...]) -> Event:
    kind, time_ns, program, name, text, size, pid, status = fields
    return Event(kind, time_ns / NS, None if program < 0 else program, name, text, size, pid, status)


class ProgramResult(NamedTuple):
    """What one program did. Times are seconds; `start` and `end` count from the beginning of the call."""

    argv: tuple[str, ...]
    """As it was started; empty where it never was."""
    started: bool
    ended: bool
    accepted: bool
    """It ended with a status that is a success, and its outputs were there."""
    exit_status: int | None
    signal: int | None
    """The signal that ended it."""
    start: float
    end: float
    user: float
    system: float
    max_rss: int
    """Bytes."""
    stdout: bytes
    stderr: bytes
    stderr_truncated: bool
    """Only the tail of standard error is here."""


def _program_result(fields: tuple[Any, ...]) -> ProgramResult:
    argv, started, ended, accepted, status, signal, start, end, user, system, rss, stdout, stderr, truncated = fields
    return ProgramResult(
        tuple(argv), bool(started), bool(ended), bool(accepted), None if status < 0 else status, signal or None,
        start / NS, end / NS, user / NS, system / NS, rss, stdout, stderr, bool(truncated),
    )


class OutputInfo(NamedTuple):
    """What is known about an output beside its bytes."""

    size: int
    program: int | None
    """Which made it."""
    is_partial: bool
    """Its program failed or was killed, or the call failed before all was done."""
    mode: int
    """Permission bits."""


class StreamResult(NamedTuple):
    """What went through a stream; of a direct one only its name is known. Times are seconds since the call began."""

    name: str
    producer: int | None
    """The program that writes it; None: it was given."""
    is_direct: bool
    writer_opens: int
    """Of programs, reopens included."""
    reader_opens: int
    bytes_in: int
    """Written."""
    bytes_out: int
    """Read, by all readers together."""
    first: float
    """When the first byte came out; 0 where none did."""
    last: float
    writer_blocked: float
    """Seconds in which the window was full."""
    reader_blocked: float
    """Seconds in which it was empty with a reader there."""
    window: int
    """Bytes the window could hold in the end."""
    window_growths: int
    """How often it grew, all standing still."""


def _stream_result(fields: tuple[Any, ...]) -> StreamResult:
    name, producer, direct, writers, readers, written, read, first, last, full, empty, window, growths = fields
    return StreamResult(name, None if producer < 0 else producer, bool(direct), writers, readers, written, read,
                        first / NS, last / NS, full / NS, empty / NS, window, growths)


class Result(Mapping[str, bytes]):
    """What came out of a call: a mapping of names to bytes, and what each program did.

    Outputs that were sent elsewhere (a path, a file object, a callable) are in `info` and not in the mapping. A failed
    call's result holds what its programs had written so far. Results can be pickled.

    Attributes:
        wall: how long the call took, in seconds.
        exit_status: what `spile run` would exit with: 0; the first failed program's status, 128 + n by signal n; 123
            the call failed though no program did; 124 time-out; 125 bad usage or spile's own error; 126, 127 a program
            that cannot be executed, or was not found.
        containment: `"namespace"`, `"reaper"` or `"none"`: how well nothing was left behind.
    """

    __slots__ = ("_raw", "_plan", "_index", "_bytes", "_info", "_error", "_programs", "_streams", "wall", "exit_status",
                 "containment", "__weakref__")

    wall: float
    exit_status: int
    containment: str
    _raw: _spile.Result | None
    _plan: Plan | None

    def __init__(self, raw: _spile.Result, plan: Plan, elsewhere: Collection[str], chunks: Mapping[str, bytes]) -> None:
        self._raw = raw
        self._plan = plan
        self._index: dict[str, int] = {}
        self._bytes: dict[str, bytes] = dict(chunks)
        self._info: dict[str, OutputInfo] = {}
        self._programs: tuple[ProgramResult, ...] | None = None
        self._streams: tuple[StreamResult, ...] | None = None
        for index, (name, size, program, is_partial, mode, has_data) in enumerate(raw.outputs()):
            self._info[name] = OutputInfo(size, None if program < 0 else program, bool(is_partial), mode)
            if name not in chunks and (has_data or (size == 0 and not _is_elsewhere(name, elsewhere))):
                self._index[name] = index
        error = raw.error()
        self._error = None if error is None else Info(*error)
        self.exit_status, containment, wall_ns = raw.summary()
        self.containment = CONTAINMENTS[containment]
        self.wall = wall_ns / NS

    @property
    def programs(self) -> tuple[ProgramResult, ...]:
        """What each program did, in the order given."""
        if self._programs is None:
            assert self._raw is not None
            self._programs = tuple(map(_program_result, self._raw.programs()))
        return self._programs

    @property
    def streams(self) -> tuple[StreamResult, ...]:
        """What went through each stream."""
        if self._streams is None:
            assert self._raw is not None
            self._streams = tuple(map(_stream_result, self._raw.streams()))
        return self._streams

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self._error is None

    @property
    def error(self) -> CallError | None:
        """The first root cause of its failure, or None. Each access makes a new exception."""
        return None if self._error is None else error_from(self._error, self._plan, self)

    @property
    def stdout(self) -> bytes:
        """What the programs wrote to standard output where no file was tied to it, one after the other."""
        return b"".join(program.stdout for program in self.programs)

    @property
    def stderr(self) -> bytes:
        """What the programs wrote to standard error (of long texts the tail), one after the other."""
        return b"".join(program.stderr for program in self.programs)

    @property
    def info(self) -> Mapping[str, OutputInfo]:
        """What is known about each output, by name; also of those sent elsewhere."""
        return dict(self._info)

    def buffer(self, name: str) -> memoryview:
        """The output without a copy: a read-only view, which keeps the result's memory for as long as it is used.

        Raises:
            KeyError: there is no output of that name in memory.
        """
        if name in self._index and self._raw is not None:
            return self._raw.buffer(self._index[name])
        return memoryview(self[name])

    def __getitem__(self, name: str) -> bytes:
        data = self._bytes.get(name)
        if data is None:
            assert self._raw is not None or name not in self._index
            if name not in self._index or self._raw is None:
                raise KeyError(name)
            data = self._bytes[name] = self._raw.bytes(self._index[name])
        return data

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._info if name in self._index or name in self._bytes)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._index or name in self._bytes

    def __repr__(self) -> str:
        files = ", ".join(f"{name}: {self._info[name].size} bytes" for name in self)
        outcome = "" if self._error is None else f", {self._error.kind}"
        return f"<spile.Result {{{files}}}, {self.wall:.3f} s{outcome}>"

    def __getstate__(self) -> dict[str, Any]:
        """All of it as plain data: what came out in one process is the same in another."""
        return {
            "bytes": {name: self[name] for name in self},
            "info": self._info,
            "error": self._error,
            "programs": self.programs,
            "streams": self.streams,
            "plan": self._plan,
            "summary": (self.wall, self.exit_status, self.containment),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._raw = None
        self._index = {}
        self._bytes = state["bytes"]
        self._info = state["info"]
        self._error = state["error"]
        self._programs = state["programs"]
        self._streams = state["streams"]
        self._plan = state["plan"]
        self.wall, self.exit_status, self.containment = state["summary"]


def _is_elsewhere(name: str, elsewhere: Collection[str]) -> bool:
    return any(name == pattern or pattern_matches(pattern, name) for pattern in elsewhere)


def pattern_matches(pattern: str, name: str) -> bool:
    """Whether a name is one of a pattern's or tree's files."""
    if pattern.endswith("/"):
        return name.startswith(pattern)
    return any(mark in pattern for mark in "*?[") and _pattern(pattern).fullmatch(name) is not None


@lru_cache(maxsize=128)
def _pattern(pattern: str) -> re.Pattern[str]:
    """`*`, `?` and `[...]` stay within a path component, `**` does not."""
    out = ""
    place = 0
    while place < len(pattern):
        char = pattern[place]
        close = pattern.find("]", place + 2) if char == "[" else -1
        if pattern.startswith("**/", place):
            out += "(?:.*/)?"
            place += 2
        elif pattern.startswith("**", place):
            out += ".*"
            place += 1
        elif char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif close > 0:
            inside = pattern[place + 1 : close].replace("\\", "\\\\")
            out += "[" + ("^/" + inside[1:] if inside[0] in "!^" else inside) + "]"
            place = close
        else:
            out += re.escape(char)
        place += 1
    return re.compile(out, re.DOTALL)

"""Inputs and outputs: what a caller may give, and how it is told to a call."""
from __future__ import annotations

import asyncio
import errno
import io
import os
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, Union

from . import _spile
from ._errors import usage_error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["CHUNKS", "BinaryReader", "BinaryWriter", "Input", "Output"]

CHUNK_BYTES = 256 << 10
FEED_BYTES = 64 << 10
HELD_BYTES = 1 << 20


class BinaryReader(Protocol):
    """A binary file object that is read."""

    def read(self, size: int = ..., /) -> bytes | None:
        """At most `size` bytes; none at the end."""


class BinaryWriter(Protocol):
    """A binary file object that is written."""

    def write(self, data: bytes, /) -> object:
        """Takes all of it, or (a raw file) says how much it took."""


class Chunks(Enum):
    CHUNKS = "chunks"

    def __repr__(self) -> str:
        return "spile.CHUNKS"


CHUNKS = Chunks.CHUNKS
"""As an output of `spile.start` or `spile.start_async`: it is taken chunk by chunk, by `call.output(name)`, and the call
waits where it is not taken."""

Chunk = Union["ReadableBuffer", str]
Input = Union["ReadableBuffer", str, "os.PathLike[str]", "os.PathLike[bytes]", BinaryReader, Iterable[Chunk],
              AsyncIterable[Chunk], int]
Output = Union[None, type[bytes], str, "os.PathLike[str]", BinaryWriter, Callable[..., object], Chunks, int]
Text = Union[str, bytes, "os.PathLike[str]", int, float]
Told = Union[_spile.Call, _spile.Pipe]


# --------------------------------------------------------------------------------------------------- readers


class FileReader:
    """Reads a file object when the call asks."""

    def __init__(self, file: Any, name: str) -> None:
        self.file = file
        self.name = name
        into = getattr(file, "readinto1", None) or getattr(file, "readinto", None)
        self.into: Callable[[WriteableBuffer], int | None] | None = into

    def __call__(self, view: memoryview) -> int:
        if self.into is not None:
            count = self.into(view)
        else:
            data = self.file.read(len(view))
            if isinstance(data, str):
                raise TypeError(f"the file object for '{self.name}' reads text: open it in binary mode")
            count = None if data is None else len(data)
            view[:count] = data if data is not None else b""
        if count is None:
            raise BlockingIOError(f"the file object for '{self.name}' is nonblocking and has nothing to read yet")
        return count


class ChunkReader:
    """Reads an iterator's chunks when the call asks."""

    def __init__(self, chunks: Iterable[Chunk], name: str, encoding: str) -> None:
        self.chunks: Iterator[Chunk] = iter(chunks)
        self.name = name
        self.encoding = encoding
        self.left = memoryview(b"")

    def __call__(self, view: memoryview) -> int | None:
        while not self.left:
            try:
                chunk = next(self.chunks)
            except StopIteration:
                return 0
            self.left = chunk_view(chunk, self.name, self.encoding)
        count = min(len(view), len(self.left))
        view[:count] = self.left[:count]
        self.left = self.left[count:]
        return count


def chunk_view(chunk: Chunk, name: str, encoding: str) -> memoryview:
    if isinstance(chunk, str):
        return memoryview(chunk.encode(encoding))
    try:
        return memoryview(chunk).cast("B")
    except TypeError:
        raise TypeError(f"a chunk of '{name}' is bytes or str, not {type(chunk).__name__}") from None


class Pulled:
    """Chunks that something else pulls, a task or a thread: the call is told when there is one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.left = memoryview(b"")
        self.is_ended = False
        self.error: BaseException | None = None

    def wanted(self) -> None:
        """What lay here is used up, or was never there."""

    def __call__(self, view: memoryview) -> int | None:
        if self.error is not None:
            raise self.error
        if not self.left and not self.is_ended:
            self.wanted()
            return None
        count = min(len(view), len(self.left))
        view[:count] = self.left[:count]
        self.left = self.left[count:]
        return count


class AsyncReader(Pulled):
    """Takes an asynchronous iterator's chunks, which a task pulls."""

    def __init__(self, chunks: AsyncIterable[Chunk], name: str, encoding: str) -> None:
        super().__init__(name)
        self.chunks: AsyncIterator[Chunk] = chunks.__aiter__()
        self.encoding = encoding
        self.was_wanted = asyncio.Event()

    def wanted(self) -> None:
        self.was_wanted.set()


class Feeder(Pulled):
    """Reads what may wait for long in a thread of its own, so that a started call never stands still for it."""

    def __init__(self, reader: Callable[[memoryview], int | None], name: str) -> None:
        super().__init__(name)
        self.reader = reader
        self.was_wanted = threading.Event()
        self.is_stopped = False

    def wanted(self) -> None:
        self.was_wanted.set()

    def start(self, call: Told) -> None:
        threading.Thread(target=self.feed, args=(call,), name=f"spile input {self.name}", daemon=True).start()

    def feed(self, call: Told) -> None:
        buffer = bytearray(FEED_BYTES)
        while not self.is_stopped:
            try:
                count = self.reader(memoryview(buffer)) or 0
            except BaseException as error:
                self.error = error
                count = 0
            self.was_wanted.clear()
            self.is_ended = count == 0
            self.left = memoryview(buffer)[:count]  # seen by the call only from here on
            call.resume()
            if self.is_ended:
                return
            self.was_wanted.wait()

    def stop(self) -> None:
        """The call has ended. A read that still waits is let go: nothing can end it."""
        self.is_stopped = True
        self.was_wanted.set()


# --------------------------------------------------------------------------------------------------- telling


def _told(tell: Callable[..., None], faults: Mapping[int, str], name: str, *args: Any) -> None:
    """Tells the call something about a name; misuse becomes an error that says what to do."""
    try:
        tell(name, *args)
    except OSError as error:
        fault = faults.get(error.errno or 0)
        if fault is None or error.filename is not None:  # it is about a path of the host's
            raise
        raise usage_error(f"'{name}' {fault}") from None


INPUT_FAULTS: Mapping[int, str] = {
    errno.EINVAL: "can't be given so: a name is relative and does not climb out ('../x'), and a name that ends in '/' is a "
    "tree, given as a path",
    errno.EEXIST: "was given twice",
    errno.EPERM: "is made by a program: it can't be given",
}
OUTPUT_FAULTS: Mapping[int, str] = {
    errno.EINVAL: "is no name for an output: a name is relative and does not climb out ('../x')",
    errno.EEXIST: "was asked for twice",
    errno.ENOENT: "is no output: no program writes it",
    errno.EPERM: "is only an input",
}


def tell_input(call: Told, name: str, source: Any, encoding: str, by_thread: bool) -> Pulled | None:
    """Says what goes in under a name. Returns the reader that something has to pull for, if there is one: a task for an
    asynchronous iterable, and where `by_thread` a thread for what is read by calling Python."""
    if isinstance(source, str):
        source = source.encode(encoding)
    if isinstance(source, bytes) or _has_buffer(source):  # an mmap has both a buffer and `read`
        _told(call.input_memory, INPUT_FAULTS, name, source)
    elif isinstance(source, os.PathLike):
        _told(call.input_path, INPUT_FAULTS, name, source)
    elif isinstance(source, io.TextIOBase):
        raise TypeError(f"the file object for '{name}' reads text: open it in binary mode")
    elif isinstance(source, io.FileIO):
        _told(call.input_fd, INPUT_FAULTS, name, source.fileno())
    elif hasattr(source, "read"):
        return _tell_reader(call, name, FileReader(source, name), by_thread)
    elif isinstance(source, int) and not isinstance(source, bool):
        _told(call.input_fd, INPUT_FAULTS, name, source)
    elif isinstance(source, AsyncIterable):
        reader = AsyncReader(source, name, encoding)
        _told(call.input_callback, INPUT_FAULTS, name, reader)
        return reader
    elif isinstance(source, Iterable) and not isinstance(source, Mapping):
        return _tell_reader(call, name, ChunkReader(source, name, encoding), by_thread)
    else:
        raise TypeError(
            f"'{name}' can't be given as {type(source).__name__}: give bytes, str, a pathlib.Path, a binary file "
            "object, or an iterable of chunks"
        )
    return None


def _tell_reader(call: Told, name: str, reader: Callable[[memoryview], int | None], by_thread: bool) -> Feeder | None:
    feeder = Feeder(reader, name) if by_thread else None
    _told(call.input_callback, INPUT_FAULTS, name, feeder or reader)
    return feeder


def _has_buffer(source: Any) -> bool:
    try:
        memoryview(source).release()
    except TypeError:
        return False
    return True


class Handoff:
    """The chunks of one output on their way from the thread that drives the call to whoever takes them.

    The call waits while more than `HELD_BYTES` lie here, until `release` says that nobody will take them one by one.
    """

    def __init__(self, call: Told) -> None:
        self.call = call
        self.chunks: deque[bytes] = deque()
        self.held = 0
        self.is_waiting = False
        self.is_closed = False
        self.is_unbounded = False
        self.is_begun = False  # somebody takes its chunks one by one
        self.is_discarding = False
        self.changed = threading.Condition()
        self.notify_async: Callable[[], object] | None = None

    def __call__(self, name: str, view: memoryview) -> bool | None:
        with self.changed:
            if len(view) == 0:
                self.is_closed = True
            elif self.is_discarding:
                pass
            elif self.held >= HELD_BYTES and not self.is_unbounded:
                self.is_waiting = True
                return False
            else:
                self.chunks.append(bytes(view))
                self.held += len(view)
            self._notify()
        return None

    def _notify(self) -> None:
        self.changed.notify_all()
        if self.notify_async is not None:
            self.notify_async()

    def close(self) -> None:
        """Nothing more will come."""
        with self.changed:
            self.is_closed = True
            self._notify()

    def take(self) -> bytes | None:
        """The next chunk; None where there is none yet. The lock is held."""
        if not self.chunks:
            return None
        chunk = self.chunks.popleft()
        self.held -= len(chunk)
        if self.is_waiting and self.held < HELD_BYTES // 2:
            self.is_waiting = False
            self.call.resume()
        return chunk

    def release(self) -> None:
        with self.changed:
            self.is_unbounded = True
            if self.is_waiting:
                self.is_waiting = False
                self.call.resume()

    def is_left(self) -> bool:
        """Whether somebody began to take its chunks and stopped before the end."""
        with self.changed:
            return self.is_begun and (bool(self.chunks) or not self.is_closed)

    def discard(self) -> None:
        """Nobody will take what comes, nor look for it in the result."""
        with self.changed:
            self.chunks.clear()
            self.is_discarding = True
        self.release()

    def rest(self) -> bytes:
        with self.changed:
            rest = b"".join(self.chunks)
            self.chunks.clear()
            self.held = 0
        return rest


def tell_output(call: Told, name: str, target: Any, force: bool) -> Handoff | None:
    """Says where an output goes. Returns the handoff of one that is taken chunk by chunk."""
    if target is None or target is bytes:
        _told(call.output_memory, OUTPUT_FAULTS, name)
    elif isinstance(target, (str, os.PathLike)):
        _told(call.output_path, OUTPUT_FAULTS, name, (target, force))
    elif isinstance(target, io.TextIOBase):
        raise TypeError(f"the file object for '{name}' takes text: open it in binary mode")
    elif target is CHUNKS:
        handoff = Handoff(call)
        _told(call.output_callback, OUTPUT_FAULTS, name, handoff)
        return handoff
    elif hasattr(target, "write"):
        _told(call.output_callback, OUTPUT_FAULTS, name, _file_writer(target, name))
    elif isinstance(target, int) and not isinstance(target, bool):
        _told(call.output_fd, OUTPUT_FAULTS, name, target)
    elif callable(target):
        many = name.endswith("/") or any(mark in name for mark in "*?[")
        _told(call.output_callback, OUTPUT_FAULTS, name, _caller(target, many))
    else:
        raise TypeError(
            f"'{name}' can't go to {type(target).__name__}: say bytes, a path, a binary file object or a callable"
        )
    return None


def _file_writer(file: Any, name: str) -> Callable[[str, memoryview], None]:
    def write(_: str, view: memoryview) -> None:
        data = bytes(view)
        while data:
            count = file.write(data)
            if count is None and isinstance(file, io.RawIOBase):
                raise BlockingIOError(f"the file object for '{name}' is nonblocking and takes nothing now")
            # A raw file may take less than it was given; others take all, whatever they return.
            data = data[count:] if isinstance(file, io.RawIOBase) else b""

    return write


def _caller(function: Callable[..., object], many: bool) -> Callable[[str, memoryview], None]:
    def write(name: str, view: memoryview) -> None:
        if len(view) > 0:
            if many:
                function(name, bytes(view))
            else:
                function(bytes(view))

    return write


def value_text(name: str, value: Any) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, os.PathLike):
        path: str | bytes = os.fspath(value)
        return path
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"the value '{name}' is {type(value).__name__}: give str, bytes, a path or a number")


def tell_value(call: _spile.Call, name: str, value: Any, known: Mapping[str, bool]) -> None:
    """Gives a value, or a list of them where the template says {name...}."""
    is_list = known.get(name)
    if is_list is None:
        there = ", ".join(map(repr, known)) or "none"
        raise usage_error(f"no template has a value '{name}'; there are: {there}")
    if is_list:
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise TypeError(f"the value '{name}' is a list in the template ({{{name}...}}): give a list")
        call.values(name, [value_text(name, item) for item in value])
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        raise TypeError(f"the value '{name}' is a single one in the template: write {{{name}...}} for a list")
    else:
        call.value(name, value_text(name, value))

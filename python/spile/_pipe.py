"""Pipes: process substitution for a process that is started by other means, `subprocess` say."""
from __future__ import annotations

import atexit
import time
import weakref
from types import TracebackType
from typing import Any, Protocol, Union

from . import _spile
from ._call import signal_slice
from ._errors import CallError, Info, error_from, usage_error
from ._files import CHUNKS, Feeder, Input, Output, tell_input, tell_output
from ._result import NS

__all__ = ["Pipe"]


class Running(Protocol):
    """A process that runs, as `subprocess.Popen`, `multiprocessing.Process` or asyncio's are."""

    @property
    def pid(self) -> int | None:
        """Its number."""


Process = Union[int, Running]


class Pipe:
    """A named pipe for a process that spile does not start: bytes at one end, a path at the other.

    `Pipe.input` makes one that the process reads, `Pipe.output` one that it writes. It can be opened from then on, and a
    thread of the library's own is at its other end: no size, no order of opening and no process that dies hangs either
    side. As a context manager it waits for the end, and raises what went wrong where nothing else has; after an
    exception it is cancelled.

    When has it ended? An input when its process has exited and nobody is in the middle of reading it; an output when its
    process has exited and all who opened it have closed it. `watch` names the process; otherwise `wait`, `read` and the
    end of the block take it to have exited, so wait for it first.

    Memory, paths and regular files can be read by the process any number of times, everything else once. A program that
    seeks in its files needs `spile.run` and a seekable file.

    >>> import subprocess
    >>> with Pipe.input(b"b\\na\\n", name="words") as words, Pipe.output() as result:
    ...     subprocess.run(["sort", words.path, "-o", result.path], check=True).returncode
    ...     result.read()
    0
    b'a\\nb\\n'
    """

    name: str
    _raw: _spile.Pipe
    _feeder: Feeder | None
    _is_watched: bool
    _finalizer: Any

    def __init__(self) -> None:
        raise TypeError("make a pipe with spile.Pipe.input or spile.Pipe.output")

    @classmethod
    def _new(cls, is_input: bool, name: str, limit: int, optional: bool) -> Pipe:
        pipe = cls.__new__(cls)
        pipe.name = name
        try:
            pipe._raw = _spile.Pipe(is_input, name, limit, optional)
        except OSError as error:
            raise usage_error(f"'{name}' is no name for a pipe: {error.strerror}; give a file's name without a '/'") from None
        pipe._feeder = None
        pipe._is_watched = False
        return pipe

    def _begin(self) -> Pipe:
        self._raw.start()
        if self._feeder is not None:
            self._feeder.start(self._raw)
        self._finalizer = weakref.finalize(self, _close, self._raw, self._feeder)
        self._finalizer.atexit = False
        _open_pipes.add(self)
        return self

    @classmethod
    def input(cls, source: Input, *, name: str = "pipe", encoding: str = "utf-8") -> Pipe:
        """A pipe that a process reads.

        Args:
            source: bytes (or anything with the buffer protocol, which must not change until the pipe is closed), str, a
                `pathlib.Path`, a binary file object, a file descriptor, or an iterable of chunks, which is read in a
                thread of its own as far as the process takes it.
            name: the file's name as the process sees it, suffix and all.
            encoding: of str.
        """
        pipe = cls._new(True, name, 0, False)
        feeder = tell_input(pipe._raw, name, source, encoding, True)
        if feeder is not None and not isinstance(feeder, Feeder):
            raise TypeError(f"'{name}' is an asynchronous iterable: a pipe takes ordinary ones")
        pipe._feeder = feeder
        return pipe._begin()

    @classmethod
    def output(
        cls, to: Output = bytes, *, name: str = "pipe", limit: int | None = None, optional: bool = False
    ) -> Pipe:
        """A pipe that a process writes.

        Args:
            to: where it goes while it comes: `bytes` (to be had from `read`), a binary file object, a file descriptor, a
                callable that is given each chunk, in a thread of the library's; or a path, where a regular file is replaced
                once the output has ended well.
            name: the file's name as the process sees it, suffix and all.
            limit: bytes; more is a `LimitError`.
            optional: no error where the process never opens it.
        """
        if to is CHUNKS:
            raise TypeError("a pipe hands out no chunks by itself: give a callable that takes them")
        pipe = cls._new(False, name, limit or 0, optional)
        tell_output(pipe._raw, name, to, False)
        return pipe._begin()

    @property
    def path(self) -> str:
        """What the process opens; absolute."""
        path = self._raw.path
        assert path is not None
        return path

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"<spile.Pipe {self.path}>"

    @property
    def transferred(self) -> int:
        """How many bytes were taken from an input, or came through an output."""
        return self._raw.info()[0]

    @property
    def opens(self) -> int:
        """How often processes opened it."""
        return self._raw.info()[1]

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return bool(self._raw.info()[2])

    def watch(self, process: Process) -> Pipe:
        """Names the process whose exit decides the end: an object with a `pid`, or a pid. Returns the pipe."""
        pid = process if isinstance(process, int) else process.pid
        if pid is None:
            raise ValueError(f"{process!r} was not started yet")
        try:
            if getattr(process, "returncode", None) is None:
                self._raw.set_process(pid)
            else:
                self._raw.finish()
        except ProcessLookupError:  # it was waited for already
            self._raw.finish()
        self._is_watched = True
        return self

    def finish(self) -> None:
        """Says that the process has exited."""
        self._is_watched = True
        self._raw.finish()

    def wait(self, timeout: float | None = None) -> None:
        """Waits for the end. Without `watch` the process is taken to have exited.

        Args:
            timeout: seconds; the pipe goes on afterwards.

        Raises:
            TimeoutError: it goes on; the message says what it waits for.
            CallError: what went wrong. `OutputMissingError`: the process never opened an output; `StreamError`: it used it
                as a pipe can't be used; `LimitError`, `InputError`, `OutputError`. What the source or the callable
                raised is raised as it is.
        """
        is_assumed = not self._is_watched
        if is_assumed:
            self._raw.finish()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0, int((deadline - time.monotonic()) * NS))
            try:
                self._raw.wait(signal_slice() if left is None else min(left, signal_slice()))
                return
            except _spile.Refused as refused:
                info = Info(*refused.args)
                if info.kind == "timeout" and left != 0:
                    continue
                raise self._error(info, is_assumed) from None

    def _error(self, info: Info, is_assumed: bool) -> BaseException:
        if self._raw.exception is not None:
            return self._raw.exception
        if info.kind == "timeout":
            return TimeoutError(info.message)
        error: CallError = error_from(info)
        if info.kind == "output_missing" and is_assumed:
            error.args = (f"{info.message}; a process that still runs has to be named: pipe.watch(process)",)
        return error

    def read(self, timeout: float | None = None) -> bytes:
        """What came through an output that is kept in memory, once it has ended: see `wait`."""
        self.wait(timeout)
        return self._raw.bytes()

    def cancel(self) -> None:
        """Ends it as it is; any thread, any number of times."""
        self._raw.cancel()

    def close(self) -> None:
        """Cancels it if it has not ended, and lets go of all it holds."""
        self._finalizer()
        _open_pipes.discard(self)

    def __enter__(self) -> Pipe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._finalizer.alive:
                self.wait()
        finally:
            self.close()


_open_pipes: weakref.WeakSet[Pipe] = weakref.WeakSet()


def _close(raw: _spile.Pipe, feeder: Feeder | None) -> None:
    if feeder is not None:
        feeder.stop()
    raw.close()


@atexit.register
def _close_all() -> None:
    """While there is still an interpreter to run callbacks."""
    for pipe in list(_open_pipes):
        pipe.close()

"""What is spoken with, whatever it is: the buffer, the patterns, reading as of a file."""
from __future__ import annotations

import codecs
import errno
import io
import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .exceptions import EOF, TIMEOUT
from .expect import Expecter, searcher_re, searcher_string
from .utils import wait_readable

MAXREAD = 2000
READ_SIZE = 64 << 10


class _NullCoder:
    """Bytes as they are."""

    @staticmethod
    def encode(data: Any, final: bool = False) -> Any:
        return data

    @staticmethod
    def decode(data: Any, final: bool = False) -> Any:
        return data


def _write_bytes_to_stdout(data: Any) -> Any:
    try:
        return sys.stdout.buffer.write(data)
    except AttributeError:
        return sys.stdout.write(data.decode("ascii", "replace"))


class SpawnBase:
    """What `spawn`, `fdspawn`, `PopenSpawn` and `SocketSpawn` share."""

    encoding: str | None = None
    pid: int | None = None
    flag_eof: Any = False
    string_type: Any
    allowed_string_types: tuple[type, ...]

    def __init__(
        self, timeout: float | None = 30, maxread: int = MAXREAD, searchwindowsize: int | None = None, logfile: Any = None,
        encoding: str | None = None, codec_errors: str = "strict",
    ) -> None:
        self.stdin, self.stdout, self.stderr = sys.stdin, sys.stdout, sys.stderr
        self.searcher: Any = None
        self.ignorecase = False
        self.before: Any = None
        self.after: Any = None
        self.match: Any = None
        self.match_index: int | None = None
        self.terminated = True
        self.exitstatus: int | None = None
        self.signalstatus: int | None = None
        self.status: int | None = None
        self.child_fd = -1
        self.timeout = timeout
        self.delimiter: Any = EOF
        self.logfile = logfile
        self.logfile_read: Any = None
        self.logfile_send: Any = None
        self.maxread = maxread
        self.searchwindowsize = searchwindowsize
        # Nothing is waited for by the clock unless a script says so.
        self.delaybeforesend: float | None = None
        self.delayafterread: float | None = None
        self.delayafterclose: float = 0.1
        self.delayafterterminate: float = 0.1
        self.softspace = False
        self.name = f"<{self!r}>"
        self.closed = True
        self.encoding = encoding
        self.codec_errors = codec_errors
        self._encoder: Any
        self._decoder: Any
        self.linesep: Any
        self.crlf: Any
        self.buffer_type: Any
        if encoding is None:
            self._encoder = self._decoder = _NullCoder()
            self.string_type, self.buffer_type = bytes, io.BytesIO
            self.allowed_string_types = (bytes, str)
            self.crlf, self.linesep = b"\r\n", os.linesep.encode("ascii")
            self.write_to_stdout: Any = _write_bytes_to_stdout
        else:
            self._encoder = codecs.getincrementalencoder(encoding)(codec_errors)
            self._decoder = codecs.getincrementaldecoder(encoding)(codec_errors)
            self.string_type, self.buffer_type = str, io.StringIO
            self.allowed_string_types = (str,)
            self.crlf, self.linesep = "\r\n", os.linesep
            self.write_to_stdout = sys.stdout.write
        self._set_text(self.string_type())

    # ---------------------------------------------------------------------------------------------- the buffer

    def _set_text(self, text: Any) -> None:
        self._pieces: list[Any] = [text] if text else []
        self._length = len(text)

    def _add_text(self, text: Any) -> None:
        if text:
            self._pieces.append(text)
            self._length += len(text)

    def _joined(self) -> Any:
        if len(self._pieces) != 1:
            self._pieces = [self.string_type().join(self._pieces)]
        return self._pieces[0]

    def _since(self, place: int) -> Any:
        """The text from there on, which is in the last pieces."""
        wanted, first = self._length - place, len(self._pieces)
        have = 0
        while have < wanted:
            first -= 1
            have += len(self._pieces[first])
        text = self.string_type().join(self._pieces[first:])
        return text[have - wanted:] if have > wanted else text

    @property
    def buffer(self) -> Any:
        """What has arrived and was not taken."""
        return self._joined()

    @buffer.setter
    def buffer(self, value: Any) -> None:
        self._set_text(value)

    def _log(self, text: Any, direction: str) -> None:
        for log in (self.logfile, self.logfile_send if direction == "send" else self.logfile_read):
            if log is not None:
                log.write(text)
                log.flush()

    # ---------------------------------------------------------------------------------------------- types

    def _coerce_expect_string(self, text: Any) -> Any:
        return text.encode("ascii") if self.encoding is None and not isinstance(text, bytes) else text

    def _coerce_expect_re(self, pattern: Any) -> Any:
        text = pattern.pattern
        if self.encoding is None and not isinstance(text, bytes):
            return re.compile(text.encode("utf-8"), pattern.flags & ~re.UNICODE)
        if self.encoding is not None and isinstance(text, bytes):
            return re.compile(text.decode("utf-8"), pattern.flags & ~re.LOCALE)
        return pattern

    def _coerce_send_string(self, text: Any) -> Any:
        return text.encode("utf-8") if self.encoding is None and not isinstance(text, bytes) else text

    def _pattern_type_err(self, pattern: Any) -> None:
        types = ", ".join(map(str, self.allowed_string_types))
        raise TypeError(f"got {type(pattern)} ({pattern!r}) as pattern, must be one of: {types}, pexpect.EOF, pexpect.TIMEOUT")

    # ---------------------------------------------------------------------------------------------- reading

    def _read_size(self) -> int:
        return READ_SIZE if self._is_greedy() else self.maxread

    def _is_greedy(self) -> bool:
        return self.maxread >= MAXREAD

    def _is_ready(self) -> bool:
        return self.child_fd >= 0 and wait_readable(self.child_fd, 0)

    def _decoded(self, data: bytes) -> Any:
        text = self._decoder.decode(data, final=False)
        self._log(text, "read")
        return text

    def _read_fd(self, size: int) -> Any:
        try:
            data = os.read(self.child_fd, size)
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal was hung up
                raise
            data = b""
        if not data:
            self.flag_eof = True
            raise EOF("End Of File (EOF).")
        return self._decoded(data)

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> Any:
        """Reads what is there, at most so much."""
        return self._read_fd(size)

    # ---------------------------------------------------------------------------------------------- sending

    def _take_in(self) -> Any:
        self._add_text(self._read_fd(READ_SIZE))

    def _send_all(self, fd: int, data: bytes, take: Callable[[], Any] | None = None, timeout: float | None = None) -> int:
        """Writes all of it to a descriptor that does not block, and takes meanwhile what is said: who says much may not listen
        until it is taken."""
        done = 0
        while done < len(data):
            try:
                done += os.write(fd, data[done:done + READ_SIZE])
            except BlockingIOError:
                if not self._wait_for_room(fd, take or self._take_in, timeout):
                    raise TIMEOUT(f"Timeout exceeded: {done} of {len(data)} bytes are sent.") from None
        return done

    def _wait_for_room(self, fd: int, take: Callable[[], Any], timeout: float | None) -> bool:
        """Whether anything moves within so many seconds."""
        wanted = {} if self.flag_eof and self.child_fd != fd else {self.child_fd: select.POLLIN}
        wanted[fd] = wanted.get(fd, 0) | select.POLLOUT
        poller = select.poll()
        for descriptor, events in wanted.items():
            poller.register(descriptor, events)
        ready = dict(poller.poll(None if timeout is None else timeout * 1000))
        said = ready.get(self.child_fd, 0)
        if said & select.POLLIN:
            take()
        elif said & select.POLLHUP:
            self.flag_eof = True
            if self.child_fd == fd:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return bool(ready)

    # ---------------------------------------------------------------------------------------------- expecting

    def compile_pattern_list(self, patterns: Any) -> list[Any]:
        """A list of compiled expressions, EOF and TIMEOUT, for `expect_list`."""
        if patterns is None:
            return []
        if not isinstance(patterns, list):
            patterns = [patterns]
        flags = re.DOTALL | (re.IGNORECASE if self.ignorecase else 0)
        compiled: list[Any] = []
        for pattern in patterns:
            if isinstance(pattern, self.allowed_string_types):
                compiled.append(re.compile(self._coerce_expect_string(pattern), flags))
            elif pattern is EOF or pattern is TIMEOUT:
                compiled.append(pattern)
            elif isinstance(pattern, re.Pattern):
                compiled.append(self._coerce_expect_re(pattern))
            else:
                self._pattern_type_err(pattern)
        return compiled

    def _run(self, searcher: Any, timeout: Any, searchwindowsize: Any, async_: bool, other: dict[str, Any]) -> Any:
        async_ = other.pop("async", async_)
        if other:
            raise TypeError(f"Unknown keyword arguments: {other}")
        timeout = self.timeout if timeout == -1 else timeout
        expecter = Expecter(self, searcher, searchwindowsize)
        return expecter.expect_async(timeout) if async_ else expecter.expect_loop(timeout)

    def expect(self, pattern: Any, timeout: Any = -1, searchwindowsize: Any = -1, async_: bool = False, **kw: Any) -> Any:
        """Waits for a regular expression, EOF or TIMEOUT, or one of a list of them; returns its index.

        What came before it, and itself, are in `before` and `after`; `match` is of `re`. With `async_` it is awaited.
        """
        return self.expect_list(self.compile_pattern_list(pattern), timeout, searchwindowsize, async_, **kw)

    def expect_list(self, pattern_list: Any, timeout: Any = -1, searchwindowsize: Any = -1, async_: bool = False, **kw: Any) -> Any:
        """The same with expressions that are compiled."""
        return self._run(searcher_re(pattern_list), timeout, searchwindowsize, async_, kw)

    def expect_exact(self, pattern_list: Any, timeout: Any = -1, searchwindowsize: Any = -1, async_: bool = False, **kw: Any) -> Any:
        """The same with strings, as they are."""
        if isinstance(pattern_list, self.allowed_string_types) or pattern_list in (TIMEOUT, EOF):
            pattern_list = [pattern_list]
        try:
            given = list(pattern_list)
        except TypeError:
            self._pattern_type_err(pattern_list)
            raise
        for pattern in given:
            if not isinstance(pattern, self.allowed_string_types) and pattern not in (TIMEOUT, EOF):
                self._pattern_type_err(pattern)
        strings = [self._coerce_expect_string(p) if isinstance(p, self.allowed_string_types) else p for p in given]
        return self._run(searcher_string(strings), timeout, searchwindowsize, async_, kw)

    def expect_loop(self, searcher: Any, timeout: Any = -1, searchwindowsize: Any = -1) -> Any:
        """The same with a searcher."""
        return Expecter(self, searcher, searchwindowsize).expect_loop(self.timeout if timeout == -1 else timeout)

    # ---------------------------------------------------------------------------------------------- as a file

    def read(self, size: int = -1) -> Any:
        """So much, or all up to the end."""
        if size == 0:
            return self.string_type()
        if size < 0:
            self.expect(self.delimiter)
            return self.before
        wanted = re.compile(self._coerce_expect_string(".{%d}" % size), re.DOTALL)
        return self.after if self.expect([wanted, self.delimiter]) == 0 else self.before

    def readline(self, size: int = -1) -> Any:
        """A line, which CR and LF end as terminals do."""
        if size == 0:
            return self.string_type()
        return self.before + self.crlf if self.expect_exact([self.crlf, self.delimiter]) == 0 else self.before

    def __iter__(self) -> Iterator[Any]:
        return iter(self.readline, self.string_type())

    def readlines(self, sizehint: int = -1) -> list[Any]:
        """All lines up to the end."""
        return list(self)

    def send(self, s: Any) -> int:
        """Sends it."""
        raise NotImplementedError

    def sendline(self, s: Any = "") -> int:
        """Sends it with a line's end."""
        return self.send(self._coerce_send_string(s) + self.linesep)

    def write(self, s: Any) -> None:
        """Sends it."""
        self.send(s)

    def writelines(self, sequence: Any) -> None:
        """Sends each of them."""
        for s in sequence:
            self.send(s)

    def fileno(self) -> int:
        """The descriptor."""
        return self.child_fd

    def flush(self) -> None:
        """Nothing: all is sent at once."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return False

    def close(self, *force: Any) -> None:
        """Ends it."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *how: Any) -> None:
        self.close()

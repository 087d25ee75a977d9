"""Conversations: any device as a text stream that is both read and written."""
from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, Union

from . import _spile
from ._call import nanoseconds, signal_slice
from ._errors import EndedError, EndpointError, Info, OutOfStepError, ReplyError, TalkError, TalkTimeoutError
from ._expect import REST_SECONDS, UNSET, AnyPattern, Match, Patterns, Unset, give_up, match_of, patterns_of
from ._programs import Environment, env_strings
from ._talk_bytes import TalkBytes
from ._talk_info import OPENING, TalkInfo, info_of

__all__ = ["Endpoint", "Talk", "open"]

Endpoint = Union[str, "os.PathLike[str]", int, Sequence[str]]
Wildcards = Union[str, Iterable[str]]
T = TypeVar("T")

NEVER = (1 << 64) - 1
BLOCK = 64 << 10
SHARED_SLICE_NS = 10_000_000
CLOSE_SECONDS = 5.0
WHOLE = 1
ERRORS = {"replace": 0, "strict": 1, "escape": 2, "backslashreplace": 2}
ENDS = {"any": 0, "lf": 1, "crlf": 2, "cr": 3}
ECHO = {"auto": 0, "drop": 1, "keep": 2}
PARITY = {None: 0, "none": ord("N"), "even": ord("E"), "odd": ord("O")}
FLOW = {None: 0, "none": 1, "hardware": 2, "software": 3}
SWITCH = {None: 0, True: 1, False: 2}


def patience(seconds: float | None, name: str) -> int:
    """Nanoseconds of a time-out; None is for ever."""
    return nanoseconds(seconds, name, none=NEVER, least=0)


def choice(name: str, value: Any, choices: dict[Any, int]) -> int:
    try:
        return choices[value]
    except (KeyError, TypeError):
        raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, choices))}") from None


def raise_for(info: Info, reply: str | None = None) -> None:
    """Raises what the library says."""
    kinds = {"reply": ReplyError, "ended": EndedError, "timeout": TalkTimeoutError, "step": OutOfStepError}
    error: TalkError = kinds.get(info.kind, EndpointError)(info.message)
    error.kind = info.kind
    if isinstance(error, OSError):
        error.errno = info.errno
    if reply is not None:
        error.reply = reply
    raise error from None


def endpoint_text(endpoint: Endpoint, terminal: bool) -> tuple[str, tuple[str, ...] | None]:
    if isinstance(endpoint, int):
        return f"fd:{endpoint}", None
    if isinstance(endpoint, str):
        return endpoint, None
    if isinstance(endpoint, os.PathLike):
        path = os.fspath(endpoint)
        return path if os.path.isabs(path) else os.path.join(".", path), None
    return ("pty:" if terminal else "pipe:"), tuple(endpoint)


def options_of(
    endpoint: Endpoint,
    *,
    encoding: str = "utf-8",
    errors: str = "replace",
    eol: str = "\n",
    ends: str = "any",
    prompt: str | None = None,
    echo: str = "auto",
    resync: float | None = None,
    wait: bool = False,
    open_timeout: float = 10.0,
    line_limit: int = 0,
    keep_limit: int = 0,
    closefd: bool = True,
    cooked: bool = False,
    lock: bool = True,
    baud: int = 0,
    bits: int = 0,
    stop: int = 0,
    parity: str | None = None,
    flow: str | None = None,
    dtr: bool | None = None,
    rts: bool | None = None,
    hupcl: bool = True,
    terminal: bool = True,
    size: tuple[int, int] = (0, 0),
    terminal_echo: bool = False,
    env: Environment | None = None,
    cwd: str | os.PathLike[str] | None = None,
    transcript: str | os.PathLike[str] | None = None,
    transcript_json: bool = False,
    message: bool = False,
    reconnect: bool = False,
) -> tuple[str, tuple[Any, ...]]:
    text, argv = endpoint_text(endpoint, terminal)
    return text, (
        (encoding, choice("errors", errors, ERRORS), choice("ends", ends, ENDS), eol, line_limit, keep_limit,
         patience(open_timeout, "open_timeout"), wait, closefd, cooked, not lock, not hupcl),
        (baud, bits, stop, choice("parity", parity, PARITY), choice("flow", flow, FLOW), choice("dtr", dtr, SWITCH),
         choice("rts", rts, SWITCH)),
        (argv, env_strings(env), 0, None if cwd is None else os.fspath(cwd), size[0], size[1], terminal_echo),
        (prompt, choice("echo", echo, ECHO), nanoseconds(resync, "resync")),
        (None if transcript is None else os.fspath(transcript), transcript_json, message, reconnect),
    )


def patterns(value: Wildcards) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def ask_options(
    timeout: float | None, lines: int | None, prompt: str | None, end: Wildcards, silence: float | None, error: Wildcards,
    skip_empty: bool, secret: bool,
) -> tuple[Any, ...]:
    return (patience(timeout, "timeout") or 1, lines or 0, lines == 0, prompt, patterns(end),
            nanoseconds(silence, "silence"), patterns(error), skip_empty, secret)


def new_raw(endpoint: Endpoint, loop: _spile.Loop, told: Callable[[int], object] | None, options: dict[str, Any]) -> _spile.Talk:
    text, values = options_of(endpoint, **options)
    try:
        return _spile.Talk(text, loop, told, *values)
    except _spile.Refused as refused:
        raise_for(Info(*refused.args))
        raise


def decoding_error(raw: _spile.Talk, encoding: str, info: Info) -> UnicodeDecodeError:
    data = raw.bytes()
    return UnicodeDecodeError(encoding, data, 0, len(data), info.message)


def _reader(least: int, most: int) -> Callable[[_spile.Talk, int], str | None]:
    return lambda raw, ns: raw.read(least, most, ns)


class Talk(io.TextIOBase):
    """A text stream with a device, a socket or a program at its other end: read and written, line by line.

    It is an `io.TextIOBase`: `readline`, iteration, `read`, `write`, `print(file=...)`, `with`. What is written goes out at each
    line's end and before anything is read; neither direction ever waits for the other. A time-out raises `TimeoutError`
    and takes nothing of what had come. `ask` says a line and returns its reply, in step.

    Several threads may use one talk, each method by itself.

    Attributes:
        timeout: seconds that each method may take; None: any time.
        eol: what is written for a line's end.
        buffer: the bytes under it, a raw binary stream; both may be read in turn.
    """

    timeout: float | None

    def __init__(self, endpoint: Endpoint, *, timeout: float | None = None, **options: Any) -> None:
        self._lock = threading.RLock()
        self._pending: list[str] = []
        self._held = ""
        self._raw: _spile.Talk | None = None
        self._last_info = TalkInfo()
        patience(timeout, "timeout")
        self.timeout = timeout
        self._encoding = str(options.get("encoding", "utf-8"))
        self._errors = str(options.get("errors", "replace"))
        self.eol = str(options.get("eol", "\n"))
        self.name = endpoint
        self._loop = _spile.Loop()
        self._raw = new_raw(endpoint, self._loop, None, options)
        while info_of(self._raw).state == OPENING:
            self._loop.step(signal_slice())
        failure = self._raw.error()
        if failure is not None:
            raise_for(Info(*failure))
        self.buffer = TalkBytes(self)

    # ---------------------------------------------------------------------------------------------- waiting

    def _open(self) -> _spile.Talk:
        if self._raw is None:
            raise ValueError("I/O operation on closed file.")
        return self._raw

    def _wait(self, act: Callable[[_spile.Talk, int], T | None], timeout: float | None, what: str) -> T:
        """Does it in slices, between which signals are handled and other threads have their turn."""
        until = None if timeout is None else time.monotonic() + timeout
        slice_ns = SHARED_SLICE_NS  # which mostly is enough: what would be a better one is asked afterwards
        while True:
            left = NEVER if until is None else max(int((until - time.monotonic()) * 1e9), 0)
            with self._lock:
                raw = self._open()
                try:
                    result = act(raw, min(left, slice_ns))
                except _spile.Refused as refused:
                    self._raise(raw, Info(*refused.args))
                    raise
            if result is not None:
                return result
            if left == 0:
                raise TalkTimeoutError(f"{self.name!r} {what} in time")
            slice_ns = signal_slice() if threading.active_count() == 1 else SHARED_SLICE_NS

    def _raise(self, raw: _spile.Talk, info: Info) -> None:
        if info.kind == "text":
            raise decoding_error(raw, self._encoding, info) from None
        raise_for(info)

    # ---------------------------------------------------------------------------------------------- reading

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """A line, with its end as `\\\\n`; what is left where the stream has ended, then `""`.

        Raises:
            TimeoutError: none came in time; what had come can still be read.
        """
        if self._pending:
            self.flush()
        if not self._held and (size is None or size < 0):
            if self.timeout is None:  # what comes soon comes without detours
                with self._lock:
                    raw = self._open()
                    try:
                        line = raw.read_line(SHARED_SLICE_NS)
                    except _spile.Refused as refused:
                        self._raise(raw, Info(*refused.args))
                        raise
                if line is not None:
                    return line
            return self._wait(_spile.Talk.read_line, self.timeout, "sent no whole line")
        with self._lock:
            if "\n" not in self._held:
                self._held += self._wait(_spile.Talk.read_line, self.timeout, "sent no whole line")
            line = self._held[: self._held.find("\n") + 1] or self._held
            if size is not None and 0 <= size < len(line):
                line = line[:size]
            self._held = self._held[len(line):]
        return line

    def read(self, size: int | None = -1, /) -> str:
        """So many characters, or all up to the end of the stream; fewer only at its end."""
        self.flush()
        wanted = NEVER if size is None or size < 0 else size
        with self._lock:
            until = None if self.timeout is None else time.monotonic() + self.timeout
            while len(self._held) < wanted:
                least = 1 if wanted == NEVER else wanted - len(self._held)
                left = None if until is None else max(until - time.monotonic(), 0)
                text = self._wait(_reader(least, NEVER if wanted == NEVER else least), left, "did not send so much")
                if not text:
                    break
                self._held += text
            text, self._held = self._held[:wanted], self._held[wanted:]
        return text

    def read_now(self) -> str:
        """What has arrived by now, perhaps nothing."""
        self.flush()
        with self._lock:
            text, self._held = self._held, ""
            return text + self._wait(lambda raw, ns: raw.read(0, NEVER, 0), 0, "")

    def read_until(self, delimiter: str) -> str:
        """The text up to a delimiter, and with it; at the end of the stream what there still is."""
        self.flush()
        with self._lock:
            place = self._held.find(delimiter)
            if place >= 0:
                text, self._held = self._held[: place + len(delimiter)], self._held[place + len(delimiter):]
                return text
            text, code = self._wait(lambda raw, ns: raw.read_until(delimiter, ns), self.timeout, "did not send the delimiter")
            text, self._held = self._held + text, ""
            return text + delimiter if code == WHOLE else text

    def read_silence(self, seconds: float) -> str:
        """What comes until nothing has come for so long."""
        silence = nanoseconds(seconds, "seconds")
        self.flush()
        with self._lock:
            text = self._wait(lambda raw, ns: raw.read_silence(silence, ns), self.timeout, "was not silent")
            text, self._held = self._held + text, ""
            return text

    # ---------------------------------------------------------------------------------------------- writing

    def write(self, text: str, /) -> int:
        """Takes the text; it goes out with the end of a line, a flush, or before something is read."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        goes_out = "\n" in text or len(text) > BLOCK
        with self._lock:
            raw = self._open()
            if goes_out and not self._pending:
                taken = raw.write_now(text)
                if taken is not None:
                    self._write(memoryview(text.encode("utf-8", "surrogatepass"))[taken:], True)
                return len(text)
            self._pending.append(text)
        if goes_out:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Waits until all that was written is out."""
        if not self._pending:
            if self.closed:
                raise ValueError("I/O operation on closed file.")
            return
        with self._lock:
            pending, self._pending = "".join(self._pending), []
            data = memoryview(pending.encode("utf-8", "surrogatepass"))
            self._write(data, True)

    def _write(self, data: memoryview, is_text: bool) -> None:
        done = 0

        def act(raw: _spile.Talk, ns: int) -> bool | None:
            nonlocal done
            if done < len(data):
                done += raw.write(data[done:], is_text, ns)
            return True if done == len(data) and raw.flush(0) else None

        try:
            self._wait(act, self.timeout, "did not take all that was written")
        except UnicodeDecodeError as error:
            text = bytes(data).decode("utf-8", "surrogatepass")
            raise UnicodeEncodeError(self._encoding, text, 0, len(text), error.reason) from None
        except TalkTimeoutError:
            if is_text and done < len(data):
                self._pending.insert(0, bytes(data[done:]).decode("utf-8", "ignore"))
            raise

    # ---------------------------------------------------------------------------------------------- asking

    def ask(
        self,
        line: str,
        *,
        lines: int | None = None,
        prompt: str | None = None,
        end: Wildcards = (),
        silence: float | None = None,
        error: Wildcards = (),
        timeout: float | None = 10.0,
        skip_empty: bool = False,
        secret: bool = False,
    ) -> str:
        """Says a line and returns what comes back: one line, or what the arguments say; several are joined by `\\\\n`.

        What had come unasked is set aside first: `unasked`. A reply that did not come in time is waited for before the next
        question is asked, so that it never becomes the answer to that.

        Args:
            lines: so many lines; 0: no reply is awaited.
            prompt: what stands behind the reply, at the start of a line.
            end: shell patterns of a line that stands behind it.
            silence: it is over once nothing more has come for so many seconds.
            error: shell patterns of a line that makes it an error.
            skip_empty: empty lines are no part of it.
            secret: waits until a program's terminal does not echo.

        Raises:
            ReplyError: it is an error.
            TalkTimeoutError: it did not come in time (a `TimeoutError`); `reply` is what did.
            OutOfStepError: an earlier reply is still to come; this was not asked.
            EndedError: the stream ended before.
        """
        self.flush()
        answer: list[tuple[Any, ...]] = []
        options = ask_options(timeout, lines, prompt, end, silence, error, skip_empty, secret)
        with self._lock:
            raw = self._open()
            raw.ask(line, lambda *given: answer.append(given), options)
            while not answer:
                self._loop.step(signal_slice())
        result, reply, _, failure = answer[0]
        if failure is not None:
            raise_for(Info(*failure), reply)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return str(reply)

    # ---------------------------------------------------------------------------------------------- expecting

    def expect(
        self,
        *patterns: AnyPattern | Patterns | Iterable[AnyPattern],
        timeout: float | None | Unset = UNSET,
        window: int = 0,
        rest: float | None = REST_SECONDS,
    ) -> Match[str]:
        """Waits for the first of several things, and takes it with all that came before it.

        The first to become complete wins; of those that do at the same character the one that starts earlier, then the one
        given first. What is found does not depend on how the text arrives (but for regular expressions of mode `"eager"`).
        Interrupted it takes nothing.

        >>> with open(["sh", "-c", "echo value=12"], terminal=False) as talk:
        ...     talk.expect("error", regex(r"value=(\\d+)"), EOF).group(1)
        '12'

        Args:
            patterns: str (as it is), `regex(...)` or a compiled `re.Pattern`, `EOF`, `TIMEOUT`; also as one list or `Patterns`.
            timeout: seconds; None: any time; else the talk's own.
            window: no match of a regular expression is longer; 0: as long as what may be kept.
            rest: a match that could still grow is taken when nothing has come for so many seconds; None: only at the
                deadline and the end.

        Raises:
            TalkTimeoutError: none came in time and `TIMEOUT` is not expected; nothing is taken.
            EndedError: the stream ended before and `EOF` is not expected; nothing is taken.
            EndpointError: a limit was reached: `kind` is `"limit"`.
            UsageError: a pattern is wrong.
        """
        return self._expect(patterns_of(patterns, False), timeout, window, rest)

    def _expect(self, patterns: Patterns, timeout: float | None | Unset, window: int, rest: float | None) -> Match[Any]:
        timeout_ns = patience(self.timeout if timeout is UNSET else timeout, "timeout")
        rest_ns = patience(rest, "rest") or 1
        self.flush()
        answer: list[tuple[Any, ...]] = []
        with self._lock:
            raw = self._open()
            raw.unread(self._held)
            self._held = ""
            token = raw.expect(patterns._raw, lambda *given: answer.append(given), window, rest_ns, timeout_ns)
            try:
                while not answer:
                    self._loop.step(signal_slice())
            except BaseException:
                give_up(raw, patterns, token, answer)
                raise
            result, found, failure = answer[0]
            if failure is not None:
                self._raise(raw, Info(*failure))
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return match_of(patterns, result, found)

    def unasked(self) -> str:
        """What `ask` has set aside since this was called last."""
        with self._lock:
            return self._open().unasked() or ""

    def resync(self, silence: float) -> None:
        """Sets aside what comes until nothing has come for so many seconds: then `ask` is in step again."""
        ns_of_silence = nanoseconds(silence, "silence")
        self._wait(lambda raw, ns: raw.resync(ns_of_silence, ns) or None, self.timeout, "was not silent")

    # ---------------------------------------------------------------------------------------------- its end

    def end(self) -> None:
        """Says that nothing more is written: the other side sees the end. Reading goes on."""
        self.flush()
        with self._lock:
            self._open().end()

    def close(self) -> None:
        """Writes what is unwritten, ends, and restores a terminal; a program gets five seconds to end, then it is killed."""
        if self.closed:
            return
        try:
            if self._raw is not None and self._pending:
                self.flush()
        except (TalkError, OSError):
            pass
        finally:
            if self._raw is not None:
                with self._lock:
                    self._raw.close(patience(CLOSE_SECONDS, "CLOSE_SECONDS"))
                    self._last_info = info_of(self._raw)
                    self._raw = None
                    del self._loop
            super().close()

    def _info(self) -> TalkInfo:
        with self._lock:
            return info_of(self._raw) if self._raw is not None else self._last_info

    @property
    def exit_status(self) -> int | None:
        """Of a program that has ended: its exit status, or minus the signal; None otherwise."""
        return self._info().status

    @property
    def pid(self) -> int | None:
        """Of a program."""
        return self._info().pid or None

    @property
    def losses(self) -> int:
        """How often it was lost, with `reconnect`."""
        return self._info().losses

    @property
    def transcript_error(self) -> OSError | None:
        """Why entries are missing in the transcript."""
        return self._info().transcript_failure

    # ---------------------------------------------------------------------------------------------- what it is

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the other side."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What becomes of bytes that are no text."""
        return self._errors

    @property
    def line_buffering(self) -> bool:
        """What is written goes out at each line's end."""
        return True

    def readable(self) -> bool:
        """True."""
        self._open()
        return True

    def writable(self) -> bool:
        """True."""
        self._open()
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return bool(info_of(self._open()).is_terminal)

    def fileno(self) -> int:
        """A descriptor that is readable when something has happened; not that of the device."""
        self._open()
        return self._loop.fileno()

    def detach(self) -> Any:
        """Not possible."""
        raise io.UnsupportedOperation("detach")

    def __repr__(self) -> str:
        return f"<spile.Talk {self.name!r}{' closed' if self.closed else ''}>"


def open(endpoint: Endpoint, *, timeout: float | None = None, **options: Any) -> Talk:
    """Opens a conversation.

    >>> with open(["bc", "-q"], terminal=False) as bc:
    ...     bc.ask("6*7")
    '42'

    Args:
        endpoint: a path (a terminal, a device, a UNIX socket), `"fifo:IN,OUT"`, `"unix:PATH"`, `"tcp:HOST:PORT"`,
            `"pty: PROGRAM ARGS"`, `"pipe: PROGRAM ARGS"`, `"-"`; a descriptor; or a program as a sequence of words.
        timeout: seconds that each method may take; None: any time.
        encoding: of the other side, as iconv knows it.
        errors: `"replace"`, `"strict"` or `"escape"`.
        eol: what is written for `\\\\n`.
        ends: what ends a line that is read: `"any"`, `"lf"`, `"crlf"` or `"cr"`.
        prompt: says that the other side is ready; awaited before the first `ask`, and what ends its replies.
        echo: `"auto"`, `"drop"` or `"keep"` a reply's first line that repeats the question.
        resync: so many seconds of silence mean that a late reply never comes.
        wait: waits for the endpoint to appear, for `open_timeout` seconds.
        line_limit, keep_limit: bytes of a line, and of what has come and was not read.
        closefd: a descriptor is closed with the talk.
        cooked, lock: of a terminal: its modes stay as they are; it is locked.
        baud, bits, stop, parity, flow, dtr, rts, hupcl: of a serial port.
        terminal: a program given as words runs on a terminal, else on pipes.
        transcript: a file that gets both directions with their times, appended; where it takes nothing, the talk goes on, and
            `transcript_error` says why.
        reconnect: opens it again whenever it is lost, for as long as it takes; a program is started again. A half line that had
            come is read by itself; what was not out yet is lost (`EndedError`), and so is a reply that was awaited.
        message: for instruments: each line is one message, written at once, and nothing is read before a reply is awaited.
        transcript_json: it gets a JSON object a line.
        size, terminal_echo, env, cwd: of a program: its terminal's columns and rows, whether it echoes, its environment and
            directory.

    Raises:
        EndpointError: it can't be talked with (an `OSError`).
        TalkTimeoutError: it did not open in time.
    """
    return Talk(endpoint, timeout=timeout, **options)

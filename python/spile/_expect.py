"""Waiting for one of several things in a conversation: literals, regular expressions, the end, the time-out."""
from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable
from typing import Any, AnyStr, Generic, TypeVar, Union

from . import _spile
from ._errors import Info, UsageError

__all__ = ["EOF", "TIMEOUT", "Expected", "Match", "Patterns", "Regex", "regex"]

S = TypeVar("S", str, bytes)
MODES = {"final": 0, "line": 1, "eager": 2}
FLAGS = {re.IGNORECASE: 1, re.MULTILINE: 2, re.DOTALL: 4, re.VERBOSE: 8, re.ASCII: 16}
LITERAL, REGEX = 0, 1
REST_SECONDS = 0.05
KEPT_SETS = 256


class Unset(enum.Enum):
    UNSET = 0


UNSET = Unset.UNSET


class Expected(enum.Enum):
    """What is no text, and can be expected all the same."""

    EOF = 2
    TIMEOUT = 3

    def __repr__(self) -> str:
        return f"spile.{self.name}"


EOF = Expected.EOF
TIMEOUT = Expected.TIMEOUT


class Regex(Generic[S]):
    """A regular expression of PCRE2, as `regex` makes it."""

    __slots__ = ("pattern", "flags", "mode")
    pattern: S
    flags: int
    mode: str

    def __init__(self, pattern: S, flags: int, mode: str) -> None:
        self.pattern, self.flags, self.mode = pattern, flags, mode

    def _key(self) -> tuple[Any, ...]:
        return self.pattern, self.flags, self.mode

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Regex) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"spile.regex({self.pattern!r}, mode={self.mode!r})"


def regex(pattern: S, flags: int = 0, *, mode: str = "final") -> Regex[S]:
    """A regular expression to be expected, in the language of PCRE2.

    Args:
        pattern: str, or bytes where bytes are expected.
        flags: of `re`: IGNORECASE, MULTILINE, DOTALL, VERBOSE, ASCII.
        mode: `"final"`: a match that could still grow is taken at rest, at the deadline or at the end; `"line"`: in
            finished lines; `"eager"`: in whatever is there.
    """
    if not isinstance(pattern, (str, bytes)):
        raise TypeError(f"a regular expression is str or bytes, not {type(pattern).__name__}")
    if mode not in MODES:
        raise ValueError(f"mode={mode!r} is none of {', '.join(map(repr, MODES))}")
    left = int(flags) & ~int(re.UNICODE)
    for flag in FLAGS:
        left &= ~int(flag)
    if left:
        raise ValueError(f"flags={flags!r} has some that PCRE2 does not know")
    return Regex(pattern, int(flags), mode)


AnyPattern = Union[str, bytes, Regex[str], Regex[bytes], "re.Pattern[str]", "re.Pattern[bytes]", Expected]


def of_python(text: str) -> str:
    """What Python's re writes otherwise than PCRE2."""
    def other(found: re.Match[str]) -> str:
        escape = found[0]
        if escape == r"\Z":
            return r"\z"
        if escape[1] in "uU":
            return rf"\x{{{escape[2:]}}}"
        return escape

    return re.sub(r"(?s)\\(?:u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", other, text)


def item_of(pattern: AnyPattern, is_bytes: bool) -> tuple[int, int, int, bytes | None]:
    if isinstance(pattern, Expected):
        return pattern.value, 0, 0, None
    mode, flags, kind = 0, 0, LITERAL
    text: str | bytes
    if isinstance(pattern, (Regex, re.Pattern)):
        kind, text = REGEX, pattern.pattern
        flags = sum(value for flag, value in FLAGS.items() if pattern.flags & flag)
        if isinstance(pattern, Regex):
            mode = MODES[pattern.mode]
        elif isinstance(text, str):
            text = of_python(text)
    elif isinstance(pattern, (str, bytes)):
        text = pattern
    else:
        raise TypeError(f"expected str, a regular expression, spile.EOF or spile.TIMEOUT, not {type(pattern).__name__}")
    if isinstance(text, bytes) != is_bytes:
        raise TypeError(f"{pattern!r} is {type(text).__name__}, and {'bytes' if is_bytes else 'text'} is searched")
    return kind, mode, flags, text if isinstance(text, bytes) else text.encode("utf-8")


class Patterns:
    """What is expected, compiled once: for a talk's `expect`, as often as one likes, from any thread.

    Args:
        patterns: str (as it is), `regex(...)` or a compiled `re.Pattern`, `EOF`, `TIMEOUT`; bytes where bytes are expected.
        match_limit: how hard one look of a regular expression may try; 0: ten million steps.

    Raises:
        UsageError: one of them is wrong.
    """

    __slots__ = ("patterns", "is_bytes", "_raw")

    def __init__(self, *patterns: AnyPattern, match_limit: int = 0) -> None:
        if not patterns:
            raise TypeError("nothing is expected")
        first = next((pattern for pattern in patterns if not isinstance(pattern, Expected)), "")
        text = first.pattern if isinstance(first, (Regex, re.Pattern)) else first
        self.patterns = patterns
        self.is_bytes = isinstance(text, bytes)
        self._raw = self._compile(self.is_bytes, match_limit)

    def _compile(self, is_bytes: bool, match_limit: int) -> _spile.Patterns:
        items = tuple(item_of(pattern, is_bytes) for pattern in self.patterns)
        try:
            return _spile.Patterns(items, is_bytes, match_limit)
        except _spile.Refused as refused:
            raise UsageError(Info(*refused.args).message) from None

    def __repr__(self) -> str:
        return f"spile.Patterns({', '.join(map(repr, self.patterns))})"


@functools.lru_cache(KEPT_SETS)
def _kept(*patterns: AnyPattern) -> Patterns:
    return Patterns(*patterns)


@functools.lru_cache(KEPT_SETS)
def _kept_bytes(*patterns: Expected) -> Patterns:
    """A set of nothing but events, for bytes."""
    made = Patterns(*patterns)
    made.is_bytes = True
    made._raw = made._compile(True, 0)
    return made


def patterns_of(given: tuple[Any, ...], is_bytes: bool) -> Patterns:
    """What `expect` was given, as a set; one that was made before where there is one."""
    if len(given) == 1 and isinstance(given[0], Iterable) and not isinstance(given[0], (str, bytes)):
        given = tuple(given[0])
    patterns = given[0] if len(given) == 1 and isinstance(given[0], Patterns) else _kept(*given)
    if patterns.is_bytes == is_bytes:
        return patterns
    if is_bytes and all(isinstance(pattern, Expected) for pattern in patterns.patterns):
        return _kept_bytes(*patterns.patterns)
    raise TypeError("bytes are expected of talk.buffer, text of the talk itself")


class Match(Generic[AnyStr]):
    """What came.

    Attributes:
        index: which of the patterns it is.
        before: all that came before it; of `EOF` and `TIMEOUT` all there was.
        match: what matched; empty for `EOF` and `TIMEOUT`.
        after: what had arrived behind it, of which the first 4096 bytes are shown; it stays to be read.
    """

    __slots__ = ("index", "pattern", "before", "after", "_groups", "_patterns")

    def __init__(self, patterns: Patterns, index: int, before: AnyStr, after: AnyStr, groups: list[Any]) -> None:
        self.index = index
        self.pattern = patterns.patterns[index]
        self.before: AnyStr = before
        self.after: AnyStr = after
        self._groups = groups
        self._patterns = patterns

    @property
    def match(self) -> AnyStr:
        """What matched."""
        whole: AnyStr = self._groups[0]
        return whole

    def group(self, which: int | str = 0) -> AnyStr | None:
        """A group by its number or name; None where it took no part. 0 is the whole match."""
        if isinstance(which, str):
            try:
                which = self._names().index(which)
            except ValueError:
                raise IndexError(f"no group is called {which!r}") from None
        if which < 0:
            raise IndexError("no such group")
        group: AnyStr | None = self._groups[which]
        return group

    def groups(self) -> tuple[AnyStr | None, ...]:
        """All groups but the whole match."""
        return tuple(self._groups[1:])

    def groupdict(self) -> dict[str, AnyStr | None]:
        """The groups that have names."""
        return {name: group for name, group in zip(self._names(), self._groups) if name is not None}

    def _names(self) -> list[str | None]:
        return self._patterns._raw.names(self.index, len(self._groups))

    def __getitem__(self, which: int | str) -> AnyStr | None:
        return self.group(which)

    def __repr__(self) -> str:
        return f"<spile.Match {self.index}: {self.match!r}>"


def match_of(patterns: Patterns, index: int, found: Any) -> Match[Any]:
    """What the extension told of one that came."""
    if isinstance(found, BaseException):
        raise found
    before, after, groups = found
    return Match(patterns, index, before, after, groups)


def give_up(raw: _spile.Talk, patterns: Patterns, token: int, answer: list[tuple[Any, ...]]) -> None:
    """Nobody waits for it any more. What came in that very moment is put back, as far as it is text."""
    if not answer:
        raw.expect_cancel(token)
        return
    index, found, _ = answer[0]
    if patterns.is_bytes or not isinstance(found, tuple) or patterns.patterns[index] is TIMEOUT:
        return
    try:
        raw.unread(found[0] + found[2][0])
    except OSError:
        pass  # another expects already, and looks behind it; or the encoding has no U+FFFD

"""Looking for patterns in what arrives.

What pexpect finds is kept to: of the patterns that are found in what is there, the one that starts first; of those the one
given first. It looks whenever something arrives. Literals, and expressions whose matches can't be longer than some
length, are looked for in what is new and a little before it. For the others all has to be looked at again: as long
as that is little each time, then when it has grown by a quarter or nothing more is there, so that the time is linear in what
arrives.
"""
from __future__ import annotations

import re
import time
from typing import Any

from .exceptions import EOF, TIMEOUT

try:
    from re import _constants as constants, _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python has moved them: every expression counts as one without a limit
    parser = None

WIDEST = 1 << 16
SMALL = 64 << 10
UNBOUNDED = -1


def _is_simple(tokens: Any) -> bool:
    """Whether nothing in a parsed expression looks further than it matches, or at where the text begins."""
    for operation, argument in tokens:
        if operation in (constants.ASSERT, constants.ASSERT_NOT):
            return False
        if operation is constants.AT and argument in (constants.AT_BEGINNING, constants.AT_BEGINNING_STRING):
            return False
        for part in argument if isinstance(argument, (tuple, list)) else ():
            for inner in part if isinstance(part, list) else (part,):
                if isinstance(inner, parser.SubPattern) and not _is_simple(inner):
                    return False
    return True


_widths: dict[Any, int] = {}


def width_of(pattern: Any) -> int:
    """How long a match can be at most; UNBOUNDED where that can't be told."""
    if pattern not in _widths:
        width = UNBOUNDED
        if parser is not None:
            try:
                tokens = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
                most = int(tokens.getwidth()[1])
                if most <= WIDEST and _is_simple(tokens):
                    width = most
            except Exception:  # whatever it is, the other way is right, too
                pass
        if len(_widths) > 1000:
            _widths.clear()
        _widths[pattern] = width
    return _widths[pattern]


class _Searcher:
    """What both kinds share: where EOF and TIMEOUT stand, and what was found."""

    start: int
    end: int
    match: Any

    def __init__(self, patterns: Any) -> None:
        self.eof_index = -1
        self.timeout_index = -1
        self._patterns: list[tuple[int, Any]] = []
        for number, pattern in enumerate(patterns):
            if pattern is EOF:
                self.eof_index = number
            elif pattern is TIMEOUT:
                self.timeout_index = number
            else:
                self._patterns.append((number, pattern))

    def _shown(self, pattern: Any) -> str:
        return repr(pattern)

    def __str__(self) -> str:
        lines = [(number, f"    {number}: {self._shown(pattern)}") for number, pattern in self._patterns]
        lines.append((-1, f"{type(self).__name__}:"))
        if self.eof_index >= 0:
            lines.append((self.eof_index, f"    {self.eof_index}: EOF"))
        if self.timeout_index >= 0:
            lines.append((self.timeout_index, f"    {self.timeout_index}: TIMEOUT"))
        return "\n".join(line for _, line in sorted(lines))

    def reach(self) -> int:
        """How far before what is new a match can begin; UNBOUNDED: anywhere."""
        raise NotImplementedError

    def find(self, text: Any, start: int) -> int:
        """The first in the text from there on: its index, or -1."""
        raise NotImplementedError

    def search(self, buffer: Any, freshlen: int, searchwindowsize: int | None = None) -> int:
        """As in pexpect: the index of what is found, or -1."""
        if searchwindowsize is not None:
            return self.find(buffer, max(0, len(buffer) - searchwindowsize))
        reach = self.reach()
        return self.find(buffer, 0 if reach == UNBOUNDED else max(0, len(buffer) - freshlen - reach))


class searcher_string(_Searcher):
    """Looks for strings."""

    def __init__(self, strings: Any) -> None:
        super().__init__(strings)
        self.longest_string = max((len(string) for _, string in self._patterns), default=0)

    def reach(self) -> int:
        return max(self.longest_string - 1, 0)

    def find(self, text: Any, start: int) -> int:
        best, index = -1, -1
        for number, string in self._patterns:
            place = text.find(string, start) if best < 0 else text.find(string, start, best - 1 + len(string))
            if place >= 0 and (best < 0 or place < best):
                best, index, self.match = place, number, string
        if index >= 0:
            self.start, self.end = best, best + len(self.match)
        return index


class searcher_re(_Searcher):
    """Looks for compiled regular expressions."""

    def __init__(self, patterns: Any) -> None:
        super().__init__(patterns)
        widths = [width_of(pattern) for _, pattern in self._patterns]
        self._reach = UNBOUNDED if UNBOUNDED in widths else max(widths, default=0) + 1

    def _shown(self, pattern: Any) -> str:
        return f"re.compile({pattern.pattern!r})"

    def reach(self) -> int:
        return self._reach

    def find(self, text: Any, start: int) -> int:
        index = -1
        for number, pattern in self._patterns:
            match = pattern.search(text, start)
            if match is not None and (index < 0 or match.start() < self.start):
                index, self.match, self.start = number, match, match.start()
        if index >= 0:
            self.end = self.match.end()
        return index


class Expecter:
    """One expect on its way: is given what arrives, and says which pattern it is."""

    def __init__(self, spawn: Any, searcher: Any, searchwindowsize: int | None = -1) -> None:
        self.spawn = spawn
        self.searcher = searcher
        self.searchwindowsize = spawn.searchwindowsize if searchwindowsize == -1 else searchwindowsize
        self.searched = 0  # so much of the text
        self.tail = spawn.string_type()  # its end, as far as it matters
        self.is_bounded = self.searchwindowsize is not None or searcher.reach() != UNBOUNDED

    def _found(self, index: int, start: int, end: int) -> int:
        spawn, text = self.spawn, self.spawn._joined()
        spawn.before, spawn.after = text[:start], text[start:end]
        spawn.match, spawn.match_index = self.searcher.match, index
        spawn._set_text(text[end:])
        return index

    def existing_data(self) -> int | None:
        """Looks at what is there."""
        text, searcher = self.spawn._joined(), self.searcher
        window = self.searchwindowsize
        from_ = 0 if window is None else max(0, len(text) - window)
        index = searcher.find(text, from_)
        if index >= 0:
            return self._found(index, searcher.start, searcher.end)
        self._note(text)
        return None

    def _note(self, text: Any) -> None:
        self.searched = self.spawn._length
        keep = self.searchwindowsize if self.searchwindowsize is not None else max(self.searcher.reach(), 0)
        self.tail = text[len(text) - keep:] if 0 < keep < len(text) else text if keep else text[:0]

    def new_data(self, data: Any) -> int | None:
        """Takes what has arrived, and looks at it."""
        self.take(data)
        return self.look()

    def take(self, data: Any) -> None:
        """Takes it, to be looked at later."""
        self.spawn._add_text(data)

    def can_wait(self) -> bool:
        """Whether more may be taken in before all is looked at again."""
        return not self.is_bounded and self.spawn._length < max(SMALL, self.searched + self.searched // 4)

    def look(self) -> int | None:
        """Looks at what was taken since it was looked last."""
        if not self.is_bounded:
            return self.existing_data()
        searcher = self.searcher
        fresh = self.spawn._since(self.searched)
        text = self.tail + fresh if self.tail else fresh
        if self.searchwindowsize is not None:
            text = text[max(0, len(text) - self.searchwindowsize):]
        if searcher.find(text, 0) < 0:
            self._note(text)
            return None
        offset = self.spawn._length - len(text)
        if self.searchwindowsize is None and isinstance(searcher, searcher_re):
            index = searcher.find(self.spawn._joined(), offset)  # a match of all there is, as scripts know it
            offset = 0
            if index < 0:
                self._note(text)
                return None
        else:
            index = searcher.find(text, 0)
        return self._found(index, offset + searcher.start, offset + searcher.end)

    def _event(self, what: Any, index: int, error: Any) -> int:
        spawn = self.spawn
        spawn.after = what
        spawn.match, spawn.match_index = (what, index) if index >= 0 else (None, None)
        if index >= 0:
            return index
        message = f"{spawn}\nsearcher: {self.searcher}"
        raise what(message if error is None else f"{error}\n{message}") from None

    def eof(self, error: Any = None) -> int:
        """The other side has ended."""
        self.spawn.before = self.spawn._joined()
        self.spawn._set_text(self.spawn.string_type())
        return self._event(EOF, self.searcher.eof_index, error)

    def timeout(self, error: Any = None) -> int:
        """The time is over."""
        self.spawn.before = self.spawn._joined()
        return self._event(TIMEOUT, self.searcher.timeout_index, error)

    def errored(self) -> None:
        """Something else happened."""
        spawn = self.spawn
        spawn.before = spawn._joined()
        spawn.after = spawn.match = spawn.match_index = None

    def _size(self) -> int:
        """How much to read at a time. Only the end of each piece is searched where there is a window."""
        spawn = self.spawn
        return int(spawn.maxread if self.searchwindowsize is not None else spawn._read_size())

    def _read_more(self) -> None:
        """What else is there already, as much as is worth it."""
        spawn = self.spawn
        try:
            while self.can_wait() and spawn._is_greedy() and spawn._is_ready():
                self.take(spawn.read_nonblocking(self._size(), 0))
        except (EOF, TIMEOUT):
            pass  # comes again

    def expect_loop(self, timeout: float | None = -1) -> int:
        """Waits until one is found."""
        spawn = self.spawn
        until = None if timeout is None else time.monotonic() + timeout
        try:
            index = self.existing_data()
            while index is None:
                if timeout is not None and timeout < 0:
                    return self.timeout()
                data = spawn.read_nonblocking(self._size(), timeout)
                if spawn.delayafterread is not None:
                    time.sleep(spawn.delayafterread)
                self.take(data)
                self._read_more()
                index = self.look()
                if until is not None:
                    timeout = until - time.monotonic()
            return index
        except EOF as error:
            return self.eof(error)
        except TIMEOUT as error:
            return self.timeout(error)
        except BaseException:
            self.errored()
            raise

    async def expect_async(self, timeout: float | None = None) -> int:
        """The same on asyncio's loop."""
        import asyncio

        spawn = self.spawn
        try:
            index = self.existing_data()
            async with asyncio.timeout(timeout):
                while index is None:
                    if spawn._is_ready():
                        await asyncio.sleep(0)  # one that never stops talking leaves the loop its turn, and so the deadline
                    else:
                        await _readable(spawn.fileno())
                    self.take(spawn.read_nonblocking(self._size(), 0))
                    self._read_more()
                    index = self.look()
            return index
        except EOF as error:
            return self.eof(error)
        except (TIMEOUT, TimeoutError) as error:
            return self.timeout(error if isinstance(error, TIMEOUT) else TIMEOUT("Timeout exceeded."))
        except BaseException:
            self.errored()
            raise


async def _readable(fd: int) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await future
    finally:
        loop.remove_reader(fd)

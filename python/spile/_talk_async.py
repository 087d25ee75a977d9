"""Conversations on asyncio's own loop: no thread, no descriptor of their own but the device's."""
from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

from . import _spile
from ._async import _Hub, _hub
from ._errors import Info, TalkTimeoutError
from ._expect import REST_SECONDS, UNSET, AnyPattern, Match, Patterns, Unset, give_up, match_of, patterns_of
from ._talk import CLOSE_SECONDS, NEVER, WHOLE, Endpoint, Wildcards, ask_options, decoding_error, new_raw, patience, raise_for
from ._talk_info import OPENING, info_of

__all__ = ["AsyncTalk", "open_async"]

T = TypeVar("T")


class AsyncTalk:
    """A conversation as of `spile.Talk`, whose methods that wait are awaited. Made by `open_async`."""

    timeout: float | None
    name: Endpoint
    _encoding: str
    _changed: set[asyncio.Future[None]]
    _answers: set[asyncio.Future[Any]]
    _is_closed: bool
    _hub: _Hub
    _raw: _spile.Talk

    def __init__(self) -> None:
        raise TypeError("open a talk with spile.open_async")

    @classmethod
    async def _new(cls, endpoint: Endpoint, timeout: float | None, options: dict[str, Any]) -> AsyncTalk:
        self = cls.__new__(cls)
        patience(timeout, "timeout")
        self.timeout = timeout
        self.name = endpoint
        self._encoding = str(options.get("encoding", "utf-8"))
        self._changed = set()
        self._answers = set()
        self._is_closed = False
        self._hub = _hub()
        self._raw = new_raw(endpoint, self._hub.loop, self._told, options)
        self._hub.hold(self)
        try:
            while info_of(self._raw).state == OPENING:
                await self._change()
        except BaseException:
            self._let_go()
            raise
        failure = self._raw.error()
        if failure is not None:
            self._let_go()
            raise_for(Info(*failure))
        return self

    def _told(self, news: int) -> None:
        for future in self._changed:
            if not future.done():
                future.set_result(None)

    def fail(self, failure: BaseException) -> None:
        """Nothing on its loop can go on."""
        for future in [*self._changed, *self._answers]:
            if not future.done():
                future.set_exception(failure)

    async def _change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed.add(future)
        try:
            await future
        finally:
            self._changed.discard(future)

    async def _answer(self, future: asyncio.Future[T]) -> T:
        """Waits for what the library calls back with."""
        self._answers.add(future)
        try:
            return await future
        finally:
            self._answers.discard(future)

    def _open(self) -> _spile.Talk:
        if self._is_closed:
            raise ValueError("I/O operation on closed file.")
        return self._raw

    async def _wait(self, act: Callable[[_spile.Talk], T | None], what: str) -> T:
        try:
            async with asyncio.timeout(self.timeout):
                while True:
                    raw = self._open()
                    try:
                        result = act(raw)
                    except _spile.Refused as refused:
                        info = Info(*refused.args)
                        if info.kind == "text":
                            raise decoding_error(raw, self._encoding, info) from None
                        raise_for(info)
                        raise
                    if result is not None:
                        return result
                    await self._change()
        except TimeoutError as error:
            if isinstance(error, TalkTimeoutError):
                raise
            raise TalkTimeoutError(f"{self.name!r} {what} in time") from None

    async def readline(self) -> str:
        """As `Talk.readline`."""
        return await self._wait(lambda raw: raw.read_line(0), "sent no whole line")

    async def read(self, size: int = -1) -> str:
        """As `Talk.read`; a time-out loses nothing where `size` is given."""
        if size >= 0:
            return "" if size == 0 else await self._wait(lambda raw: raw.read(size, size, 0), "did not send so much")
        pieces = []
        while piece := await self._wait(lambda raw: raw.read(1, NEVER, 0), "did not end"):
            pieces.append(piece)
        return "".join(pieces)

    async def read_until(self, delimiter: str) -> str:
        """As `Talk.read_until`."""
        text, code = await self._wait(lambda raw: raw.read_until(delimiter, 0), "did not send the delimiter")
        return text + delimiter if code == WHOLE else text

    async def read_bytes(self, size: int) -> bytes:
        """So many bytes, as they came; fewer only at the end."""
        return await self._wait(lambda raw: raw.read_bytes(size, size, 0), "did not send so many bytes")

    def __aiter__(self) -> AsyncTalk:
        return self

    async def __anext__(self) -> str:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def write(self, text: str) -> int:
        """Writes the text and waits until it is out."""
        await self._write(text.encode("utf-8", "surrogatepass"), True)
        return len(text)

    async def write_bytes(self, data: bytes) -> int:
        """The same for bytes as they are."""
        await self._write(data, False)
        return len(data)

    async def _write(self, data: bytes, is_text: bool) -> None:
        done = 0

        def act(raw: _spile.Talk) -> bool | None:
            nonlocal done
            if done < len(data):
                done += raw.write(memoryview(data)[done:], is_text, 0)
            return True if done == len(data) and raw.flush(0) else None

        await self._wait(act, "did not take all that was written")

    async def ask(
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
        """As `Talk.ask`. Tasks that ask at the same time are served in turn."""
        future: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()

        def done(*given: Any) -> None:
            if not future.done():
                future.set_result(given)

        self._open().ask(line, done, ask_options(timeout, lines, prompt, end, silence, error, skip_empty, secret))
        self._hub.step()
        result, reply, _, failure = await self._answer(future)
        if failure is not None:
            raise_for(Info(*failure), reply)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return str(reply)

    async def expect(
        self,
        *patterns: AnyPattern | Patterns | Iterable[AnyPattern],
        timeout: float | None | Unset = UNSET,
        window: int = 0,
        rest: float | None = REST_SECONDS,
    ) -> Match[str]:
        """As `Talk.expect`; cancelled, it takes nothing. Tasks that expect at the same time are served in turn."""
        return await self._expect(patterns_of(patterns, False), timeout, window, rest)

    async def expect_bytes(
        self,
        *patterns: AnyPattern | Patterns | Iterable[AnyPattern],
        timeout: float | None | Unset = UNSET,
        window: int = 0,
        rest: float | None = REST_SECONDS,
    ) -> Match[bytes]:
        """The same of bytes as they come; what came in the moment of being cancelled is lost."""
        return await self._expect(patterns_of(patterns, True), timeout, window, rest)

    async def _expect(self, wanted: Patterns, timeout: float | None | Unset, window: int, rest: float | None) -> Match[Any]:
        timeout_ns = patience(self.timeout if timeout is UNSET else timeout, "timeout")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer: list[tuple[Any, ...]] = []

        def done(*given: Any) -> None:
            answer.append(given)
            if not future.done():
                future.set_result(None)

        raw = self._open()
        token = raw.expect(wanted._raw, done, window, patience(rest, "rest") or 1, timeout_ns)
        self._hub.step()
        try:
            await self._answer(future)
        except asyncio.CancelledError:
            if not self._is_closed:
                give_up(raw, wanted, token, answer)
            raise
        result, found, failure = answer[0]
        if failure is not None:
            info = Info(*failure)
            if info.kind == "text":
                raise decoding_error(raw, self._encoding, info)
            raise_for(info)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return match_of(wanted, result, found)

    def unasked(self) -> str:
        """As `Talk.unasked`."""
        return self._open().unasked() or ""

    def end(self) -> None:
        """As `Talk.end`."""
        self._open().end()

    def _let_go(self) -> None:
        self._is_closed = True
        self._hub.drivers.discard(self)
        self._raw.close(0)
        self._hub.step()

    async def close(self) -> None:
        """As `Talk.close`."""
        if self._is_closed:
            return
        try:
            self._raw.end()
            async with asyncio.timeout(CLOSE_SECONDS):
                while not info_of(self._raw).is_settled:
                    await self._change()
        except (TimeoutError, OSError):
            pass
        finally:
            self._let_go()

    @property
    def exit_status(self) -> int | None:
        """As `Talk.exit_status`."""
        return info_of(self._raw).status

    @property
    def losses(self) -> int:
        """As `Talk.losses`."""
        return info_of(self._raw).losses

    @property
    def transcript_error(self) -> OSError | None:
        """As `Talk.transcript_error`."""
        return info_of(self._raw).transcript_failure

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    async def __aenter__(self) -> AsyncTalk:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


async def open_async(endpoint: Endpoint, *, timeout: float | None = None, **options: Any) -> AsyncTalk:
    """Opens a conversation on asyncio's loop; the arguments are those of `open`."""
    return await AsyncTalk._new(endpoint, timeout, options)

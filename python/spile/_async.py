"""Calls on asyncio's own loop: no thread, one descriptor a loop however many calls run."""
from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Protocol

from . import _spile
from ._call import Files, Limits, Options, Outputs, Prepared, Stdin, Values, Way, prepare
from ._errors import CallCancelledError
from ._files import CHUNK_BYTES, AsyncReader, Handoff, chunk_view
from ._programs import AnyProgram, Context, Environment, Plan, Stdio, StrPath, plan_of
from ._result import Event, Result

__all__ = ["AsyncCall", "run_async", "start_async"]


class _Driven(Protocol):
    """What a loop drives."""

    def fail(self, failure: BaseException) -> None:
        """Nothing on this loop can go on."""


class _Hub:
    """The spile loop of one asyncio loop; watched only while calls run or talks are open."""

    def __init__(self, outer: asyncio.AbstractEventLoop) -> None:
        self.outer = weakref.ref(outer)
        self.loop = _spile.Loop()
        self.drivers: set[_Driven] = set()
        self.is_watched = False

    def attach(self, driver: _AsyncDriver) -> None:
        driver.prepared.call.attach(self.loop, driver.end)
        self.hold(driver)

    def hold(self, driver: _Driven) -> None:
        """Watches the loop for as long as it drives this."""
        self.drivers.add(driver)
        outer = self.outer()
        if not self.is_watched and outer is not None:
            outer.add_reader(self.loop.fileno(), self.step)
            self.is_watched = True

    def step(self) -> None:
        try:
            self.loop.step(0)
        except OSError as failure:  # nothing on this loop can go on
            for driver in list(self.drivers):
                driver.fail(failure)
        outer = self.outer()
        if not self.drivers and self.is_watched and outer is not None:
            outer.remove_reader(self.loop.fileno())
            self.is_watched = False


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = weakref.WeakKeyDictionary()


def _forget_hubs() -> None:
    global _hubs
    _hubs = weakref.WeakKeyDictionary()


os.register_at_fork(after_in_child=_forget_hubs)


def _hub() -> _Hub:
    outer = asyncio.get_running_loop()
    hub = _hubs.get(outer)
    if hub is None:
        hub = _hubs[outer] = _Hub(outer)
    return hub


def _abandon(call: _spile.Call, outer: weakref.ref[asyncio.AbstractEventLoop], pid: int) -> None:
    """The call object is gone while the call runs: its loop ends it, or we do where that loop is closed."""
    if call.ended or os.getpid() != pid:
        return
    loop = outer()
    if loop is None or loop.is_closed():
        call.finish()
    else:
        call.cancel()


async def _pump(reader: AsyncReader, call: _spile.Call) -> None:
    """Feeds a call from an asynchronous iterator, one chunk at a time."""
    try:
        async for chunk in reader.chunks:
            view = chunk_view(chunk, reader.name, reader.encoding)
            await _used_up(reader)
            reader.left = view
            call.resume()
        await _used_up(reader)
    except Exception as error:
        reader.error = error
    reader.is_ended = True
    call.resume()


async def _used_up(reader: AsyncReader) -> None:
    while reader.left:
        reader.was_wanted.clear()
        await reader.was_wanted.wait()


class _AsyncDriver:
    """What a running call needs. It knows nothing of the `AsyncCall`, which may be let go meanwhile."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        outer = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = outer.create_future()
        self.changed = asyncio.Event()
        for handoff in prepared.handoffs.values():
            handoff.notify_async = self.changed.set
        self.hub = _hub()
        self.hub.attach(self)
        self.pumps = [outer.create_task(_pump(reader, prepared.call)) for reader in prepared.readers]

    def end(self, _: _spile.Call) -> None:
        self.fail(None)

    def fail(self, failure: BaseException | None) -> None:
        self.hub.drivers.discard(self)
        for pump in self.pumps:
            pump.cancel()
        for handoff in self.prepared.handoffs.values():
            handoff.close()
        if self.ended.done():
            return
        if failure is not None:
            self.ended.set_exception(failure)
        else:
            self.ended.set_result(None)


class AsyncCall:
    """A call that runs on asyncio's loop: what `spile.start_async` returns.

    As an asynchronous context manager it waits for the end, and raises its failure where nothing else has; after an
    exception, or where a stream was not taken to its end, it is cancelled first. Inputs that are plain iterables or
    file objects are read in the loop's thread, which they should not hold up; an asynchronous iterable is awaited. A
    call that is let go while it runs is cancelled.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._result: Result | None = None
        self._is_cancelled = False
        self._was_raised = False
        self._driver = _AsyncDriver(prepared)
        self._finalizer = weakref.finalize(self, _abandon, prepared.call, self._driver.hub.outer, os.getpid())
        self._finalizer.atexit = False

    def cancel(self) -> None:
        """Ends the call: TERM, after the grace KILL. Returns at once; any number of times."""
        self._is_cancelled = True
        self._prepared.call.cancel()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._prepared.call.ended

    async def wait(self, *, check: bool | None = None) -> Result:
        """Waits for the end and returns the result. Where the waiting task is cancelled, so is the call.

        Raises:
            CallError: it failed.
        """
        for handoff in self._prepared.handoffs.values():
            handoff.release()
        try:
            await asyncio.shield(self._driver.ended)
        except asyncio.CancelledError:
            await self._finish()
            raise
        if self._result is None:
            try:
                self._result = self._prepared.result(False)
            except BaseException:
                self._was_raised = True
                raise
        error = self._result.error
        if error is not None and (self._prepared.check if check is None else check):
            self._was_raised = True
            raise error
        return self._result

    async def _finish(self) -> None:
        """Cancels and waits for the end, which the grace bounds, however often the task is cancelled meanwhile."""
        self._prepared.call.cancel()
        while not self._driver.ended.done():
            try:
                await asyncio.shield(self._driver.ended)
            except asyncio.CancelledError:
                pass

    async def output(self, name: str) -> AsyncIterator[bytes]:
        """The chunks of an output, as of `spile.Call.output`."""
        handoff = self._prepared.handoffs.get(name)
        if handoff is not None:
            handoff.is_begun = True
            while (chunk := await self._next(handoff)) is not None:
                yield chunk
            if self._driver.ended.done():
                await self.wait(check=True)
        else:
            view = (await self.wait(check=True)).buffer(name)
            for start in range(0, len(view), CHUNK_BYTES):
                yield bytes(view[start : start + CHUNK_BYTES])

    async def _next(self, handoff: Handoff) -> bytes | None:
        while not handoff.chunks and not handoff.is_closed:
            self._driver.changed.clear()
            try:
                await self._driver.changed.wait()
            except asyncio.CancelledError:
                await self._finish()
                raise
        with handoff.changed:
            return handoff.take()

    async def __aenter__(self) -> AsyncCall:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            await self._finish()
            return
        if self._prepared.leave_chunks():
            self.cancel()
        try:
            if self._was_raised:
                await asyncio.shield(self._driver.ended)
            else:
                await self.wait()
        except CallCancelledError:
            if not self._is_cancelled:
                raise

    def __repr__(self) -> str:
        state = "ended" if self.done() else "running"
        return f"<spile.AsyncCall {state}: {'; '.join(program.text for program in self._prepared.plan.programs)}>"


def start_async(
    *programs: AnyProgram | Plan,
    files: Files | None = None,
    outputs: Outputs | None = None,
    values: Values | None = None,
    stdin: Stdin = None,
    timeout: float | None = None,
    limits: Limits | None = None,
    check: bool = True,
    env: Environment | None = None,
    inherit_env: bool = True,
    cwd: StrPath | None = None,
    stdout: Stdio = Stdio.DEFAULT,
    stderr: Stdio = Stdio.DEFAULT,
    jobs: int = 0,
    keep_going: bool = False,
    keep_terminal: bool = False,
    grace: float | None = None,
    encoding: str = "utf-8",
    force: bool = False,
    context: Context | None = None,
    trace: Callable[[Event], object] | None = None,
    require: str | Iterable[str] = (),
    private_path: StrPath | None = None,
) -> AsyncCall:
    """Starts programs as one call on the running asyncio loop; the arguments are those of `spile.run`.

    An input may also be an asynchronous iterable of chunks.

    Raises:
        RuntimeError: no asyncio loop runs.

    >>> import asyncio
    >>> async def main():
    ...     async with start_async("sort {<words} >{sorted}", files={"words": "b\\na\\n"}) as call:
    ...         return [chunk async for chunk in call.output("sorted")]
    >>> asyncio.run(main())
    [b'a\\nb\\n']
    """
    options = Options(timeout, limits, check, env, inherit_env, cwd, stdout, stderr, jobs, keep_going, keep_terminal,
                      grace, encoding, force, context, trace, require, private_path)
    return AsyncCall(
        prepare(plan_of(programs), files, outputs, values, stdin, options, Way.START_ASYNC)
    )


async def run_async(
    *programs: AnyProgram | Plan,
    files: Files | None = None,
    outputs: Outputs | None = None,
    values: Values | None = None,
    stdin: Stdin = None,
    timeout: float | None = None,
    limits: Limits | None = None,
    check: bool = True,
    env: Environment | None = None,
    inherit_env: bool = True,
    cwd: StrPath | None = None,
    stdout: Stdio = Stdio.DEFAULT,
    stderr: Stdio = Stdio.DEFAULT,
    jobs: int = 0,
    keep_going: bool = False,
    keep_terminal: bool = False,
    grace: float | None = None,
    encoding: str = "utf-8",
    force: bool = False,
    context: Context | None = None,
    trace: Callable[[Event], object] | None = None,
    require: str | Iterable[str] = (),
    private_path: StrPath | None = None,
) -> Result:
    """Runs programs as one call on the running asyncio loop; the arguments are those of `spile.run`.

    Cancelling the task kills the call: nothing of it is left when CancelledError is raised.

    >>> import asyncio
    >>> asyncio.run(run_async("wc -c <{in}", files={"in": b"12345"})).stdout
    b'5\\n'
    """
    options = Options(timeout, limits, check, env, inherit_env, cwd, stdout, stderr, jobs, keep_going, keep_terminal,
                      grace, encoding, force, context, trace, require, private_path)
    prepared = prepare(plan_of(programs), files, outputs, values, stdin, options, Way.RUN_ASYNC)
    return await AsyncCall(prepared).wait()

"""Running calls: `run` blocks, `start` lets a thread of its own drive the call.

Event loops (`_spile.Loop`) are kept in a small pool, because making one costs more system calls than a call. A loop
belongs to whoever took it until it is given back with no call on it.
"""
from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from numbers import Real
from types import TracebackType
from typing import Any, Union

from . import _spile
from ._doctor import promise_bits
from ._errors import NEVER_BEGAN, CallCancelledError, usage_error
from ._files import CHUNK_BYTES, CHUNKS, AsyncReader, Feeder, Handoff, Input, Output, tell_input, tell_output, tell_value
from ._programs import AnyProgram, Context, Environment, Flow, Plan, Stdio, StrPath, env_strings, plan_of
from ._result import NS, Event, Result, event_from

__all__ = ["Call", "Limits", "run", "start"]

MAIN_THREAD_SLICE_NS = 100_000_000
POOLED_LOOPS = 8

Files = Mapping[str, Input]
Outputs = Union[Mapping[str, Output], Iterable[str]]
Values = Mapping[str, Any]
Stdin = Union[None, str, bytes, bytearray, memoryview, Mapping[int, Union[str, bytes, bytearray, memoryview]]]


@dataclass(frozen=True)
class Limits:
    """What a call may use. None: no limit of its own.

    Args:
        cpu: CPU seconds of each process of a program, rounded up to whole ones.
        memory: bytes in all files of the call together, and in each window of a stream. Default: half of the machine's
            memory.
        output: bytes of each output and of each captured standard stream.
        program_memory: bytes of memory of all programs together; where no control group is to be had, of each process
            by itself.
        processes: processes and threads of all programs together.
        open_files: open files of each process, 4 or more.

    `doctor` tells which of them this machine can keep for all programs together.
    """

    cpu: float | None = None
    memory: int | None = None
    output: int | None = None
    program_memory: int | None = None
    processes: int | None = None
    open_files: int | None = None

    def _raw(self, timeout: float | None) -> tuple[int, ...]:
        return (
            nanoseconds(timeout, "timeout"), nanoseconds(self.cpu, "limits.cpu"), whole(self.memory, "memory"),
            whole(self.output, "output"), whole(self.program_memory, "program_memory"),
            whole(self.processes, "processes"), whole(self.open_files, "open_files"),
        )


NO_LIMITS = Limits()


def nanoseconds(seconds: float | None, name: str, none: int = 0, least: int = 1) -> int:
    """Seconds that a caller gave; `none` for None."""
    if seconds is None:
        return none
    if not isinstance(seconds, Real):
        raise TypeError(f"{name} is {seconds!r}: give seconds, as a number")
    if not seconds >= 0:
        raise ValueError(f"{name} is {seconds!r}: give seconds, 0 or more")
    return max(least, int(min(seconds, 1e9) * NS))


def whole(number: int | None, name: str) -> int:
    if number is None:
        return 0
    if not isinstance(number, int) or not 0 < number < 1 << 60:
        raise ValueError(f"limits.{name} is {number!r}: give a whole number above 0, or None for no limit")
    return number


@dataclass  # not frozen, which makes each one cost more than the rest of a call's arguments; nobody changes one
class Options:
    """How a call runs, whoever drives it."""

    timeout: float | None = None
    limits: Limits | None = None
    check: bool = True
    env: Environment | None = None
    inherit_env: bool = True
    cwd: StrPath | None = None
    stdout: Stdio = Stdio.DEFAULT
    stderr: Stdio = Stdio.DEFAULT
    jobs: int = 0
    keep_going: bool = False
    keep_terminal: bool = False
    grace: float | None = None
    encoding: str = "utf-8"
    force: bool = False
    context: Context | None = None
    trace: Callable[[Event], object] | None = None
    require: str | Iterable[str] = ()
    private_path: StrPath | None = None

    def raw(self) -> tuple[Any, ...]:
        return (
            (self.limits or NO_LIMITS)._raw(self.timeout), self.jobs, self.keep_going, self.keep_terminal, env_strings(self.env),
            0 if self.inherit_env else 1, None if self.cwd is None else os.fspath(self.cwd), int(self.stdout),
            int(self.stderr), nanoseconds(self.grace, "grace"), promise_bits(self.require) if self.require else 0,
            None if self.private_path is None else os.fspath(self.private_path),
        )


class Way(Enum):
    """Who drives a call."""

    RUN = 1
    START = 2
    RUN_ASYNC = 3
    START_ASYNC = 4


@dataclass
class Prepared:
    """A call that was told everything and has not begun."""

    call: _spile.Call
    plan: Plan
    check: bool
    elsewhere: list[str]
    handoffs: dict[str, Handoff] = field(default_factory=dict)
    readers: list[AsyncReader] = field(default_factory=list)
    feeders: list[Feeder] = field(default_factory=list)

    def leave_chunks(self) -> bool:
        """Nobody will take the chunks that somebody began to take. True where a stream is among them: its program may
        have no end, as when a pipe's reader goes."""
        streams = {file.name for file in self.plan.files if file.is_stream}
        left = [name for name, handoff in self.handoffs.items() if handoff.is_left()]
        for name in left:
            self.handoffs[name].discard()
        return not self.call.ended and not streams.isdisjoint(left)

    def result(self, check: bool | None = None) -> Result:
        """What an ended call came to; raises what a callback raised, and the call's failure where it is checked."""
        if self.call.exception is not None:
            raise self.call.exception
        raw = self.call.result
        if raw is None:
            raise RuntimeError("the call has not ended")
        result = Result(raw, self.plan, self.elsewhere, {name: h.rest() for name, h in self.handoffs.items()})
        error = None if result.ok else result.error
        if error is not None and ((self.check if check is None else check) or error.kind in NEVER_BEGAN):
            raise error
        return result


def _asked(outputs: Outputs) -> Mapping[str, Output]:
    if isinstance(outputs, (str, bytes)):
        raise TypeError("outputs is a mapping of names to where they go, or a list of names")
    return outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs)


def prepare(
    plan: Plan, files: Files | None, outputs: Outputs | None, values: Values | None, stdin: Stdin, options: Options,
    way: Way = Way.RUN,
) -> Prepared:
    """Makes a call and tells it everything."""
    trace = options.trace
    told = None if trace is None else lambda fields: trace(event_from(fields))
    call = _spile.Call(plan._raw, None if options.context is None else options.context._raw, options.raw(), told)
    asked = dict(_asked(outputs)) if outputs else {}
    if way in (Way.START, Way.START_ASYNC):
        for file in plan.files:
            if file.is_stream and file.flow is Flow.OUTPUT:
                asked.setdefault(file.name, CHUNKS)
    elif CHUNKS in asked.values():
        raise TypeError("outputs are taken as chunks from a call that is started: use spile.start")
    elsewhere = [name for name, target in asked.items() if target is not None and target is not bytes]
    prepared = Prepared(call, plan, options.check, elsewhere)
    for name, source in (files or {}).items():
        reader = tell_input(call, name, source, options.encoding, way is Way.START)
        if isinstance(reader, Feeder):
            prepared.feeders.append(reader)
        elif isinstance(reader, AsyncReader):
            if way not in (Way.RUN_ASYNC, Way.START_ASYNC):
                raise TypeError(f"'{name}' is an asynchronous iterable: use spile.run_async or spile.start_async")
            prepared.readers.append(reader)
    for name, target in asked.items():
        handoff = tell_output(call, name, target, options.force)
        if handoff is not None:
            prepared.handoffs[name] = handoff
    known = {value.name: value.is_list for value in plan.values} if values else {}
    for name, value in (values or {}).items():
        tell_value(call, name, value, known)
    if stdin is not None:
        _tell_stdin(call, stdin, options.encoding)
    return prepared


def _tell_stdin(call: _spile.Call, stdin: Stdin, encoding: str) -> None:
    by_program = stdin if isinstance(stdin, Mapping) else {0: stdin or b""}
    for program, data in by_program.items():
        try:
            call.stdin(program, data.encode(encoding) if isinstance(data, str) else data)
        except OSError as error:
            raise usage_error(f"program {program} can't be given standard input: {error.strerror}") from None


# ---------------------------------------------------------------------------------------------------- loops

_loops: deque[_spile.Loop] = deque()


def take_loop() -> _spile.Loop:
    try:
        return _loops.pop()
    except IndexError:
        return _spile.Loop()


def give_loop(loop: _spile.Loop) -> None:
    if loop.call_count == 0 and len(_loops) < POOLED_LOOPS:
        _loops.append(loop)


# In the child of a fork the parent's loops are dead.
os.register_at_fork(after_in_child=_loops.clear)


def signal_slice() -> int:
    """How long to wait at most between looks at signals, in nanoseconds: Python handles them in the main thread."""
    return MAIN_THREAD_SLICE_NS if threading.current_thread() is threading.main_thread() else (1 << 63) - 1


def run(
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
    """Runs programs as one call and returns what came out.

    Args:
        programs: templates, argument vectors, `Program`s, or one `Plan`.
        files: what goes in, by name. An input is bytes (or anything with the buffer protocol, which must not change
            until the call has ended), str (encoded as `encoding`), a `pathlib.Path`, a binary file object, a file
            descriptor, or an iterable of chunks. A name that no template holds is there in every program's directory.
            A name that ends in `/` is a tree: a path to a directory.
        outputs: where outputs go, by name: `bytes` (into the result, the default), a path, a binary file object, a
            file descriptor, or a callable that is given each chunk (for a pattern or a tree: the name and the chunk).
            Or a list of names to hand out beside the plan's outputs: intermediates, files no template names, patterns.
            Outputs are delivered only when the call has succeeded; a path is replaced at once or not at all.
        values: the text of each `{name}`; a list for `{name...}`.
        stdin: standard input of the first program, or a mapping of programs (from 0) to theirs.
        timeout: seconds for the whole call.
        limits: what it may use.
        check: raise a failure of the call; otherwise it is in the result's `error`. What keeps a call from beginning
            (a wrong template, a missing input) is raised all the same.
        env, inherit_env, cwd: as of `Program`, for all of them.
        stdout, stderr: the programs' standard streams where nothing else is said. Default: captured.
        jobs: programs at a time. Default: one for each processor.
        keep_going: after a failure, still run what does not depend on it.
        keep_terminal: leave the programs in this process's session and group.
        grace: seconds between TERM and KILL when the call is ended early. Default: one.
        encoding: of inputs given as str.
        force: replace files that are read-only.
        context: the pool of cells it runs in.
        trace: told of each `Event` while the call runs.
        require: promises (a name or several: see `doctor`) without which it fails rather than runs.
        private_path: an existing directory at which each program sees its private directory and is started, so that
            what it writes its path into is the same each time. It is covered for that program alone.

    Returns:
        The `Result`, a mapping of names to bytes.

    Raises:
        CallError: the call failed; one of its subclasses says how. What an input iterable, a file object or a callable
            raises ends the call and is raised as it is, and so is KeyboardInterrupt.

    >>> out = run("sort {<words} >{sorted}", files={"words": "b\\na\\n"})
    >>> out["sorted"]
    b'a\\nb\\n'
    """
    options = Options(timeout, limits, check, env, inherit_env, cwd, stdout, stderr, jobs, keep_going, keep_terminal,
                      grace, encoding, force, context, trace, require, private_path)
    return run_prepared(prepare(plan_of(programs), files, outputs, values, stdin, options))


def run_prepared(prepared: Prepared) -> Result:
    loop = take_loop()
    try:
        prepared.call.run(loop, signal_slice())
    finally:
        give_loop(loop)
    return prepared.result()


# -------------------------------------------------------------------------------------------------- started calls


class _Driver:
    """The thread of a started call. It knows nothing of the `Call` object, which may be let go meanwhile."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.loop = take_loop()
        self.ended = threading.Event()
        self.failure: BaseException | None = None
        self.pid = os.getpid()
        self.thread = threading.Thread(target=self.drive, name="spile call", daemon=True)
        _drivers.add(self)
        self.thread.start()

    def drive(self) -> None:
        call = self.prepared.call
        try:
            for feeder in self.prepared.feeders:
                feeder.start(call)
            call.attach(self.loop, None)
            while not call.ended:
                self.loop.step(-1)
        except BaseException as failure:
            self.failure = failure
        finally:
            give_loop(self.loop)
            self.ended.set()
            for feeder in self.prepared.feeders:
                feeder.stop()
            for handoff in self.prepared.handoffs.values():
                handoff.close()
            _drivers.discard(self)

    def cancel(self) -> None:
        if os.getpid() == self.pid:
            self.prepared.call.cancel()

    def join(self) -> None:
        """Waits for a cancelled call's end, which the grace bounds; a signal's exception comes after it."""
        pending: BaseException | None = None
        while os.getpid() == self.pid and not self.ended.is_set():
            try:
                self.ended.wait()
            except BaseException as interruption:
                pending = interruption
        if pending is not None:
            raise pending


_drivers: set[_Driver] = set()
os.register_at_fork(after_in_child=_drivers.clear)


@atexit.register
def _end_started() -> None:
    """A process that ends takes its calls with it: cleanly, while there is still an interpreter to run callbacks."""
    drivers = list(_drivers)
    for driver in drivers:
        driver.cancel()
    for driver in drivers:
        driver.join()


class Call:
    """A call that runs: what `spile.start` returns.

    A thread of its own drives it and calls callables; each input that is an iterable or a file object is read in one of
    its own, too, so that nothing stands still while it waits. As a context manager it waits for the end, and raises its
    failure where nothing else has; after an exception, or where a stream was not taken to its end, it is cancelled
    first. A call that is let go while it runs is cancelled.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._driver = _Driver(prepared)
        self._result: Result | None = None
        self._is_cancelled = False
        self._was_raised = False
        self._finalizer = weakref.finalize(self, self._driver.cancel)
        self._finalizer.atexit = False

    def cancel(self) -> None:
        """Ends the call: TERM, after the grace KILL. Returns at once; any thread, any number of times."""
        self._is_cancelled = True
        self._driver.cancel()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._driver.ended.is_set()

    def wait(self, timeout: float | None = None, *, check: bool | None = None) -> Result:
        """Waits for the end and returns the result. Chunks of outputs that nobody took are in it.

        Args:
            timeout: seconds to wait; the call goes on afterwards.
            check: as of `spile.run`. Default: as the call was started.

        Raises:
            TimeoutError: it runs on.
            CallError: it failed.
        """
        self._wait_end(timeout)
        if self._result is None:
            if self._driver.failure is not None:
                raise self._driver.failure
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

    def _wait_end(self, timeout: float | None) -> None:
        if os.getpid() != self._driver.pid:
            raise RuntimeError("the call belongs to the parent process, which started it")
        for handoff in self._prepared.handoffs.values():
            handoff.release()
        if not self._driver.ended.wait(timeout):
            raise TimeoutError(f"the call still runs after {timeout} s")

    def output(self, name: str) -> Iterator[bytes]:
        """The chunks of an output, as they come: of a stream while its program runs, of a file once the call ended.

        With `outputs={name: spile.CHUNKS}` the call hands out no more than is taken; otherwise the output lies in the
        result's memory first.

        Raises:
            CallError: the call failed, after the chunks there were; also where `check` is off.
            KeyError: the call has no such output.
        """
        handoff = self._prepared.handoffs.get(name)
        if handoff is not None:
            handoff.is_begun = True
        return self._stream(handoff) if handoff is not None else self._slices(name)

    def _stream(self, handoff: Handoff) -> Iterator[bytes]:
        if os.getpid() != self._driver.pid:
            raise RuntimeError("the call belongs to the parent process, which started it")
        while True:
            with handoff.changed:
                while not handoff.chunks and not handoff.is_closed:
                    handoff.changed.wait()
                chunk = handoff.take()
            if chunk is None:
                break
            yield chunk
        if self._driver.ended.is_set():
            self.wait(check=True)

    def _slices(self, name: str) -> Iterator[bytes]:
        result = self.wait(check=True)
        view = result.buffer(name)
        for start in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[start : start + CHUNK_BYTES])

    def __enter__(self) -> Call:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.cancel()
            self._driver.join()
            return
        if self._prepared.leave_chunks():
            self.cancel()
        try:
            if self._was_raised:
                self._wait_end(None)
            else:
                self.wait()
        except CallCancelledError:
            if not self._is_cancelled:
                raise
        except BaseException:
            if not self.done():
                self.cancel()
                self._driver.join()
            raise

    def __repr__(self) -> str:
        state = "ended" if self.done() else "running"
        return f"<spile.Call {state}: {'; '.join(program.text for program in self._prepared.plan.programs)}>"


def start(
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
) -> Call:
    """Starts programs as one call and returns at once; the arguments are those of `spile.run`.

    An output of `spile.CHUNKS` is taken chunk by chunk with `call.output(name)`.

    >>> with start("sort {<words} >{sorted}", files={"words": ["b\\n", "a\\n"]}) as call:
    ...     b"".join(call.output("sorted"))
    b'a\\nb\\n'
    """
    options = Options(timeout, limits, check, env, inherit_env, cwd, stdout, stderr, jobs, keep_going, keep_terminal,
                      grace, encoding, force, context, trace, require, private_path)
    return Call(prepare(plan_of(programs), files, outputs, values, stdin, options, Way.START))

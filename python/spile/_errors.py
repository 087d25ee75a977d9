"""The exceptions of the package.

Every failure of a call is a `CallError` that carries what a result does. A class for each kind lets callers catch what
they can act on; where Python has a word for it already (`TimeoutError`, `ValueError`, `FileNotFoundError`, `OSError`),
the kind is that too.
"""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ._programs import Plan
    from ._result import Result

__all__ = [
    "Error", "CallError", "TalkError", "UsageError", "TemplateError", "PlanError", "MissingInputError",
    "ProgramNotFoundError", "NotExecutableError", "ProgramError", "OutputMissingError", "InputChangedError",
    "InputError", "OutputError", "LimitError", "CallTimeoutError", "CallCancelledError", "StandstillError",
    "StreamError", "CallSystemError", "EndpointError", "TalkTimeoutError", "EndedError", "ReplyError", "OutOfStepError", "PromiseError",
]


class Info(NamedTuple):
    """What the library says about a failure."""

    kind: str
    errno: int
    program: int
    offset: int
    limit: str | None
    message: str


class Error(Exception):
    """The base of every exception that spile defines."""


class TalkError(Error):
    """A conversation failed.

    Attributes:
        kind: the kind's name, such as `"reply"`.
        reply: what had come of a reply, or None.
    """

    kind: str = "system"
    reply: str | None = None


class EndpointError(TalkError, OSError):
    """What an endpoint names can't be talked with, or the device failed."""


class TalkTimeoutError(TalkError, TimeoutError):
    """Something did not come in time."""

    kind = "timeout"


class EndedError(TalkError, EOFError):
    """The other side has ended."""


class ReplyError(TalkError):
    """The reply is an error."""


class OutOfStepError(TalkError):
    """An earlier reply is still to come, so nothing was asked."""


class CallError(Error):
    """A call failed. Each kind of failure is a subclass.

    Attributes:
        kind: the kind's name as in JSON reports, such as `"output_missing"`.
        program: the program it is about, counted from 0 in the order given, or None.
        result: the `Result`, with the partial outputs and what each program did; None where the call never began
            (a template that is wrong, say).
    """

    kind: str = "system"
    program: int | None = None
    result: Result | None = None

    @property
    def stderr(self) -> bytes:
        """What the program it is about wrote to standard error, or all of them where it is about none."""
        if self.result is None:
            return b""
        if self.program is None or not self.result.programs:
            return self.result.stderr
        return self.result.programs[self.program].stderr

    @property
    def stdout(self) -> bytes:
        """What the program it is about wrote to standard output, as `stderr`."""
        if self.result is None:
            return b""
        if self.program is None or not self.result.programs:
            return self.result.stdout
        return self.result.programs[self.program].stdout

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        number = self.errno if isinstance(self, OSError) else None
        return _rebuild, (type(self), self.args, self.__dict__, number)


def _rebuild(cls: type[CallError], args: tuple[Any, ...], state: dict[str, Any], number: int | None) -> CallError:
    error = cls(*args)
    error.__dict__.update(state)
    if isinstance(error, OSError) and number is not None:
        error.errno = number
    return error


class UsageError(CallError, ValueError):
    """The package was used wrongly: a name that climbs out, a value that no template has, ..."""


class TemplateError(CallError, ValueError):
    """A template's text is wrong; the message shows where.

    Attributes:
        offset: the place, counted in characters from the template's start, or None.
    """

    offset: int | None = None


class PlanError(CallError, ValueError):
    """The programs and files do not fit together."""


class MissingInputError(CallError, LookupError):
    """An input or a value was not given."""


class ProgramNotFoundError(CallError, FileNotFoundError):
    """A program does not exist."""


class NotExecutableError(CallError, PermissionError):
    """A program exists and cannot be executed."""


class ProgramError(CallError):
    """A program ended with a status it was not said to accept, or by a signal."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The program's words, as it was started."""
        if self.result is None or self.program is None:
            return ()
        return self.result.programs[self.program].argv

    @property
    def exit_status(self) -> int | None:
        """Its exit status, or None where a signal ended it."""
        if self.result is None or self.program is None:
            return None
        return self.result.programs[self.program].exit_status

    @property
    def signal(self) -> int | None:
        """The signal that ended it, or None."""
        if self.result is None or self.program is None:
            return None
        return self.result.programs[self.program].signal


class OutputMissingError(CallError):
    """A program ended well and its output is not there."""


class InputChangedError(CallError):
    """A program changed a file that is only its input: mark it `{<>name}`."""


class InputError(CallError, OSError):
    """Reading what goes in failed."""


class OutputError(CallError, OSError):
    """Delivering what comes out failed."""


class LimitError(CallError):
    """A limit other than the wall time was reached.

    Attributes:
        limit: which one, as `Limits` calls it: `"cpu"`, `"memory"`, `"output"`, `"program_memory"`, `"processes"`, `"open_files"`; None
            where it is none of a call's (of a `Pipe`, say).
    """

    limit: str | None = None


class CallTimeoutError(CallError, TimeoutError):
    """The deadline came."""


class CallCancelledError(CallError):
    """The call was cancelled."""


class StandstillError(CallError):
    """Everything waits for what will never come."""


class StreamError(CallError):
    """A program used a stream as a pipe can't be used; a seekable file (the mark without its bar) would do."""


class PromiseError(CallError):
    """A promise that was demanded, or a limit, can't be kept on this machine: see `doctor`."""


class CallSystemError(CallError, OSError):
    """The system refused something; `errno` says what."""


KINDS: dict[str, type[CallError]] = {
    "usage": UsageError,
    "template": TemplateError,
    "plan": PlanError,
    "missing": MissingInputError,
    "not_found": ProgramNotFoundError,
    "not_executable": NotExecutableError,
    "program": ProgramError,
    "output_missing": OutputMissingError,
    "input_changed": InputChangedError,
    "input": InputError,
    "output": OutputError,
    "limit": LimitError,
    "timeout": CallTimeoutError,
    "cancelled": CallCancelledError,
    "standstill": StandstillError,
    "stream": StreamError,
    "system": CallSystemError,
    "promise": PromiseError,
}

# With these nothing was run, so that there is no result to hand back: they are raised whatever `check` says.
NEVER_BEGAN = frozenset(("usage", "template", "plan", "missing", "promise"))


def usage_error(message: str) -> UsageError:
    error = UsageError(message)
    error.kind = "usage"
    return error


def _unmarked(plan: Plan, program: int) -> list[str]:
    """The unmarked words that name a file here: the commonest mistake."""
    hints = []
    for word in plan.programs[program].plain_words:
        name = word.partition("=")[2] if word.startswith("-") else word
        if name and os.path.isfile(name):
            hints.append(f"'{name}' exists here but is not marked: write {{<{name}}} and give its contents")
    return hints


def error_from(info: Info, plan: Plan | None = None, result: Result | None = None, template: str | None = None) -> CallError:
    """The exception for what the library says."""
    error_class = KINDS.get(info.kind, CallSystemError)
    lines = [info.message]
    if info.program >= 0 and plan is not None and info.kind in ("program", "output_missing"):
        lines += _unmarked(plan, info.program)
    error = error_class("\n".join(lines))
    error.kind = info.kind
    error.program = info.program if info.program >= 0 else None
    error.result = result
    if isinstance(error, OSError) and info.errno:
        error.errno = info.errno
    if isinstance(error, LimitError) and info.limit is not None:
        error.limit = info.limit.removeprefix("max_")
    if isinstance(error, TemplateError) and info.offset >= 0:
        text = os.fsencode(template)[: info.offset] if template is not None else b"x" * info.offset
        error.offset = len(os.fsdecode(text))
    return error

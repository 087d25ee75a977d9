"""Call file-based programs as functions.

A program that wants file names is handed bytes and gives bytes back; the files exist only in memory.

>>> import spile
>>> out = spile.run("sort {<words} >{sorted}", "wc -l {<sorted} >{count}", files={"words": b"b\\na\\n"})
>>> out["count"]
b'2 sorted\\n'
>>> sort = spile.function("sort {<words} >{sorted}")
>>> sort(b"b\\na\\n")
b'a\\nb\\n'

`run` blocks, `start` runs meanwhile, `run_async` and `start_async` are for asyncio, `function` makes a function. `open`
holds a conversation with a device. A failure is a `CallError` that says what failed and carries what there is.
"""
from ._async import AsyncCall, run_async, start_async
from ._call import Call, Limits, run, start
from ._doctor import Diagnosis, Finding, doctor
from ._errors import (
    CallCancelledError,
    CallError,
    CallSystemError,
    CallTimeoutError,
    EndedError,
    EndpointError,
    Error,
    InputChangedError,
    InputError,
    LimitError,
    MissingInputError,
    NotExecutableError,
    OutOfStepError,
    OutputError,
    OutputMissingError,
    PlanError,
    ProgramError,
    ProgramNotFoundError,
    PromiseError,
    ReplyError,
    StandstillError,
    StreamError,
    TalkError,
    TalkTimeoutError,
    TemplateError,
    UsageError,
)
from ._expect import EOF, TIMEOUT, Expected, Match, Patterns, Regex, regex
from ._files import CHUNKS, BinaryReader, BinaryWriter, Input, Output
from ._function import Function, function
from ._pipe import Pipe
from ._programs import (
    Context,
    File,
    FileInfo,
    Flow,
    Plan,
    Program,
    ProgramInfo,
    Role,
    Stdio,
    UseInfo,
    Value,
    ValueInfo,
    quote,
)
from ._result import Event, OutputInfo, ProgramResult, Result, StreamResult
from ._spile import version as __version__
from ._talk import Endpoint, Talk, open
from ._talk_async import AsyncTalk, open_async
from ._talk_bytes import TalkBytes

CAPTURE = Stdio.CAPTURE
INHERIT = Stdio.INHERIT
NULL = Stdio.NULL

__all__ = [
    "CAPTURE", "CHUNKS", "EOF", "INHERIT", "NULL", "TIMEOUT", "AsyncCall", "AsyncTalk", "BinaryReader", "BinaryWriter",
    "Call", "CallCancelledError", "CallError", "CallSystemError", "CallTimeoutError", "Context", "Diagnosis",
    "EndedError", "Endpoint", "EndpointError", "Error", "Event", "Expected", "File", "FileInfo", "Finding", "Flow",
    "Function", "Input", "InputChangedError", "InputError", "LimitError", "Limits", "Match", "MissingInputError",
    "NotExecutableError", "OutOfStepError", "Output", "OutputError", "OutputInfo", "OutputMissingError", "Patterns",
    "Pipe", "Plan", "PlanError", "Program", "ProgramError", "ProgramInfo", "ProgramNotFoundError", "ProgramResult",
    "PromiseError", "Regex", "ReplyError", "Result", "Role", "StandstillError", "Stdio", "StreamError", "StreamResult",
    "Talk", "TalkBytes", "TalkError", "TalkTimeoutError", "TemplateError", "UsageError", "UseInfo", "Value",
    "ValueInfo", "doctor", "function", "open", "open_async", "quote", "regex", "run", "run_async", "start",
    "start_async", "__version__",
]

for _item in list(globals().values()):  # tracebacks and pickles name what users import
    if isinstance(_item, type) and _item.__module__.startswith("spile._"):
        _item.__module__ = "spile"
del _item

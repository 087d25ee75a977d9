"""Programs and plans: what a call is made of, before anything runs."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Any, NamedTuple, Union

from . import _spile
from ._errors import Info, error_from

__all__ = [
    "Context", "File", "FileInfo", "Flow", "Plan", "Program", "ProgramInfo", "Role", "Stdio", "UseInfo", "Value",
    "ValueInfo", "quote",
]

StrPath = Union[str, "os.PathLike[str]"]
Environment = Mapping[str, Union[str, None]]


class Stdio(IntEnum):
    """What a program's standard output or error is, where no file is tied to it."""

    DEFAULT = 0
    """As the call says; there: captured."""
    NULL = 1
    INHERIT = 2
    """The host's own; of standard error the tail is kept all the same."""
    CAPTURE = 3
    """All of it, handed out by the result."""


class Role(IntEnum):
    """What a program does with a file."""

    READ = 1
    WRITE = 2
    CHANGE = 3
    APPEND = 4


class Flow(IntEnum):
    """What a file is to the whole plan."""

    INPUT = 1
    OUTPUT = 2
    INTERMEDIATE = 3
    INPUT_OUTPUT = 4
    """Given, changed in place, comes out."""


class Containment(Enum):
    AUTO = 0
    NAMESPACE = 1
    REAPER = 2
    NONE = 3


@dataclass(frozen=True)
class File:
    """A file in a program made without template text: see `Program.from_parts`.

    `name` is the file's name as the program sees it, taken as it stands.
    """

    name: str
    role: Role = Role.READ
    stream: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Value:
    """A value in a program made without template text; with `many`, a list of values, one argument each."""

    name: str
    many: bool = False


Part = Union[str, File, Value]
Word = Union[Part, tuple[Part, ...]]


def env_strings(env: Environment | None) -> tuple[str, ...] | None:
    """The library's form of an environment; None as a value removes the variable."""
    if env is None:
        return None
    for name in env:
        if not name or "=" in name:
            raise ValueError(f"{name!r} is no name for an environment variable")
    return tuple(name if value is None else f"{name}={value}" for name, value in env.items())


class _Parts(NamedTuple):
    words: tuple[tuple[tuple[int, str, int], ...], ...]
    files: tuple[tuple[str, int, int, int], ...]
    variables: tuple[tuple[str, tuple[tuple[int, str, int], ...]], ...]
    ties: tuple[tuple[int, int], ...]
    is_merged: bool


class Program:
    """One command and how it runs.

    Args:
        command: a template (`"rgbasm {<A.asm} -o {>A.o}"`), or an argument vector, already split, in which only the
            marks `{...}` live. A template with bars is several programs; the options hold for each.
        env: variables added to what is inherited; None as a value removes one.
        inherit_env: False makes `env` all there is.
        cwd: working directory. Default: the call's, or else its private directory.
        ok_status: exit statuses that are a success, one or several. Default: 0.
        stdout, stderr: what they are where no file is tied to them. Default: captured.

    A program never changes; it can be compared, hashed and pickled.

    >>> import spile
    >>> spile.Program("diff {<a} {<b}", ok_status=(0, 1))
    spile.Program('diff {<a} {<b}', ok_status=(0, 1))
    """

    __slots__ = ("command", "_env", "inherit_env", "cwd", "ok_status", "stdout", "stderr", "_parts", "_is_piped")

    command: str | tuple[str, ...]
    inherit_env: bool
    cwd: str | None
    ok_status: tuple[int, ...] | None
    stdout: Stdio
    stderr: Stdio
    _env: tuple[str, ...] | None
    _parts: _Parts | None
    _is_piped: bool

    def __init__(
        self,
        command: str | Sequence[StrPath],
        *,
        env: Environment | None = None,
        inherit_env: bool = True,
        cwd: StrPath | None = None,
        ok_status: int | Iterable[int] | None = None,
        stdout: Stdio = Stdio.DEFAULT,
        stderr: Stdio = Stdio.DEFAULT,
    ) -> None:
        if isinstance(command, str):
            self.command = command
        elif isinstance(command, (bytes, bytearray)) or not isinstance(command, Sequence):
            raise TypeError(f"a program is a template (str) or a sequence of words, not {type(command).__name__}")
        else:
            self.command = tuple(_word_text(word) for word in command)
        self._env = env_strings(env)
        self.inherit_env = inherit_env
        self.cwd = None if cwd is None else os.fspath(cwd)
        self.ok_status = (ok_status,) if isinstance(ok_status, int) else None if ok_status is None else tuple(ok_status)
        self.stdout = Stdio(stdout)
        self.stderr = Stdio(stderr)
        self._parts = None
        self._is_piped = False

    @classmethod
    def from_parts(
        cls,
        *words: Word,
        side: Iterable[File] = (),
        variables: Mapping[str, Word] | None = None,
        stdin: File | None = None,
        stdout: File | Stdio = Stdio.DEFAULT,
        stderr: File | Stdio = Stdio.DEFAULT,
        merge_stderr: bool = False,
        piped: bool = False,
        env: Environment | None = None,
        inherit_env: bool = True,
        cwd: StrPath | None = None,
        ok_status: int | Iterable[int] | None = None,
    ) -> Program:
        """A program made without any template text, for callers that build their graph from data.

        Args:
            words: the argument vector. A word is text, taken as it stands; a `File`, replaced by its path; a `Value`;
                or a tuple of them, concatenated.
            side: files it uses that are not on its command line.
            variables: environment variables, each a word.
            stdin, stdout, stderr: files its standard streams are tied to.
            merge_stderr: send standard error where standard output goes.
            piped: its standard output is the next program's standard input.

        >>> from spile import File, Role
        >>> program = Program.from_parts("sort", File("a {b}.txt"), stdout=File("sorted", Role.WRITE))
        >>> program
        spile.Program.from_parts('sort', 'a {b}.txt')
        """
        files: dict[str, tuple[int, File, bool]] = {}

        def number_of(file: File, is_side: bool = False) -> int:
            number, known, was_side = files.get(file.name, (len(files), file, True))
            if known != file:
                raise ValueError(f"'{file.name}' is used in two ways by one program")
            files[file.name] = (number, file, was_side and is_side)
            return number

        def part_of(part: Part) -> tuple[int, str, int]:
            if isinstance(part, str):
                return 1, part, 0
            if isinstance(part, File):
                return 2, "", number_of(part)
            if isinstance(part, Value):
                return (4 if part.many else 3), part.name, 0
            raise TypeError(f"a part of a word is str, File or Value, not {type(part).__name__}")

        def parts_of(word: Word) -> tuple[tuple[int, str, int], ...]:
            return tuple(map(part_of, word)) if isinstance(word, tuple) else (part_of(word),)

        word_parts = tuple(map(parts_of, words))
        variable_parts = tuple((name, parts_of(word)) for name, word in (variables or {}).items())
        streams = (stdin, stdout, stderr)
        ties = tuple((fd, number_of(file)) for fd, file in enumerate(streams) if isinstance(file, File))
        for file in side:
            number_of(file, True)
        program = cls(
            [_show_word(word) for word in words],
            env=env,
            inherit_env=inherit_env,
            cwd=cwd,
            ok_status=ok_status,
            stdout=stdout if isinstance(stdout, Stdio) else Stdio.DEFAULT,
            stderr=stderr if isinstance(stderr, Stdio) else Stdio.DEFAULT,
        )
        program._parts = _Parts(
            word_parts,
            tuple(
                (file.name, int(file.role), int(file.stream), int(is_side) | int(file.optional) << 1)
                for _, file, is_side in files.values()
            ),
            variable_parts,
            ties,
            merge_stderr,
        )
        program._is_piped = piped
        return program

    @property
    def env(self) -> dict[str, str | None] | None:
        """The variables, as given."""
        if self._env is None:
            return None
        split = (entry.partition("=") for entry in self._env)
        return {name: value if sign else None for name, sign, value in split}

    def _key(self) -> tuple[Any, ...]:
        return (self.command, self._env, self.inherit_env, self.cwd, self.ok_status, self.stdout, self.stderr,
                self._parts, self._is_piped)

    def _spec(self) -> tuple[str, Any, tuple[Any, ...], bool]:
        options = (self._env, 0 if self.inherit_env else 1, self.cwd, self.ok_status, int(self.stdout), int(self.stderr))
        if self._parts is not None:
            return "parts", self._parts, options, self._is_piped
        return ("template" if isinstance(self.command, str) else "vector"), self.command, options, False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        if self._parts is not None and isinstance(self.command, tuple):
            return f"spile.Program.from_parts({', '.join(map(repr, self.command))})"
        shown = [repr(self.command if isinstance(self.command, str) else list(self.command))]
        for name, value, default in (
            ("env", self.env, None),
            ("inherit_env", self.inherit_env, True),
            ("cwd", self.cwd, None),
            ("ok_status", self.ok_status, None),
            ("stdout", self.stdout, Stdio.DEFAULT),
            ("stderr", self.stderr, Stdio.DEFAULT),
        ):
            if value != default:
                shown.append(f"{name}={value!r}")
        return f"spile.Program({', '.join(shown)})"


def _word_text(word: StrPath) -> str:
    text = os.fspath(word)
    if not isinstance(text, str):
        raise TypeError(f"a word is str or a path, not {type(word).__name__}")
    return text


def _show_word(word: Word) -> str:
    if isinstance(word, tuple):
        return "".join(map(_show_word, word))
    return word if isinstance(word, str) else word.name


class ProgramInfo(NamedTuple):
    """One program of a plan."""

    text: str
    """Its command as it was written; a vector's words are quoted."""
    name: str
    group: int
    """Programs of one group run at the same time."""
    is_piped: bool
    plain_words: tuple[str, ...]
    """Its unmarked words but the first."""


class FileInfo(NamedTuple):
    """One file of a plan."""

    name: str
    flow: Flow
    is_stream: bool
    is_pattern: bool
    is_tree: bool
    is_optional: bool
    """An output that may be missing afterwards."""
    is_given_optional: bool
    """An input that need not be given."""


class UseInfo(NamedTuple):
    """How one program uses one file."""

    program: int
    file: int
    role: Role
    is_stream: bool
    flags: int
    stdio_fd: int | None
    offset: int | None
    """Of its mark, in bytes from the template's start."""
    producer: int | None
    """The program whose version it reads, or None: what was given."""


class ValueInfo(NamedTuple):
    """One value of a plan; a list where it was written `{name...}`."""

    name: str
    is_list: bool


AnyProgram = Union[str, Sequence[StrPath], Program]


def _none_if_negative(number: int) -> int | None:
    return None if number < 0 else number


class Plan:
    """Programs and the files that tie them together, checked; immutable, shared by threads, run any number of times.

    `spile.run` and its like make one from their programs; making it beforehand checks the templates early.

    Args:
        programs: templates, vectors or `Program`s.
        optional: outputs that may be missing afterwards.
        direct: streams that are plain pipes of the kernel between their two programs: the fastest there is, where
            nothing is counted or limited, a second open does not begin anew, and misuse is not seen.

    Raises:
        TemplateError, PlanError, UsageError: what is wrong with them.

    >>> plan = Plan("as {<a.s} -o {>a.o}", "ld {<a.o} -o {>prog}")
    >>> plan.inputs, plan.outputs
    (('a.s',), ('prog',))
    """

    __slots__ = ("_raw", "_sources", "_optional", "_direct", "programs", "files", "values", "__weakref__")

    programs: tuple[ProgramInfo, ...]
    files: tuple[FileInfo, ...]
    values: tuple[ValueInfo, ...]

    def __init__(
        self, *programs: AnyProgram, optional: Iterable[str] = (), direct: Iterable[str] = ()
    ) -> None:
        self._sources = tuple(p if isinstance(p, Program) else Program(p) for p in programs)
        self._optional = tuple(optional)
        self._direct = tuple(direct)
        specs = [program._spec() for program in self._sources]
        try:
            self._raw = _spile.Plan(specs, self._optional, self._direct)
        except _spile.Refused as refused:
            info = Info(*refused.args)
            raise error_from(info, template=self._template_of(info)) from None
        self.programs = tuple(
            ProgramInfo(text, name, group, bool(piped), tuple(words))
            for text, name, group, piped, words in self._raw.programs()
        )
        self.files = tuple(
            FileInfo(name, Flow(flow), bool(kind), bool(pattern), bool(tree), bool(optional), bool(given))
            for name, flow, kind, pattern, tree, optional, given in self._raw.files()
        )
        self.values = tuple(ValueInfo(name, bool(many)) for name, many in self._raw.values())

    def _template_of(self, info: Info) -> str | None:
        """The text an error's offset counts in: known where there is only one."""
        texts = [program.command for program in self._sources if isinstance(program.command, str)]
        return texts[0] if len(texts) == 1 else None

    @property
    def uses(self) -> tuple[UseInfo, ...]:
        """Which program uses which file how, in written order."""
        return tuple(
            UseInfo(program, file, Role(role), bool(kind), flags, _none_if_negative(fd), _none_if_negative(offset),
                    _none_if_negative(producer))
            for program, file, role, kind, flags, fd, offset, producer in self._raw.uses()
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what goes in, in order of appearance."""
        return tuple(file.name for file in self.files if file.flow in (Flow.INPUT, Flow.INPUT_OUTPUT))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what comes out, in order of appearance."""
        return tuple(file.name for file in self.files if file.flow in (Flow.OUTPUT, Flow.INPUT_OUTPUT))

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake_plan, (self._sources, self._optional, self._direct)

    def __repr__(self) -> str:
        shown = [repr(program.command) if program == Program(program.command) else repr(program) for program in self._sources]
        if self._optional:
            shown.append(f"optional={self._optional!r}")
        if self._direct:
            shown.append(f"direct={self._direct!r}")
        return f"spile.Plan({', '.join(shown)})"


def _remake_plan(sources: tuple[Program, ...], optional: tuple[str, ...], direct: tuple[str, ...]) -> Plan:
    return Plan(*sources, optional=optional, direct=direct)


@lru_cache(maxsize=128)
def _cached_plan(programs: tuple[str | tuple[str, ...] | Program, ...]) -> Plan:
    return Plan(*programs)


def plan_of(programs: tuple[AnyProgram | Plan, ...]) -> Plan:
    """The plan of what a caller gave; of the same programs the same plan, as `re` does with patterns."""
    if len(programs) == 1 and isinstance(programs[0], Plan):
        return programs[0]
    key: list[str | tuple[str, ...] | Program] = []
    for program in programs:
        if isinstance(program, Plan):
            raise TypeError("a plan stands alone: programs can't be added to it")
        if isinstance(program, (str, Program)):
            key.append(program)
        else:
            command = Program(program).command
            key.append(command)
    return _cached_plan(tuple(key))


def quote(text: StrPath) -> str:
    """Text that a template takes literally, as one word.

    >>> quote("it's {x}")
    "'it'\\\\''s {x}'"
    """
    return _spile.quote(text)


class Context:
    """The pool of supervised places in which calls run. Calls that name none share one that the library keeps.

    Args:
        containment: how much of "nothing is left behind" is asked for at most: `"auto"` (the best there is),
            `"namespace"`, `"reaper"` or `"none"`. Only `"auto"` falls back; with any other a call fails where the
            system refuses it.
        idle_cells: cells kept for the next call. Default: one for each processor, at most 8.
        cell_path: the spile-cell helper. Default: `$SPILE_CELL`, then where it was installed.

    It may be used from many threads, and as a context manager.
    """

    __slots__ = ("_raw",)

    def __init__(self, containment: str = "auto", *, idle_cells: int = 0, cell_path: StrPath | None = None) -> None:
        try:
            number = Containment[containment.upper()].value
        except KeyError:
            names = ", ".join(item.name.lower() for item in Containment)
            raise ValueError(f"no such containment: {containment!r}; there are {names}") from None
        self._raw = _spile.Context(number, idle_cells, cell_path)

    def prepare(self, count: int) -> None:
        """Starts cells ahead of the first call, without waiting for them: `count` in all."""
        self._raw.prepare(count)

    def close(self) -> None:
        """Ends the idle cells. RuntimeError while calls still run in it; closing twice is fine."""
        self._raw.close()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

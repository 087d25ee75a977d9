"""Programs as functions: inputs in order of appearance, values by keyword."""
from __future__ import annotations

import inspect
import keyword
import os
import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import fields, replace
from functools import lru_cache
from itertools import count
from typing import Any, Literal, overload

from . import _spile
from ._async import run_async
from ._call import Call, Options, Prepared, Way, prepare, give_loop, run_prepared, signal_slice, take_loop
from ._errors import usage_error
from ._files import CHUNKS, Input
from ._programs import AnyProgram, FileInfo, Flow, Plan, plan_of
from ._result import Result, pattern_matches

__all__ = ["Function", "function"]


@lru_cache(maxsize=256)
def _record_class(names: tuple[str, ...]) -> Any:
    """The named tuple of some outputs. It is pickled by its names: another process makes its own."""
    identifiers = _identifiers(names)
    base = namedtuple("Outputs", identifiers)  # type: ignore[misc]  # its fields are known only now
    return type("Outputs", (base,), {"__slots__": (), "__reduce__": lambda self: (_remake_record, (names, tuple(self)))})


def _remake_record(names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return _record_class(names)(*values)


def _identifiers(names: Iterable[str]) -> list[str]:
    """A distinct identifier for each name: 'game.gb' is game_gb."""
    found: list[str] = []
    for name in names:
        base = re.sub(r"\W+", "_", name).strip("_") or "file"
        if base[0].isdigit():
            base = "n" + base
        if keyword.iskeyword(base):
            base += "_"
        choice = base
        for number in count(2):
            if choice not in found:
                break
            choice = f"{base}_{number}"
        found.append(choice)
    return found


def _is_many(name: str, plan_file: FileInfo | None) -> bool:
    if plan_file is not None:
        return plan_file.is_pattern or plan_file.is_tree
    return name.endswith("/") or any(mark in name for mark in "*?[")


class Function:
    """A plan that is called like a function: what `spile.function` returns.

    Attributes:
        plan: the `Plan`.
        inputs: the names of its positional arguments, in order.
        outputs: the names of what it returns, in order.
    """

    plan: Plan
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __init__(self, plan: Plan, name: str | None, outputs: Iterable[str] | None, options: Options) -> None:
        if isinstance(outputs, str):
            raise TypeError("outputs is a list of names")
        self.plan = plan
        self.inputs = plan.inputs
        self.outputs = plan.outputs if outputs is None else tuple(outputs)
        self._asked = None if outputs is None else self.outputs
        self._options = options
        self._name = name
        by_name = {file.name: file for file in plan.files}
        self._many = frozenset(name for name in self.outputs if _is_many(name, by_name.get(name)))
        self._optional = frozenset(name for name, file in by_name.items() if file.is_optional)
        self._required = tuple(name for name, file in by_name.items() if name in self.inputs and not file.is_given_optional)
        self._values = frozenset(value.name for value in plan.values)
        self.__name__ = name or plan.programs[-1].name
        self.__qualname__ = self.__name__
        self.__doc__ = self._describe()
        self.__signature__ = self._make_signature(by_name)

    def _describe(self) -> str:
        lines = ["Runs " + "; ".join(program.text for program in self.plan.programs) + "."]
        if self.inputs:
            lines.append("Takes, in this order: " + ", ".join(self.inputs) + ".")
        if self.plan.values:
            lines.append("Values by keyword: " + ", ".join(value.name for value in self.plan.values) + ".")
        lines.append("Returns " + (", ".join(self.outputs) or "the last program's standard output") + ".")
        return "\n\n".join(lines)

    def _make_signature(self, by_name: Mapping[str, FileInfo]) -> inspect.Signature:
        parameters = []
        is_default = False
        for name, identifier in zip(self.inputs, _identifiers(self.inputs)):
            is_default = is_default or by_name[name].is_given_optional
            default = None if is_default else inspect.Parameter.empty
            parameters.append(inspect.Parameter(identifier, inspect.Parameter.POSITIONAL_ONLY, default=default))
        for value in self.plan.values:
            parameters.append(inspect.Parameter(value.name, inspect.Parameter.KEYWORD_ONLY))
        returned: Any = bytes
        if len(self.outputs) == 1 and self.outputs[0] in self._many:
            returned = dict
        elif len(self.outputs) > 1:
            returned = _record_class(self.outputs)
        return inspect.Signature(parameters, return_annotation=returned)

    # ---------------------------------------------------------------------------------------------- one call

    def _prepare(self, inputs: tuple[Any, ...], values: Mapping[str, Any], way: Way = Way.RUN) -> Prepared:
        return prepare(self.plan, self._bind(inputs, values), self._asked, values, None, self._options, way)

    def _bind(self, inputs: tuple[Any, ...], values: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs by name; a call that does not fit is a TypeError, as with any function."""
        if len(inputs) > len(self.inputs):
            raise TypeError(f"{self.__name__}() takes {len(self.inputs)} inputs ({', '.join(self.inputs)}), "
                            f"{len(inputs)} were given")
        files = {name: source for name, source in zip(self.inputs, inputs) if source is not None}
        missing = [name for name in self._required if name not in files]
        if missing:
            raise TypeError(f"{self.__name__}() misses input {', '.join(map(repr, missing))}")
        if values.keys() != self._values:
            raise self._values_error(values)
        return files

    def _values_error(self, values: Mapping[str, Any]) -> TypeError:
        known = [value.name for value in self.plan.values]
        unknown = [name for name in values if name not in self._values]
        if unknown:
            return TypeError(f"{self.__name__}() has no value {', '.join(map(repr, unknown))}; "
                             f"it has: {', '.join(known) or 'none'}")
        missing = [name for name in known if name not in values]
        return TypeError(f"{self.__name__}() misses the value {', '.join(map(repr, missing))}: give it by keyword")

    def value_of(self, result: Result) -> Any:
        """What the function returns for a `Result` of its plan."""
        values = tuple(self._output_value(result, name) for name in self.outputs)
        if not values:
            return result.programs[-1].stdout
        return values[0] if len(values) == 1 else _record_class(self.outputs)(*values)

    def _output_value(self, result: Result, name: str) -> Any:
        if name in self._many:
            return {found: result[found] for found in result if pattern_matches(name, found)}
        if name in self._optional:
            return result.get(name)
        return result[name]

    def __call__(self, *inputs: Input | None, **values: Any) -> Any:
        """Runs the call. One output is returned as bytes, several as a named tuple; a pattern or a tree as a dict of
        names to bytes; an optional one that is missing as None. Without outputs: the last program's standard output.

        Raises:
            CallError: the call failed.
            TypeError: inputs or values do not fit.
        """
        return self.value_of(run_prepared(self._prepare(inputs, values)))

    def run(self, *inputs: Input | None, **values: Any) -> Result:
        """The same, and returns the `Result`."""
        return run_prepared(self._prepare(inputs, values))

    def start(self, *inputs: Input | None, **values: Any) -> Call:
        """The same, as `spile.start` does."""
        return Call(self._prepare(inputs, values, Way.START))

    async def run_async(self, *inputs: Any, **values: Any) -> Any:
        """The same on the running asyncio loop; returns what the function returns."""
        how = {item.name: getattr(self._options, item.name) for item in fields(self._options)}
        files = self._bind(inputs, values)
        result = await run_async(self.plan, files=files, outputs=self._asked, values=values, **how)
        return self.value_of(result)

    # ---------------------------------------------------------------------------------------------- many calls

    @overload
    def map(
        self, *iterables: Iterable[Any], jobs: int | None = None, ordered: Literal[True] = True,
        progress: Callable[[int, int | None], object] | None = None, **values: Any,
    ) -> Iterator[Any]: ...

    @overload
    def map(
        self, *iterables: Iterable[Any], jobs: int | None = None, ordered: Literal[False],
        progress: Callable[[int, int | None], object] | None = None, **values: Any,
    ) -> Iterator[tuple[int, Any]]: ...

    def map(
        self, *iterables: Iterable[Any], jobs: int | None = None, ordered: bool = True,
        progress: Callable[[int, int | None], object] | None = None, **values: Any,
    ) -> Iterator[Any]:
        """Calls the function for each item, several at a time, in one thread.

        Args:
            iterables: one for each input, as with the built-in `map`; they are read as far as needed.
            jobs: calls at a time. Default: one for each processor this process may use.
            ordered: yield what the function returns in the order of the items. False: yield pairs (number of the item,
                what the function returns) as they complete.
            progress: called after each call with how many are done, and how many there are (None where an iterable
                does not say).
            values: the same for each call.

        Calls make progress while the next item is waited for. The first failure is raised where its item would have
        been, and ends the calls that run; so does closing the iterator.

        >>> import spile
        >>> upper = spile.function("tr a-z A-Z <{text} >{result}")
        >>> list(upper.map([b"one", b"two"], jobs=2))
        [b'ONE', b'TWO']
        """
        if not iterables:
            raise TypeError("map() needs an iterable for each input")
        if jobs is not None and jobs < 1:
            raise ValueError(f"jobs is {jobs!r}: at least one call runs at a time")
        total = min((len(items) for items in iterables if isinstance(items, Sized)), default=None)
        at_a_time = jobs or len(os.sched_getaffinity(0))
        return _Mapping(self, zip(*iterables), at_a_time, ordered, progress, total, values).results()

    # ---------------------------------------------------------------------------------------------- the rest

    def with_options(self, **options: Any) -> Function:
        """The same function with other options: those of `spile.function`."""
        return Function(self.plan, self._name, self._asked, replace(self._options, **options))

    def __reduce__(self) -> tuple[Any, ...]:
        return Function, (self.plan, self._name, self._asked, self._options)

    def __repr__(self) -> str:
        commands = "; ".join(program.text for program in self.plan.programs)
        inputs = ", ".join([*self.inputs, *(f"{value.name}=" for value in self.plan.values)])
        return f"<spile.function ({inputs}) -> {', '.join(self.outputs) or 'stdout'}: {commands}>"


class _Mapping:
    """The calls of one `map`, all on one loop."""

    def __init__(
        self, mapped: Function, items: Iterator[tuple[Any, ...]], jobs: int, ordered: bool,
        progress: Callable[[int, int | None], object] | None, total: int | None, values: Mapping[str, Any],
    ) -> None:
        self.function = mapped
        self.items = items
        self.jobs = jobs
        self.ordered = ordered
        self.progress = progress
        self.total = total
        self.values = values
        self.running: dict[int, Prepared] = {}
        self.ended: dict[int, Prepared] = {}  # and not handed out yet
        self.started = self.done = self.handed_out = 0
        self.is_exhausted = False

    def fill(self, loop: _spile.Loop) -> None:
        """Starts calls while there is room; what waits to be handed out in order is bounded as well."""
        while not self.is_exhausted and len(self.running) < self.jobs and len(self.ended) <= self.jobs:
            try:
                item = next(self.items)
            except StopIteration:
                self.is_exhausted = True
                return
            prepared = self.function._prepare(item, self.values)
            number = self.started
            self.started += 1
            self.running[number] = prepared
            prepared.call.attach(loop, None)

    def collect(self) -> None:
        for number in [number for number, prepared in self.running.items() if prepared.call.ended]:
            self.ended[number] = self.running.pop(number)
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, self.total)

    def ready(self) -> int | None:
        if not self.ordered:
            return next(iter(self.ended), None)
        return self.handed_out if self.handed_out in self.ended else None

    def results(self) -> Iterator[Any]:
        loop = take_loop()
        try:
            while True:
                self.fill(loop)
                number = self.ready()
                if number is not None:
                    prepared = self.ended.pop(number)
                    self.handed_out += 1
                    value = self.function.value_of(prepared.result())
                    yield value if self.ordered else (number, value)
                elif self.running:
                    loop.step(signal_slice())
                    self.collect()
                elif self.is_exhausted:
                    return
        finally:
            for prepared in self.running.values():
                prepared.call.cancel()
            for prepared in self.running.values():
                prepared.call.finish()
            give_loop(loop)


def function(
    *programs: AnyProgram | Plan,
    name: str | None = None,
    outputs: Iterable[str] | None = None,
    **options: Any,
) -> Function:
    """Makes a function of programs: inputs positional in order of appearance, values by keyword.

    Args:
        programs: as of `spile.run`. They are checked now.
        name: what the function is called. Default: the last program's name.
        outputs: the names to return, where they are not the plan's outputs in order of appearance.
        options: `timeout`, `limits`, `env`, `inherit_env`, `cwd`, `stdout`, `stderr`, `jobs`, `keep_going`,
            `keep_terminal`, `grace`, `encoding`, `require`, `private_path`, `context` and `trace` of `spile.run`, for each call.

    The function can be pickled (but for `context` and `trace`), so that `concurrent.futures`, Dask or Celery carry it.

    Raises:
        TemplateError, PlanError: the programs are wrong.

    >>> import spile
    >>> count = spile.function("wc {option} <{text} >{count}", name="count")
    >>> count
    <spile.function (text, option=) -> count: wc {option} <{text} >{count}>
    >>> count(b"a b c", option="-w")
    b'3\\n'
    """
    unknown = [key for key in options if key not in _FUNCTION_OPTIONS]
    if unknown:
        raise TypeError(f"function() has no option {', '.join(map(repr, unknown))}")
    return Function(plan_of(programs), name, outputs, Options(**options))


_FUNCTION_OPTIONS = frozenset(item.name for item in fields(Options)) - {"check", "force"}

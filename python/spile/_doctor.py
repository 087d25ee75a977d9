"""What this machine grants to calls, which promises hold, and how to get the others."""
from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from . import _spile
from ._programs import Containment, Context

__all__ = ["Diagnosis", "Finding", "doctor"]

_BITS = {name: 1 << index for index, name in enumerate(_spile.promises())}


def promise_bits(names: str | Iterable[str]) -> int:
    bits = 0
    for name in (names,) if isinstance(names, str) else names:
        try:
            bits |= _BITS[name]
        except KeyError:
            raise ValueError(f"no such promise: {name!r}; there are {', '.join(_BITS)}") from None
    return bits


class Finding(NamedTuple):
    """A promise, or something that the machine grants or not."""

    name: str
    holds: bool
    text: str
    """What is the case."""
    cure: str | None
    """How to get it; None where it holds, or nothing is known to help."""


class Diagnosis(NamedTuple):
    """What `doctor` found, by name."""

    containment: str
    """`"namespace"`, `"reaper"` or `"none"`: how calls are kept together."""
    promises: dict[str, Finding]
    machine: dict[str, Finding]


def doctor(context: Context | None = None) -> Diagnosis:
    """Tells what calls in a context can rely on here. A call demands a promise by `require`.

    The promises are `contained`, `private`, `files`, `program_memory`, `processes`, `no_swap`, `standstill` and
    `private_path`; each has its text, and where it does not hold its cure.

    >>> found = doctor()
    >>> found.promises["contained"].holds
    True
    """
    if context is not None and not isinstance(context, Context):
        raise TypeError(f"a context is a Context, not {type(context).__name__}")
    containment, findings = _spile.doctor(None if context is None else context._raw)
    promises: dict[str, Finding] = {}
    machine: dict[str, Finding] = {}
    for is_promise, name, holds, text, cure in findings:
        (promises if is_promise else machine)[name] = Finding(name, bool(holds), text, cure)
    return Diagnosis(Containment(containment).name.lower(), promises, machine)

"""Expecting: a marker behind 1, 4, 16, 64 MB of text that is kept, in C and from Python; round trips as pexpect's scripts make them."""
from __future__ import annotations

from collections.abc import Callable

from table import PYTHON, SOURCE, Part, Round, Row, Setting, python_environment, run_measuring

SIZES = (1, 4, 16, 64)
QUICK_SIZES = (1, 4)


def sized(setting: Setting, measure: Callable[[int], list[object]], env: dict[str, str] | None) -> tuple[list[Round], str]:
    sizes = QUICK_SIZES if setting.is_quick else SIZES
    rounds = []
    for _ in range(1 if setting.is_quick else 3):
        found: Round = {}
        for size in sizes:
            measured = run_measuring(measure(size), env)
            found |= {f"{name}-{size}": value for name, value in measured.items()}
        rounds.append(found)
    return rounds, f"{len(rounds)} rounds of {', '.join(map(str, sizes))} MB"


def measure_c(setting: Setting) -> tuple[list[Round], str]:
    return sized(setting, lambda size: [setting.program("expect"), size, 3 if setting.is_quick else 7], None)


def measure_python(setting: Setting) -> tuple[list[Round], str]:
    script = SOURCE / "bench" / "python_expect.py"
    return sized(setting, lambda size: [PYTHON, script, size, 1 if setting.is_quick else 3, 100], python_environment(setting))


def rate(text: str, name: str, against: str, aim: str = "") -> list[Row]:
    return [Row(f"{text}, {size} MB", f"{name}-{size}", f"{against}-{size}", aim, is_rate=True) for size in SIZES]


IN_C = Part("Expecting in C: of the speed of reading and keeping all by hand, with memmem", [
    *rate("a literal", "literal", "memmem", "≥ 0.7"),
    *rate("two literals", "literals", "memmem"),
    *rate("`the marker \\d+`", "regex", "memmem"),
    *rate("`\\bthe \\w+ker \\d{2}`", "classes", "memmem"),
    *rate("`.*marker \\d+`", "wild", "memmem"),
], measure_c)


PYTHON_EXPECT = Part("Expecting from Python: how many times as long the one takes as the other", [
    *rate("a regular expression, pexpect tuned: `spile.pexpect`", "pexpect-regex", "their-tuned-regex", "≥ 1"),
    *rate("a literal, pexpect tuned: `spile.pexpect`", "pexpect-literal", "their-tuned-literal"),
    *rate("a regular expression, pexpect as it is: `spile.pexpect`", "pexpect-regex", "their-regex"),
    *rate("a regular expression, `spile.pexpect`: `talk.expect`", "spile-regex", "pexpect-regex"),
    *rate("a literal, `spile.pexpect`: `talk.expect`", "spile-literal", "pexpect-literal"),
    *rate("a literal, Expect that keeps all: `talk.expect`", "spile-literal", "expect-literal"),
    Row("a round trip with a program", "trip-1", "their-trip-1", is_rate=True),
], measure_python)

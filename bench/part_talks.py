"""Conversations: round trips of a line, lines of a large stream, the first reply, many that are idle.

Round trips run on one processor: a peer on another one is woken sooner or later as the machine likes, which would be all
that one sees.
"""
from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from table import PYTHON, SOURCE, Part, Round, Row, Setting, note, python_environment, run_measuring

IDLE = 10_000
THROUGH = {"socat-between": "socat - {},raw,echo=0", "tio-between": "stdbuf -o0 tio --mute --no-autoconnect {}"}


@contextmanager
def devices(setting: Setting, count: int) -> Iterator[list[str]]:
    """They say again what they are told."""
    with subprocess.Popen([setting.program("talks"), "serve", str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as server:
        assert server.stdin and server.stdout
        yield [server.stdout.readline().strip() for _ in range(count)]
        server.stdin.close()


@contextmanager
def one_processor() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def in_turn(setting: Setting, kinds: list[Callable[[], Round]]) -> list[Round]:
    rounds = []
    for _ in range(3 if setting.is_quick else 7):
        random.shuffle(kinds)
        rounds.append({name: value for kind in kinds for name, value in kind().items()})
    return rounds


def there(*programs: str) -> bool:
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        note(f"left out, for it is not installed: {', '.join(missing)}")
    return not missing


def measure_trips(setting: Setting) -> tuple[list[Round], str]:
    talks, lines = setting.program("talks"), 8_000 if setting.is_quick else 20_000
    with one_processor(), devices(setting, 16) as paths:
        free = iter(paths)

        def trips() -> Round:
            measured = run_measuring([talks, "trips", lines, *paths[:3]], timeout=60)
            batch = lines // 400 + 1
            return {name: value / batch for name, value in measured.items()}

        def python() -> Round:
            return run_measuring([PYTHON, SOURCE / "bench" / "python_talks.py", lines // 4, *paths[3:10]],
                                 python_environment(setting), timeout=60)

        def through(name: str, command: str) -> Callable[[], Round]:
            return lambda: {name: run_measuring([talks, "through", command, lines // 4], timeout=60)["through"]}

        kinds = [trips, python]
        free = iter(paths[10:])
        kinds += [through(name, command.format(next(free))) for name, command in THROUGH.items() if there(name.split("-")[0])]
        if there("expect"):
            path = next(free)
            kinds.append(lambda: run_measuring(["expect", "-f", SOURCE / "bench" / "trips.exp", lines // 4, path], timeout=60))
        rounds = in_turn(setting, kinds)
    return rounds, f"{len(rounds)} rounds, medians of 400 turns of {lines // 400 + 1}"


def measure_stream(setting: Setting) -> tuple[list[Round], str]:
    count = 3_000_000 if setting.is_quick else 20_000_000
    rounds = in_turn(setting, [lambda: run_measuring([setting.program("talks"), "lines", count])])
    return rounds, f"{len(rounds)} rounds of {count} lines of 40 bytes"


def timed(name: str, command: list[object], given: bytes, expected: bytes) -> Callable[[], Round]:
    words = list(map(str, command))

    def run() -> Round:
        took = []
        for _ in range(20):
            begin = time.perf_counter_ns()
            done = subprocess.run(words, input=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            took.append(time.perf_counter_ns() - begin)
            if expected not in done.stdout:
                raise RuntimeError(f"{name} brought {done.stdout!r}")
        return {name: sorted(took)[10]}

    return run


def measure_open(setting: Setting) -> tuple[list[Round], str]:
    turns = 100 if setting.is_quick else 400
    with devices(setting, 4) as paths:
        kinds = [lambda: run_measuring([setting.program("talks"), "open", turns, *paths[:2]]),
                 timed("spile-ask", [setting.build / "cli" / "spile", "ask", paths[2], "ping"], b"", b"ping")]
        if there("tio"):
            kinds.append(timed("tio-ask", ["tio", "-n", "--mute", "-r", "--response-timeout", "5000", paths[3]], b"ping\n", b"ping"))
        rounds = in_turn(setting, kinds)
    return rounds, f"{len(rounds)} rounds of {turns} turns; commands: 20"


def measure_idle(setting: Setting) -> tuple[list[Round], str]:
    rounds = in_turn(setting, [lambda: run_measuring([setting.program("talks"), "idle", IDLE], timeout=60)])
    return rounds, f"{len(rounds)} rounds of {IDLE} talks"


def speed(text: str, name: str, against: str = "raw", aim: str = "") -> Row:
    return Row(text, name, against, aim, is_rate=True)


TRIPS = Part("Conversations: round trips of a line of 40 bytes, the speed reached", [
    speed("C: `write`, `poll`, `read` (the limit)", "raw"),
    speed("C: `spile_talk_write_line`, `..._read_line`", "talk", aim="≥ 0.95"),
    speed("C: the same with deadlines", "deadline"),
    speed("C: `spile_talk_ask`", "question"),
    speed("Python: `os.write`, `poll`, `os.read`", "python-os"),
    speed("Python: `TextIOWrapper(BufferedRWPair)`", "python-text-io"),
    speed("Python: `spile.open`, `write`, `readline`", "python-spile"),
    speed("Python: `spile.open`, `ask`", "python-ask"),
    speed("Python: `spile.open` against `TextIOWrapper(BufferedRWPair)`", "python-spile", "python-text-io", "≥ 1"),
    speed("Python: `fdpexpect`", "fdpexpect"),
    speed("Python: `pexpect.spawn('cat')`, no delay", "pexpect-cat"),
    speed("Python: pyserial", "pyserial"),
    speed("Expect", "expect"),
    speed("C by hand, through socat on pipes", "socat-between"),
    speed("C by hand, through tio on pipes", "tio-between"),
], measure_trips)

STREAM = Part("Conversations: 1000 lines of a large stream", [
    Row("C: `read` and `memchr`", "lines-raw"),
    Row("C: `spile_talk_read_line`", "lines-talk", "lines-raw"),
], measure_stream)

OPEN = Part("Conversations: from nothing to the first reply", [
    Row("C by hand: open, raw, a round trip, close", "open-raw"),
    Row("C: `spile_talk_open`, `ask`, `free`", "open-talk", "open-raw"),
    Row("`spile ask` against `tio -r`", "spile-ask", "tio-ask", "≤ 1"),
], measure_open)

MANY = Part("Conversations: many that are idle, in one process", [
    Row("opening one", "idle-open"),
    Row("memory of each", "idle-memory", unit="bytes"),
    Row("a round trip with one of them", "idle-trip"),
], measure_idle)

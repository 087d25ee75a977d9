"""Much data: streams and captures against what the kernel gives and against what else one would use."""
from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable

from table import PYTHON, SOURCE, Part, Round, Row, Setting, note, python_environment, run_measuring

LARGEST = 2_000_000_000
LONGEST_SECONDS = 120  # of the rounds of one part
OTHERS = {  # what passes bytes from one FIFO to another; {0} and {1} are their paths
    "cat": "cat {0} >{1}",
    "socat": "socat -u -b 65536 OPEN:{0} OPEN:{1}",
    "pv": "pv -q {0} >{1}",
    "mbuffer": "mbuffer -q -i {0} -o - >{1} 2>/dev/null",
    "eager": "{flow} relay {0} {1}",
}


def relay_by(setting: Setting, name: str, size: int) -> Callable[[], Round]:
    """Three programs and two FIFOs, as a shell script would have them."""
    flow = setting.program("flow")

    def measure() -> Round:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            ends = [f"{directory}/from", f"{directory}/to"]
            for path in ends:
                os.mkfifo(path)
            begin = time.perf_counter_ns()
            programs = [subprocess.Popen([flow, "write", ends[0], str(size)]),
                        subprocess.Popen(["sh", "-c", OTHERS[name].format(*ends, flow=flow)]),
                        subprocess.Popen([flow, "read", ends[1], str(size)])]
            if any(program.wait(LONGEST_SECONDS) for program in programs):
                raise RuntimeError(f"passing on by {name} failed")
            return {name: time.perf_counter_ns() - begin}

    return measure


def by_c(setting: Setting, name: str, size: int) -> Callable[[], Round]:
    return lambda: run_measuring([setting.program("streams"), name, setting.program("flow"), size])


def by_python(setting: Setting, name: str, size: int) -> Callable[[], Round]:
    command = [PYTHON, SOURCE / "bench" / "python_streams.py", name, setting.program("flow"), size]
    return lambda: run_measuring(command, python_environment(setting))


def with_memory_there(setting: Setting, size: int, kind: Callable[[], Round]) -> Callable[[], Round]:
    def measure() -> Round:
        run_measuring([setting.program("streams"), "touch", setting.program("flow"), size])
        return kind()

    return measure


def choose_size(setting: Setting) -> int:
    """2 GB, or less where that takes the limit itself over a second, or a sixth of the memory that is free."""
    if setting.bytes:
        return setting.bytes
    probe = 100_000_000
    took = min(by_c(setting, "raw-fifo", probe)()["raw-fifo"] for _ in range(3))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    largest = 500_000_000 if setting.is_quick else LARGEST
    return max(probe // 4, min(largest, int(probe * 1.2e9 / took), free // 6))


def rounds_of(setting: Setting, kinds: Iterable[Callable[[], Round]]) -> list[Round]:
    """One after the other, in an order that changes, until the time is over."""
    order, rounds = list(kinds), []
    most, end = (3, 15) if setting.is_quick else (7, LONGEST_SECONDS)
    end += time.monotonic()
    while len(rounds) < most and (not rounds or time.monotonic() < end):
        random.shuffle(order)
        rounds.append({name: value for kind in order for name, value in kind().items()})
    return rounds


def measure_streams(setting: Setting) -> tuple[list[Round], str]:
    size = choose_size(setting)
    kinds = [by_c(setting, name, size) for name in ("raw-fifo", "raw-fifo-64k", "direct", "relayed", "through-a-file")]
    for name, command in OTHERS.items():
        if name == "eager" or shutil.which(name):
            kinds.append(relay_by(setting, name, size))
        else:
            note(f"'{name}' is not installed and will not be measured: tools/setup bench")
    kinds.append(by_python(setting, "python-threads", size))
    rounds = rounds_of(setting, kinds)
    return rounds, f"{len(rounds)} rounds of {size / 1e6:.0f} MB"


def measure_captures(setting: Setting) -> tuple[list[Round], str]:
    size = choose_size(setting)
    kinds = [by_c(setting, name, size)
             for name in ("discard", "keep-by-hand", "capture-stream", "capture-standard-output", "capture-file")]
    kinds += [by_python(setting, name, size) for name in (
        "python-stream", "python-stream-buffer", "python-standard-output", "python-subprocess")]
    rounds = rounds_of(setting, [with_memory_there(setting, size, kind) for kind in kinds])
    return rounds, f"{len(rounds)} rounds of {size / 1e6:.0f} MB"


def measure_stages(setting: Setting) -> tuple[list[Round], str]:
    size = choose_size(setting) // 40
    kinds = [by_c(setting, name, size) for name in ("stage-alone", "stages-streamed", "stages-staged")]
    kinds += [by_c(setting, name, 5 * size) for name in ("light-alone", "light-streamed")]
    rounds = rounds_of(setting, kinds)
    return rounds, f"{len(rounds)} rounds of {size / 1e6:.0f} MB, and of {5 * size / 1e6:.0f} MB where the work is light"


def measure_many(setting: Setting) -> tuple[list[Round], str]:
    count, size = 1000, 65536 if setting.is_quick else 1 << 20
    try:
        rounds = [run_measuring([setting.program("many"), count, setting.program("flow"), size])
                  for _ in range(1 if setting.is_quick else 3)]
    except subprocess.CalledProcessError as error:
        if error.returncode != 3:
            raise
        note("a thousand streams are not measured: too few descriptors")
        rounds = []
    return rounds, f"{count} streams of {size // 1024} KiB each, all open at once; {len(rounds)} rounds"


def rate(text: str, name: str, against: str = "raw-fifo", aim: str = "") -> Row:
    return Row(text, name, against, aim, is_rate=True)


STREAMS = Part("Throughput of streams: what of the raw FIFO's speed is reached", [
    rate("a FIFO with a 1 MiB pipe between two programs (the limit)", "raw-fifo"),
    rate("the same with the usual 64 KiB", "raw-fifo-64k"),
    rate("spile, `--direct`", "direct", aim="≥ 1.00 within the spread"),
    rate("spile, relayed", "relayed", aim="≥ 0.80"),
    rate("spile, a seekable file, one program after the other", "through-a-file"),
    rate("two FIFOs and `cat`", "cat"),
    rate("two FIFOs and `socat`", "socat"),
    rate("two FIFOs and `pv`", "pv"),
    rate("two FIFOs and `mbuffer`", "mbuffer"),
    rate("two FIFOs and an eager copier with unbounded memory, as dgsh's", "eager"),
    rate("two FIFOs and a thread in Python", "python-threads"),
], measure_streams)

CAPTURES = Part("Throughput into memory: what of reading and throwing away is reached", [
    rate("a FIFO with a 1 MiB pipe, read and thrown away (the limit)", "discard", "discard"),
    rate("the same, kept in the best way known, by hand", "keep-by-hand", "discard"),
    rate("C: a stream comes out", "capture-stream", "discard"),
    rate("C: standard output", "capture-standard-output", "discard"),
    rate("C: a seekable file comes out", "capture-file", "discard"),
    rate("C: a stream comes out, against the best way by hand", "capture-stream", "keep-by-hand", "≥ 1.00 within the spread"),
    rate("C: standard output, against the best way by hand", "capture-standard-output", "keep-by-hand",
         "≥ 1.00 within the spread"),
    rate("Python: a stream comes out, without a copy (`buffer`)", "python-stream-buffer", "discard"),
    rate("Python: a stream comes out, as `bytes`", "python-stream", "discard"),
    rate("Python: standard output", "python-standard-output", "discard"),
    rate("Python: `subprocess.run` with a pipe", "python-subprocess", "discard"),
], measure_captures)

STAGES = Part("Three programs in a row, of which the second does three times the work of the others (a byte in 17 ns)", [
    Row("the second alone, on files in memory", "stage-alone"),
    Row("the three of them, streamed", "stages-streamed", "stage-alone", "≤ 1.10"),
    Row("the three of them, by files", "stages-staged", "stage-alone"),
    Row("light work (moving the bytes is half as much), which two processors can hardly share: the second alone", "light-alone"),
    Row("the three of them, streamed", "light-streamed", "light-alone"),
], measure_stages)

MANY = Part("A thousand streams at once in one process", [
    Row("all of them", "many-streams"),
    Row("memory of the process for each, beyond what one took", "many-streams-bytes-each", unit="bytes"),
    Row("descriptors for each", "many-streams-descriptors-each", unit="count"),
], measure_many)

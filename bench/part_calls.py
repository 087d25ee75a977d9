"""Small calls: what one costs beyond the program it runs, in C, from Python, and as a whole command."""
from __future__ import annotations

from table import PYTHON, SOURCE, Part, Round, Row, Setting, python_environment, run_measuring


def rounds_of(setting: Setting, command: list[object], env: dict[str, str] | None = None) -> tuple[list[Round], str]:
    rounds, turns = (3, 60) if setting.is_quick else (7, 200)
    measured = [run_measuring([*command, turns], env) for _ in range(rounds)]
    return measured, f"{rounds} rounds of {turns} turns"


def measure_c(setting: Setting) -> tuple[list[Round], str]:
    spile = setting.build / "cli" / "spile"
    return rounds_of(setting, [setting.program("calls"), setting.program("tiny"), spile, setting.disk])


def measure_python(setting: Setting) -> tuple[list[Round], str]:
    return rounds_of(setting, [PYTHON, SOURCE / "bench" / "python_calls.py", setting.program("tiny"), setting.disk],
                     python_environment(setting))


def beyond_the_program(hand: str, own: str) -> dict[str, object]:
    def ratio(medians: Round) -> float:
        return (medians[hand] - medians["python-program"]) / (medians[own] - medians["python-program"])

    return {"name": own, "against": hand, "ratio": ratio}


C = Part("Small calls in C, 12 KB in and 12 KB out", [
    Row("bare vfork + exec + wait of `tiny`, which ends at once (the unit)", "unit"),
    Row("`tiny` reads and writes in a directory in memory, started bare", "plain-files", "unit"),
    Row("a call of `tiny` with files", "call", "unit", "≤ 2.2"),
    Row("a call of `tiny` with streams", "streamed-call", "unit", "≤ 3.5"),
    Row("by hand: temporary directory in /dev/shm", "directory-in-memory", "unit"),
    Row("by hand: temporary directory on a disk", "directory-on-disk", "unit"),
    Row("the call with files against the directory in memory", "call", "directory-in-memory"),
    Row("`spile run 'cat <{in} >{out}'` against `sh -c 'cat <in >out'`", "command", "shell", "≤ 1.5"),
], measure_c)

PYTHON_CALLS = Part("Small calls from Python, 12 KB in and 12 KB out", [
    Row("`tiny` on files that are there, by `posix_spawn`", "python-program"),
    Row("by hand: `subprocess`, temporary directory in /dev/shm", "python-directory-in-memory", "python-program"),
    Row("the same, standard streams captured", "python-directory-captured", "python-program"),
    Row("by hand: `subprocess`, temporary directory on a disk", "python-directory-on-disk", "python-program"),
    Row("`spile.function`", "python-function", "python-program"),
    Row("`spile.run`", "python-run", "python-program"),
    Row("`spile.run`, standard streams null", "python-run-bare", "python-program"),
    Row("by hand and captured / `spile.function`, both beyond the program",
        **beyond_the_program("python-directory-captured", "python-function"), aim="≥ 2"),
    Row("by hand and captured / `spile.run`, both beyond the program",
        **beyond_the_program("python-directory-captured", "python-run"), aim="≥ 2"),
    Row("by hand / `spile.run` with streams null, both beyond the program",
        **beyond_the_program("python-directory-in-memory", "python-run-bare"), aim="≥ 2"),
    Row("a filter: `spile.run` against `subprocess.run`", "python-filter", "python-subprocess-filter", "≤ 1"),
    Row("a filter between files against `subprocess.run`", "python-filter-files", "python-subprocess-filter"),
], measure_python)

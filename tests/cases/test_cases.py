"""Real programs, real bytes: every recorded case through the command, as a user would type it.

A case passes when its outputs hold the bytes that the same programs give in a plain directory, and nothing else stands
in the user's directory afterwards. The cases are in shared/ and own/ (README.md tells their format), and in $SPILE_CASES,
by default ../shared/cases beside the repository. What can't be run is skipped with the reason, never passed over.
"""
import fnmatch
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import reference

HERE = pathlib.Path(__file__).resolve().parent
ELSEWHERE = pathlib.Path(os.environ.get("SPILE_CASES", HERE.parent.parent.parent / "shared" / "cases"))
MARK = re.compile(r"\{(?P<side>\+?)(?P<sign><>|<|>)(?P<name>[^{}]+)\}|(?P<stdio>>>|2>>|2>|<|>)\{(?P<tied>[^{}]+)\}")


def found_cases():
    cases = {}
    for directory in (HERE / "own", HERE / "shared", ELSEWHERE):
        for case in sorted(directory.iterdir()) if directory.is_dir() else ():
            if (case / "template").exists():
                cases.setdefault(case.name, case)
    return [pytest.param(case, id=name) for name, case in sorted(cases.items())]


def missing_packages(case):
    packages = " ".join(reference.lines(case / "apt")).split()
    if not shutil.which("dpkg-query"):
        return [name for name in packages if not shutil.which(name)]
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
                           capture_output=True, text=True).stdout
    installed = {line.split()[0] for line in shown.splitlines() if line.split()[1] == "installed"}
    return [name for name in packages if name not in installed]


def names_of(template):
    """The names that are read and those that are written, as the marks of the template say."""
    reads, writes = set(), set()
    for mark in MARK.finditer(template):
        name = (mark["name"] or mark["tied"]).removesuffix("|")
        how = mark["sign"] or {"<": "<", ">>": "<>", "2>>": "<>"}.get(mark["stdio"], ">")
        if "<" in how:
            reads.add(name)
        if ">" in how:
            writes.add(name)
    return reads, writes


def matches(name, patterns):
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) or
               pattern.endswith("/") and name.startswith(pattern) for pattern in patterns)


def files_under(directory):
    return {str(path.relative_to(directory)): path.read_bytes()
            for path in directory.rglob("*") if path.is_file() or path.is_symlink()}


def changed_names(template):
    return {mark["name"] or mark["tied"] for mark in MARK.finditer(template)
            if mark["sign"] == "<>" or mark["stdio"] in (">>", "2>>")}


def delivered_names(template):
    """The names and patterns that come out without being asked for: those that no other program reads."""
    reads, writes = names_of(template)
    return {name for name in writes if not matches(name, reads)} | changed_names(template)


def arguments(case):
    """What the user types after `spile run`."""
    words = []
    for number, status in enumerate(reference.lines(case / "rc"), start=1):
        if status != "0":
            words += ["--ok-status", f"{number}:{status}"]
    for value in reference.lines(case / "values"):
        words += ["-v", value]
    delivered = delivered_names((case / "template").read_text())
    for name in reference.lines(case / "outputs"):
        if not matches(name, delivered):
            words += ["-o", f"{name}={name}"]
    return [*words, "-f", str(case / "template")]


@pytest.mark.parametrize("case", found_cases())
def test_case(case, spile, tmp_path):
    missing = missing_packages(case)
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)} (tools/setup cases)")
    here = tmp_path / "here"
    reference.copy_inputs(case, here)
    done = subprocess.run([spile, "run", *arguments(case)], cwd=here, env=reference.ENVIRONMENT,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=300)
    assert done.returncode == 0, done.stderr

    after, before = files_under(here), files_under(case / "inputs")
    wanted = reference.outputs(case, case / "expected")
    assert wanted, "a case without an output proves nothing"
    if any(after.get(name) != data for name, data in wanted.items()):
        # Another version of a program, or another processor, may give other bytes: then what counts is what it gives here.
        plain = tmp_path / "plain"
        reference.run(case, plain)
        wanted = reference.outputs(case, plain)
    for name, data in wanted.items():
        assert name in after, f"'{name}' did not come out"
        assert after[name] == data, f"'{name}' differs from what plain files give"
    allowed = set(before) | set(wanted)
    template = (case / "template").read_text()
    strangers = {name for name in after if name not in allowed and not matches(name, delivered_names(template))}
    assert not strangers, "these were left behind"
    for name, data in before.items():
        if name not in wanted and name not in changed_names(template):
            assert after.get(name) == data, f"the input '{name}' was changed"


def test_all_recorded_cases_are_there():
    if not ELSEWHERE.is_dir():
        pytest.skip(f"no folder '{ELSEWHERE}': only the cases of this repository ran; $SPILE_CASES names another")
    assert len(list(ELSEWHERE.glob("*/template"))) > 0

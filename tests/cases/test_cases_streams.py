"""The recorded cases once more, with the files that can be named pipes as named pipes: the same bytes.

What a case's `streamable` says, each in a call of its own: every mark a stream at once where it lists ALL, and else one
name after the other; of a graph (g-*) the names at once. Standard streams that are tied become streams as well.
"""
import re
import shlex
import subprocess

import pytest
import reference
from test_cases import MARK, arguments, files_under, found_cases, missing_packages

LONGEST_SECONDS = 60


def listed(case):
    return " ".join(reference.lines(case / "streamable")).split()


def variants():
    """Each case, with the names that are to be streams."""
    found = []
    for parameter in found_cases():
        case = parameter.values[0]
        names = listed(case)
        if "ALL" in names:
            found.append(pytest.param(case, None, id=f"{case.name}-ALL"))
        elif names and case.name.startswith("g-"):
            found.append(pytest.param(case, frozenset(names), id=f"{case.name}-{'+'.join(names)}"))
        else:
            found += [pytest.param(case, frozenset([name]), id=f"{case.name}-{name}") for name in names]
    return found


def is_plain(name):
    return not name.endswith("/") and not re.search(r"[*?\[]", name)


def with_streams(template, wanted):
    """The template with bars in the marks of those names, and the names that got one."""
    changed = {mark["name"] for mark in MARK.finditer(template) if mark["sign"] == "<>"}
    changed |= {mark["tied"] for mark in MARK.finditer(template) if mark["stdio"] in (">>", "2>>")}
    done = set()

    def mark_it(mark):
        name = mark["name"] or mark["tied"]
        if (wanted is not None and name not in wanted) or name in changed or not is_plain(name):
            return mark[0]
        done.add(name)
        return mark[0][:-1] + "|}"

    return MARK.sub(mark_it, template), done


@pytest.mark.parametrize("case, wanted", variants())
def test_case_with_streams(case, wanted, spile, tmp_path):
    missing = missing_packages(case)
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)} (tools/setup cases)")
    template, done = with_streams((case / "template").read_text(), wanted)
    if not done or (wanted and done != wanted):
        pytest.skip(f"no mark of its own, or changed in place: {' '.join(sorted((wanted or {'ALL'}) - done))}")
    here = tmp_path / "here"
    reference.copy_inputs(case, here)
    (tmp_path / "template").write_text(template)
    words = arguments(case)
    words[words.index("-f") + 1] = str(tmp_path / "template")
    with subprocess.Popen([spile, "run", *words], cwd=here, env=reference.ENVIRONMENT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        try:
            _, error = process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"it hangs: {shlex.join(words)}") from None
    assert process.returncode == 0, f"{template}{error}"

    after = files_under(here)
    wanted_bytes = reference.outputs(case, case / "expected")
    if any(after.get(name) != data for name, data in wanted_bytes.items()):
        plain = tmp_path / "plain"
        reference.run(case, plain)
        wanted_bytes = reference.outputs(case, plain)
    for name, data in wanted_bytes.items():
        assert after.get(name) == data, f"'{name}' differs from what plain files give\n{template}{error}"

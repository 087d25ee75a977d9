"""The manual pages: they are made, say what the headers and the examples say, and are found by every function's name."""
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted((SOURCE / "man").glob("*.scd"))


def load():
    specification = importlib.util.spec_from_file_location("expand", SOURCE / "man" / "expand.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


expand = load()


@pytest.fixture(scope="module")
def shown(build):
    """A page as a reader sees it."""
    if not shutil.which("scdoc"):
        pytest.skip("not installed: scdoc")
    if not shutil.which("nroff"):
        pytest.skip("not installed: nroff (groff-base)")

    def show(page):
        done = subprocess.run(["nroff", "-man", "-Tutf8", "-rLL=110n", build / "man" / page.stem], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)

    return show


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_it_was_made_from(page, shown):
    text, source = shown(page), page.read_text()
    assert re.search(r"^NAME\n +\S+(, \S+)* - \S", text.replace("‐", "-"), re.MULTILINE), "whatis would not know it"
    lines = [line.strip() for line in text.splitlines()]
    for name in re.findall(r"^@example (\S+)$", source, re.MULTILINE):
        for line in (SOURCE / "examples" / name).read_text().splitlines():
            assert line.strip() in lines
    assert not re.search("@(prototypes|example)", text)
    known = expand.declarations()
    for name in expand.functions(source):
        assert " ".join(known[name].split()) in " ".join(text.split()), name


def test_each_page_refers_to_pages_that_exist():
    known = {page.stem for page in PAGES}
    for page in PAGES:
        for name, section in re.findall(r"\*(spile[\w-]*)\*\((\d)\)", page.read_text()):
            assert f"{name}.{section}" in known, page.name


def test_each_example_in_c_is_on_a_page():
    on_pages = {name for page in PAGES for name in re.findall(r"^@example (\S+)$", page.read_text(), re.MULTILINE)}
    assert on_pages == {path.name for path in (SOURCE / "examples").glob("*.c")}


def test_each_function_is_found_by_its_name(installed):
    directory, = {path.parent for path in installed.rglob("spile_plan.3")}
    names = {name for page in PAGES for name in expand.functions(page.read_text())}
    for name in names:
        assert f"{name}" in (directory / f"{name}.3").read_text().replace("\\&", "")
    assert len(names) > 100


def test_a_declaration_is_broken_between_parameters():
    text = "int spile_some_name(const char *first_parameter, const char *second_parameter, void *third_one);"
    assert expand.fitted(text).splitlines() == ["int spile_some_name(const char *first_parameter,",
                                                "        const char *second_parameter, void *third_one);"]
    assert expand.fitted("int spile_some_name(void);") == "int spile_some_name(void);"


# ------------------------------------------------------------------------------------------------ commands that are shown

GIVEN = {"a.s": ".globl _start\n_start: nop\n", "a.c": '#include "inc/a.h"\nint a = A;\n', "../include/a.h": "#define A 1\n",
         "new": "another\n", "sums": "6*7\n"}
RUN_FOR_REAL = {"as", "ld", "sort", "uniq", "diff", "gcc", "python3", "bc"}


def commands():
    for page in PAGES:
        literal = re.findall(r"(?m)^\t((?:spile|printf) (?:.*\\\\\+\+\n)*.*)$", page.read_text())
        for command in literal:
            yield re.sub(r"\\(.)", r"\1", re.sub(r"\+\+$", "", re.sub(r"\+\+\n\s*", "\n", command)))


def test_commands_are_found():
    assert len(list(commands())) > 10 and "spile ask -p '>>> ' 'pty: python3 -i' '6 * 7'" in commands()


@pytest.mark.parametrize("command", commands())
def test_a_command_of_a_page_does(command, build, tmp_path):
    place = tmp_path / "here"
    place.mkdir()
    environment = os.environ | {"PATH": f"{build / 'cli'}:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    bound = dict(re.findall(r"([\w./]+)=(\.\.?[\w./]+)", command))
    for name in [*re.findall(r"\{\+?<>?([^{}>]+)\}", command), *re.findall(r"(?<![{+])<(\w+)$", command)]:
        path = place / bound.get(name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GIVEN.get(bound.get(name, name), "given\n"))
    programs = set(re.findall(r"(?:['|:] ?)([a-z]\w+) ", command.split(" ", 2)[2]))
    is_real = programs and programs <= RUN_FOR_REAL and all(map(shutil.which, programs)) and "/usr/share/dict" not in command
    if not is_real:  # what it needs is not there: it is understood at least
        command = re.sub(r"spile run", "spile run -n", command) if "spile run" in command else command + " --help"
        command = command.replace("/usr/share/dict/words", "/etc/passwd")
    done = subprocess.run(["sh", "-c", command], cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), (command, done)

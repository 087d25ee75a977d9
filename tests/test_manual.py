"""The manual pages: they are made, say what the headers and the examples say, and are found by every function's name."""
import importlib.util
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

"""Types, docstrings, documentation and installation."""
import doctest
import importlib
import inspect
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import BUILD, PACKAGE, SOURCE

spile = pytest.importorskip("spile")

MODULES = ["spile", "spile._async", "spile._call", "spile._errors", "spile._expect", "spile._files", "spile._function",
           "spile._pipe", "spile._programs", "spile._result", "spile._talk", "spile._talk_async", "spile._talk_bytes"]
MYPY = pytest.mark.skipif(not shutil.which("mypy", path="/usr/bin"), reason="no mypy: tools/setup test installs it")


def mypy(*arguments, cwd):
    return subprocess.run(["/usr/bin/mypy", "--strict", "--no-incremental", "--cache-dir=/dev/null", *arguments], cwd=cwd,
                          env={**os.environ, "MYPYPATH": str(PACKAGE)}, capture_output=True, text=True)


@MYPY
def test_the_package_is_typed(tmp_path):
    done = mypy("-p", "spile", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert (PACKAGE / "spile" / "py.typed").exists()


@MYPY
def test_the_examples_are_clean(tmp_path):
    done = mypy(*map(str, (SOURCE / "examples" / "python").glob("*.py")), cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@MYPY
def test_types_that_users_see(tmp_path):
    (tmp_path / "use.py").write_text("""
import pathlib, spile
out = spile.run("cat {<a}", files={"a": b"1", "b": "2", "c": pathlib.Path("x"), "d": [b"3"]}, outputs={"o": print})
reveal_type(out["a"]); reveal_type(out.buffer("a")); reveal_type(out.programs[0].exit_status)
reveal_type(spile.function("true").map([b"1"], ordered=False))
spile.run("cat {<a}", files={"a": 3.5})
spile.run(5)
""")
    shown = mypy("use.py", cwd=tmp_path).stdout
    for says in ('"builtins.bytes"', '"builtins.memoryview"', '"Union[builtins.int, None]"',
                 '"typing.Iterator[Tuple[builtins.int, Any]]"', 'use.py:6: error', 'use.py:7: error'):
        assert says in shown, shown
    assert shown.count(": error") == 2, shown


def test_the_stub_of_the_extension_is_complete():
    text = (PACKAGE / "spile" / "_spile.pyi").read_text()
    classes = dict(re.findall(r"^class (\w+)[^\n]*:(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE))
    there = {name for name in vars(spile._spile) if not name.startswith("__")}
    assert there == set(classes) | {"doctor", "promises", "quote", "version"}
    for name, body in classes.items():
        real = {member for member in vars(getattr(spile._spile, name)) if not member.startswith("__")}
        assert real == set(re.findall(r"def ([a-z]\w*)\(", body)), name


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_docstrings_have_examples_at_all():
    count = sum(len(test.examples) for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name)))
    assert count > 20


def test_everything_public_is_documented():
    for name in spile.__all__:
        item = getattr(spile, name)
        if not (inspect.isclass(item) or inspect.isfunction(item)) or name in ("Endpoint", "Input", "Output"):
            continue
        assert inspect.getdoc(item), name
        for member, value in vars(item).items() if inspect.isclass(item) else ():
            if inspect.isfunction(value) and not member.startswith("_"):
                assert inspect.getdoc(value), f"{name}.{member}"


@pytest.mark.parametrize(("page", "least"), [("python.md", 11), ("expect.md", 2), ("pexpect.md", 5)])
def test_pages_about_python_run(page, least, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, count = doctest.testfile(str(SOURCE / "docs" / page), module_relative=False)
    assert failed == 0 and count >= least


def test_the_ways_to_run_say_the_same():
    parameters = [list(inspect.signature(way).parameters.values()) for way in
                  (spile.run, spile.start, spile.run_async, spile.start_async)]
    assert all(other == parameters[0] for other in parameters[1:])
    fields = list(spile._call.Options.__dataclass_fields__)
    assert [p.name for p in parameters[0]][5:] == fields


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    if not os.access(BUILD, os.W_OK):
        pytest.skip("the build folder is another user's, and meson writes a log into it")
    root = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet", "--destdir", str(root)], check=True,
                   stdout=subprocess.DEVNULL)
    return root


def test_it_is_installed_whole(installed, tmp_path):
    found = list(installed.rglob("spile/__init__.py"))
    assert len(found) == 1
    package = found[0].parent
    kinds = (".py", ".pyi", ".so", ".typed", ".sh")
    built = PACKAGE / "spile"
    names = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert names == {str(path.relative_to(built)) for path in built.rglob("*") if path.suffix in kinds and path.is_file()}
    helper = next(installed.rglob("spile-cell"))
    done = subprocess.run([sys.executable, "-B", "-c", "import spile; print(spile.__file__, spile.run('echo 1').containment)"],
                          env={**os.environ, "PYTHONPATH": str(package.parent), "SPILE_CELL": str(helper)}, cwd=tmp_path,
                          capture_output=True, text=True, check=True)
    path, containment = done.stdout.split()
    assert pathlib.Path(path) == package / "__init__.py" and containment in ("namespace", "reaper", "none")

"""The tutorials are true: each of their blocks, pasted one after the other into a shell in the repository, prints what stands below it."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent
DOCS = SOURCE / "docs"
TUTORIALS = {"tutorial-functions.md": ["ca65", "ld65", "sim65", "curl"], "tutorial-device.md": []}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "--- the end of a block ---"


def steps(text):
    """Each block of commands, with the output that is shown of it."""
    found = []
    for language, block in BLOCK.findall(text):
        if language == "sh":
            found.append((block, ""))
        elif language == "text":
            found[-1] = (found[-1][0], block)
    return found


def paste(text, place, build):
    (place / "build").symlink_to(build)
    for name in ("examples", "include"):
        shutil.copytree(SOURCE / name, place / name)
    script = "".join(f"{{\n{commands}\n}}\necho '{MARK}'\n" for commands, _ in steps(text))
    # No directory in the path that holds other Pythons than the one that the package was built for.
    environment = os.environ | {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TMPDIR": str(place)}
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=place, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
    return [part.removeprefix("\n") for part in done.stdout.split(f"{MARK}\n")[:-1]]


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_prints_what_it_shows(name, build, tmp_path):
    for program in TUTORIALS[name]:
        if not shutil.which(program):
            pytest.skip(f"not installed: {program} (tools/setup demo test)")
    environment = os.environ | {"PYTHONPATH": str(build / "python")}
    if subprocess.run(["/usr/bin/python3", "-c", "import spile"], env=environment, capture_output=True).returncode != 0:
        pytest.skip("no Python package in this build, or a sanitized one")
    text = (DOCS / name).read_text()
    expected = steps(text)
    printed = paste(text, tmp_path, build)
    assert len(printed) == len(expected) > 5
    for (commands, shown), found in zip(expected, printed):
        assert found == shown, commands


def test_what_is_not_so_is_noticed(build, tmp_path):
    text = "```sh\necho 1\n```\n```text\n2\n```\n```sh\nfalse; echo $?\n```\n"
    assert steps(text) == [("echo 1\n", "2\n"), ("false; echo $?\n", "")]
    assert paste(text, tmp_path, build) == ["1\n", "1\n"]


def test_the_index_has_every_page():
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


def test_every_tutorial_is_run():
    assert {path.name for path in DOCS.glob("tutorial-*.md")} == set(TUTORIALS)

"""docs/streams.md is true: each of its commands hangs, loses, fails or works as it says, and its table sums them up.

The commands run side by side, once, in the way examples/traps runs them for a reader.
"""
import concurrent.futures
import importlib.machinery
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent
TEXT = (SOURCE / "docs" / "streams.md").read_text()


def load():
    loader = importlib.machinery.SourceFileLoader("traps_example", str(SOURCE / "examples" / "traps"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module  # where its data classes look for themselves
    loader.exec_module(module)
    return module


traps = load()
BLOCKS = {block.name: block for block in traps.blocks(TEXT)}


@pytest.fixture(scope="module")
def found(build):
    """What came of each, by its name."""
    with pytest.MonkeyPatch.context() as patch, concurrent.futures.ThreadPoolExecutor(4) as pool:
        patch.setenv("PATH", f"{build / 'cli'}:{os.environ['PATH']}")
        patch.setenv("LC_ALL", "C")
        runs = {name: pool.submit(traps.run, block) for name, block in BLOCKS.items() if block.is_installed}
        return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize("name", BLOCKS)
def test_what_comes_of_it(name, found):
    if name not in found:
        pytest.skip(f"not installed: {BLOCKS[name].who} (tools/setup test)")
    result = found[name]
    if result.objection(BLOCKS[name]) and BLOCKS[name].who != "spile":
        result = traps.run(BLOCKS[name])  # what others do may depend on who is faster, and many ran at once
    assert not result.objection(BLOCKS[name]), result


def rows():
    for line in re.findall(r"^\| \[.*", TEXT, re.MULTILINE):
        title, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        yield re.fullmatch(r"\[(.*)\]\(#(.*)\)", title).groups(), dict(zip(["shell", "pipexec", "dgsh", "spile"], cells))


def test_the_table_sums_them_up():
    """A cell is the verdict of what the section shows: of spile the first, of the others the worst."""
    table = {title: cells for (title, _), cells in rows()}
    for title, cells in table.items():
        for who in ("shell", "pipexec", "spile"):
            verdicts = [block.verdict for block in BLOCKS.values() if (block.title, block.who) == (title, who)]
            shown = verdicts[:1] if who == "spile" else sorted(verdicts, key=["hangs", "loses", "fails", "works"].index)
            assert [cells[who]] == (shown[:1] or [""]), (title, who)
    # Each trap is in it: what has a command that goes wrong elsewhere.
    assert set(table) == {block.title for block in BLOCKS.values() if block.who != "spile"}


def test_links_of_the_table_lead_to_their_sections():
    for (title, anchor), _ in rows():
        assert f"\n### {title}\n" in TEXT and anchor == re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_the_python_example(build):
    environment = os.environ | {"PYTHONPATH": str(build / "python")}
    if subprocess.run(["/usr/bin/python3", "-c", "import spile"], env=environment, capture_output=True).returncode != 0:
        pytest.skip("no Python package in this build, or a sanitized one")
    code, = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    said, = re.findall(r"print\(.*# (\d+)", code)
    assert (done.stdout.strip(), done.stderr) == (said, ""), done


def test_a_command_that_does_not_do_what_is_said_is_noticed(tmp_path):
    """The judge itself: each thing that a first line can say is refused where it is not so."""
    lines = ["shell, hangs", "shell, works: prints 2", "shell, works: prints 1, exits 3", "shell, works: never prints 1",
             "shell, works: prints fewer than 1", "shell, fails: prints 1, says no such thing"]
    for line in lines:
        block, = traps.blocks(f"# x\n### X\n```sh\n# {line}\necho 1\n```\n")
        assert traps.run(block).objection(block), line
    block, = traps.blocks("### X\n```sh\n# shell, works: prints nothing\nmkfifo p\ncat p\n```\n")
    assert traps.run(block).objection(block) == "it hangs"
    with pytest.raises(ValueError):
        list(traps.blocks("### X\n```sh\n# shell, it depends\ntrue\n```\n"))

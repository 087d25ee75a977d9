"""The examples: they run, they show what they say, and under load."""
import concurrent.futures
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from conftest import SOURCE

spile = pytest.importorskip("spile")

EXAMPLES = SOURCE / "examples" / "python"
ASSEMBLER = pytest.mark.skipif(not shutil.which("ca65"), reason="no ca65: tools/setup demo installs it (cc65)")


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(tmp_path):
    """The address of a server that runs in an empty directory, which is its temporary one as well."""
    process = subprocess.Popen([sys.executable, "-B", EXAMPLES / "build_server.py"], stdout=subprocess.PIPE, text=True,
                               cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)})
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()
    assert os.listdir(tmp_path) == []


def post(address, source):
    with urllib.request.urlopen(urllib.request.Request(address, data=source, method="POST"), timeout=60) as answer:
        return answer.read()


@ASSEMBLER
def test_an_assembler_and_a_linker_behind_a_web_server_under_load(server):
    template = (SOURCE / "examples" / "asm-link" / "primes.s").read_bytes()

    def build(number):
        """Each request has a source of its own, and gets its own program back."""
        source = template.replace(b"cld\n", b"cld\n        .byte $EA, $EA, %d, $EA, $EA\n" % number, 1)
        assert source != template
        name = ("program", "map", "labels")[number % 3]
        answer = post(f"{server}/{name}", source)
        if name == "program":
            assert bytes([0xEA, 0xEA, number, 0xEA, 0xEA]) in answer
        return name, answer

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(build, range(1, 121)))
    assert {name for name, _ in answers} == {"program", "map", "labels"}
    assert all(b"Modules list" in answer for name, answer in answers if name == "map")
    assert all(b"al 00" in answer for name, answer in answers if name == "labels") and len(answers) == 120


@ASSEMBLER
def test_a_wrong_source_gets_what_the_assembler_said(server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(f"{server}/program", b"        lda #nothing\n        nonsense\n")
    assert caught.value.code == 422 and b"rror" in caught.value.read()


# Where each ends; None: it hangs, and the deadline ends it.
@pytest.mark.parametrize("attempt, last_step, status", [
    ("both-opened-by-the-script", "opening the input for writing", None),
    ("nonblocking", "opening the input for writing", 1),
    ("wait-before-read", "waiting for the program", None),
    ("threads", "waiting for the threads", None),
])
def test_what_one_tries_without(attempt, last_step, status, tmp_path):
    process = subprocess.Popen([sys.executable, "-B", EXAMPLES / "attempts.py", attempt], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True,
                               env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        out, err = process.communicate(timeout=1.5)
        assert status is not None and process.returncode == status, (out, err)
    except subprocess.TimeoutExpired:
        assert status is None
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    assert out.splitlines()[-1] == last_step
    if attempt == "nonblocking":
        assert out.startswith("read 0 bytes") and "No such device or address" in err


TRAPS = load("traps").TRAPS


@pytest.mark.parametrize("trap", TRAPS, ids=[trap.__name__ for trap in TRAPS])
def test_each_trap_is_none(trap):
    assert trap()


def test_the_other_examples_run(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * 1000)
    done = subprocess.run([sys.executable, "-B", EXAMPLES / "batch.py", *sorted(tmp_path.glob("*.txt"))],
                          capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 5 and done.stdout.count("1000 -> ") == 5 and "5/5" in done.stderr
    done = subprocess.run([sys.executable, "-B", EXAMPLES / "many_async.py"], capture_output=True, text=True, check=True)
    assert done.stdout == "25250 bytes sorted\n588895 bytes in chunks\n"
    done = subprocess.run([sys.executable, "-B", EXAMPLES / "pipe.py"], capture_output=True, text=True, check=True)
    assert done.stdout == "4712d4711\n< 4711\n100000d99998\n< 99999\n"
    done = subprocess.run([sys.executable, "-B", EXAMPLES / "traps.py"], capture_output=True, text=True, check=True)
    assert done.stdout.count("works: ") == len(TRAPS)

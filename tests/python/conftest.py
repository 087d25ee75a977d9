"""The Python package as it stands in the build folder, and what its tests share.

A build that the interpreter can't load skips these tests, loudly; tools/test runs those with sanitizers in one that can.
"""
import os
import pathlib
import socket
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SPILE_BUILD", SOURCE / "build")).resolve()
PACKAGE = BUILD / "python"

os.environ["PYTHONPATH"] = str(PACKAGE)
os.environ["PATH"] = "/usr/local/bin:/usr/bin:/bin"  # no directory that a user can't look into
sys.path[:0] = [str(PACKAGE), str(SOURCE / "tests" / "python")]
if subprocess.run([sys.executable, "-c", "import spile"], capture_output=True).returncode != 0:
    sys.modules["spile"] = None  # importorskip takes it from here

class Ready:
    """A FIFO in which a program says that it runs."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)

    def wait(self):
        with open(self.path, "rb") as fifo:
            return fifo.read()


@pytest.fixture
def ready(tmp_path):
    return Ready(tmp_path / "ready")


@pytest.fixture
def pair():
    """A talk, and the socket at its other end."""
    spile = pytest.importorskip("spile")
    ours, peer = socket.socketpair()
    with peer, spile.open(ours.detach(), timeout=30) as talk:
        yield talk, peer


@pytest.fixture
def python(tmp_path):
    """Runs a script in an interpreter of its own; returns what it printed."""

    def run(script, *, check=True, executable=sys.executable, **how):
        done = subprocess.run([executable, "-c", script], capture_output=True, text=True, timeout=120, **how)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run

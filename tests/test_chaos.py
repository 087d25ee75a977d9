"""Dozens of kills of tests/chaos, which does hundreds by hand."""
import os
import pathlib
import subprocess
import sys

import pytest

CHAOS = pathlib.Path(__file__).resolve().parent / "chaos"


def run(build, *words):
    if subprocess.run(["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "-mpif", "--mount-proc", "true"],
                      capture_output=True).returncode != 0:
        pytest.skip("no namespaces to look at it in")
    loads = subprocess.run([sys.executable, "-c", "import spile"], env=os.environ | {"PYTHONPATH": str(build / "python")},
                           capture_output=True)
    if loads.returncode != 0:
        pytest.skip("the package can't be loaded: a build with sanitizers")
    done = subprocess.run([CHAOS, "--build", build, *words], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stdout.startswith("chaos: "), done.stdout + done.stderr


def test_in_namespaces(build):
    run(build, "--kills", "14")


def test_with_a_reaper(build):
    run(build, "--kills", "6", "--containment", "reaper")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_an_ordinary_user(build):
    if not os.access(build, os.X_OK) or subprocess.run(
            ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "test", "-x", build / "cli/spile"]).returncode:
        pytest.skip("this directory can only be reached by root")
    run(build, "--kills", "10", "--user", "nobody")

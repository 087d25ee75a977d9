"""What every test through the command shares: where the build is.

$SPILE_BUILD names it (tools/test sets it); by default it is `build` in the source tree. Nothing here starts anything.
"""
import os
import pathlib
import signal

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def build():
    directory = pathlib.Path(os.environ.get("SPILE_BUILD", SOURCE / "build")).resolve()
    if not (directory / "build.ninja").exists():
        pytest.exit(f"'{directory}' is no build directory: run tools/test, or set SPILE_BUILD", returncode=2)
    return directory


@pytest.fixture(scope="session")
def spile(build):
    """The path of the command."""
    return str(build / "cli" / "spile")


@pytest.fixture(autouse=True)
def deadline(request):
    """A test that waits for what never comes fails by itself; the package's tests have their own."""
    if "python" in request.path.parts[len(SOURCE.parts):]:
        yield
        return

    def overdue(number, frame):
        raise TimeoutError("the test waits for more than two minutes")

    old = signal.signal(signal.SIGALRM, overdue)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)

"""What every test through the command shares: where the build is, and what is installed from it.

$SPILE_BUILD names it (tools/test sets it); by default it is `build` in the source tree.
"""
import os
import pathlib
import signal
import subprocess

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


@pytest.fixture(scope="session")
def installed(build, tmp_path_factory):
    """Where spile was installed to, as a package would be: moved away from its prefix."""
    if not os.access(build / "meson-logs", os.W_OK):
        pytest.skip("the build directory is another user's: meson can't install from it")
    root = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", root],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


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

"""What the tests of the package share beside fixtures."""
import os

import pytest

# Says where it stands, then lives until it is ended.
WAITING = """sh -c 'echo "$$" >"$1"; exec sleep 1000' sh {ready}"""


def not_sanitized(reason):
    return pytest.mark.skipif("SPILE_PYTHON" in os.environ, reason=reason)  # see sanitized/sitecustomize.py


def open_descriptors():
    return sorted(os.listdir("/proc/self/fd"))

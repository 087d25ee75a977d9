"""What the tests of the package share beside fixtures."""
import os

# Says where it stands, then lives until it is ended.
WAITING = """sh -c 'echo "$$" >"$1"; exec sleep 1000' sh {ready}"""


def open_descriptors():
    return sorted(os.listdir("/proc/self/fd"))

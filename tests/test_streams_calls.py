"""What spile itself does for the bytes of a stream, seen by strace: nothing where it is direct; where it is relayed they
pass from pipe to pipe and are rarely copied. `bench/run --only streams` tells what that comes to.
"""
import re
import shutil
import subprocess

import pytest
from stream_host import LONGEST_SECONDS, host  # noqa: F401 (a fixture)

MOVING = ("read", "write", "readv", "writev", "pread64", "pwrite64", "recvfrom", "sendto", "splice", "tee", "vmsplice",
          "sendfile", "copy_file_range")
CALL = re.compile(r"^(\d+) .*?(?:(\w+)\(|<\.\.\. (\w+) resumed>).* = (\d+)$")
SMALL, LARGE = 1_000_000, 64_000_000


def moved_bytes(host, size, *options):
    """How many bytes each system call moved in all processes but the two programs."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed (tools/setup test)")
    trace = host.directory / "trace"
    words = ["strace", "-f", "-qq", "-s", "0", "-o", trace, "-e", "trace=execve," + ",".join(MOVING), host.spile, "run", *options,
             host.user(f"write {{>a|}} put 0 {size}"), host.user(f"read {{<a|}} get 0 {size} end 0")]
    ran = subprocess.run(words, cwd=host.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_SECONDS)
    if "ptrace" in ran.stderr:
        pytest.skip(f"strace may not be used here: {ran.stderr.strip()}")
    assert (ran.returncode, ran.stderr) == (0, "")
    programs, moved, own = set(), dict.fromkeys(MOVING, 0), dict.fromkeys(MOVING, 0)
    for line in trace.read_text().splitlines():
        if " execve(" in line and "/pipe_user" in line.partition(",")[0]:
            programs.add(line.split()[0])
        found = CALL.match(line)
        name = found and (found[2] or found[3])
        if name in MOVING:
            (own if found[1] in programs else moved)[name] += int(found[4])
    assert own["read"] >= size and own["write"] >= size, own  # else nothing was seen
    return moved


def test_a_direct_stream_is_not_touched(host):
    small, large = (sum(moved_bytes(host, size, "--direct", "a").values()) for size in (SMALL, LARGE))
    assert abs(large - small) < LARGE / 1000, (small, large)


def test_a_relayed_stream_passes_from_pipe_to_pipe(host):
    moved = moved_bytes(host, LARGE)
    assert moved["splice"] >= LARGE / 2, moved


def test_a_direct_stream_has_a_large_pipe(host):
    ask = "import fcntl, os, sys; print(fcntl.fcntl(os.open(sys.argv[1], os.O_WRONLY), fcntl.F_GETPIPE_SZ))"
    size = host.ok("--direct", "a", f"/usr/bin/python3 -c '{ask}' {{>a|}}", "cat {<a|}")
    assert int(size) == 1 << 20

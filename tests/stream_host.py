"""What the tests of streams share: a program that opens, reads and writes exactly as told (helpers/pipe_user.c).

It writes a pattern in which no piece is like another and checks what it reads against it: a byte that is lost, doubled
or moved ends it with 1. A call that hangs fails its test and is killed.
"""
import json
import os
import subprocess

import pytest
from run_host import Host, Ran

LONGEST_SECONDS = 60


def pattern(count):
    words = (count + 7) // 8
    return b"".join(((i + 1) * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "little") for i in range(words))[:count]


class Streams(Host):
    def user(self, steps):
        """A program of these steps, as a template."""
        return f"{self.pipe_user} {steps}"

    def run(self, *words, data=None, **options):
        if data is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*words, **options)
        try:
            out, err = process.communicate(data, timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"it hangs: {words}, {process.communicate()}") from None
        return Ran(process.returncode, out, err)

    def users(self, *programs, words=(), **options):
        """Runs programs of these steps, which must all be content."""
        return self.ok(*words, *map(self.user, programs), **options)

    def streams(self, *words):
        """What the report says of the streams of a call that goes well, by their names."""
        ran = self.run("--json", *words)
        report = json.loads(ran.err)
        assert ran.status == 0, report["outcome"]
        return {stream["name"]: stream for stream in report["streams"]}

    def fails(self, *words, status=123, says=()):
        ran = self.run(*words)
        assert ran.status == status, ran
        for text in [says] if isinstance(says, str) else says:
            assert text in ran.err.decode(errors="replace"), ran
        return ran

    def fifo(self, name):
        os.mkfifo(self.directory / name)
        return self.directory / name


@pytest.fixture
def host(spile, build, tmp_path):
    streams = Streams(spile, build, tmp_path)
    streams.pipe_user = build / "tests/pipe_user"
    if not streams.pipe_user.exists():
        pytest.skip("the helper 'pipe_user' is not built: libcheck is missing (tools/setup test)")
    yield streams
    streams.end()

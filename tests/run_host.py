"""A directory to call `spile run` from, and what came of it: shared by the tests of the command (test_run_*.py)."""
import os
import subprocess

import pytest


ASSEMBLY = b".globl _start\n_start: mov $60, %eax\n xor %edi, %edi\n syscall\n"


class Host:
    """A directory to call from."""

    def __init__(self, spile, build, directory):
        self.spile, self.directory, self.started = spile, directory, []
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "SPILE_CELL": str(build / "src/spile-cell")}
        if "ASAN_OPTIONS" in os.environ:
            self.env["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"]

    def write(self, name, data=b"", mode=None):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if mode is not None:
            path.chmod(mode)
        return path

    def read(self, name):
        return (self.directory / name).read_bytes()

    def names(self):
        return sorted(str(p.relative_to(self.directory)) for p in self.directory.rglob("*") if not p.is_dir())

    def start(self, *words, command="run", **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("env", self.env)
        process = subprocess.Popen([self.spile, command, *map(str, words)], cwd=self.directory, **options)
        self.started.append(process)
        return process

    def end(self):
        """What a test that failed has left running goes."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def run(self, *words, data=None, **options):
        if data is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*words, **options)
        out, err = process.communicate(data, timeout=60)
        return Ran(process.returncode, out, err)

    def ok(self, *words, **options):
        ran = self.run(*words, **options)
        assert (ran.status, ran.err) == (0, b""), ran
        return ran.out

    def refused(self, *words, status=125, says, **options):
        ran = self.run(*words, **options)
        assert ran.status == status, ran
        assert ran.err.startswith(b"spile: "), ran
        assert says in ran.err.decode(), ran
        return ran


class Ran:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}, output {self.out!r}, error {self.err!r}"


@pytest.fixture
def host(spile, build, tmp_path):
    host = Host(spile, build, tmp_path)
    yield host
    host.end()

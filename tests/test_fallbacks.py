"""Calls where the system refuses what cells are made of: containers, old kernels, users without rights (tests/helpers/jail
refuses it). Each loses only what it must, and says so."""
import fcntl
import json
import os
import pathlib
import subprocess
import time

import pytest
from run_host import host  # noqa: F401 (a fixture)

# what is refused, how programs are kept together then, promises that are lost, what the notice names
JAILS = [
    ("clone3", None, set(), None),
    ("close_range", None, set(), None),
    ("memfd", None, set(), None),
    ("namespaces", "reaper", {"contained", "private", "files", "private_path"}, "making namespaces: Operation not permitted"),
    ("mounts", "reaper", {"contained", "private", "files", "private_path"}, "keeping mounts to itself: Operation not permitted"),
    ("docker", "reaper", {"contained", "private", "files", "private_path"}, "making namespaces: Operation not permitted"),
    ("docker,close_range,memfd,peeking", "reaper", {"contained", "private", "files", "private_path"}, "making namespaces"),
]
BY_USER = {"processes"}  # for ordinary users, who have no control group, lost with user namespaces


class Jailed:
    def __init__(self, host, build, what, before=()):
        self.host, self.words = host, [*before, str(build / "tests/jail"), what, host.spile]
        # The search for leaks of a sanitized build wants to ptrace, which is what a jail may take away.
        self.env = {**host.env, "ASAN_OPTIONS": host.env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        if subprocess.run([*before, str(build / "tests/jail"), what, "true"], capture_output=True).returncode != 0:
            pytest.skip("there is no seccomp, or no way to mount, here")

    def run(self, *words, **options):
        return subprocess.run([*self.words, *words], cwd=self.host.directory, env=self.env, capture_output=True,
                              timeout=60, stdin=subprocess.DEVNULL, **options)

    def doctor(self):
        return json.loads(self.run("doctor", "--json").stdout)


@pytest.fixture(params=JAILS, ids=[jail[0] for jail in JAILS])
def jail(request, host, build):
    what, *rest = request.param
    return Jailed(host, build, what), *rest


def held(found):
    return {promise["name"] for promise in found["promises"] if promise["holds"]}


def in_memory():
    """Directories of cells that nobody uses: what is in use is locked, by other tests perhaps."""
    found = set()
    for path in [*pathlib.Path("/dev/shm").glob("spile-cell-*"), *pathlib.Path("/tmp").glob("spile-cell-*")]:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                found.add(path)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)
    return found


def wait_until_nothing_is_left(before, mark=b"no process has this"):
    limit = time.monotonic() + 20
    while (left := marked(mark)) or in_memory() - before:
        assert time.monotonic() < limit, (left, in_memory() - before)
        time.sleep(0.005)


def test_what_is_lost_and_what_not(jail, host):
    jailed, containment, lost, notice = jail
    free = json.loads(host.run("--json", command="doctor").out)
    found = jailed.doctor()
    assert found["containment"] == (containment or free["containment"])
    if free["containment"] == "namespace":
        may_be_lost = BY_USER if "processes" in held(free) and os.geteuid() != 0 and containment else set()
        assert lost <= held(free) - held(found) <= lost | may_be_lost
    for promise in found["promises"]:
        if promise["name"] in lost:
            assert promise["text"] and promise["cure"], promise
            ran = jailed.run("run", "--require", promise["name"], "echo x")
            assert ran.returncode == 125 and ran.stdout == b""
            assert f"the promise '{promise['name']}' can't be kept here: " in ran.stderr.decode()
    if notice and free["containment"] == "namespace":
        assert notice in found["promises"][0]["text"]
        assert notice in jailed.run("run", "--trace", "true").stderr.decode()


def test_calls_work(jail, host):
    jailed = jail[0]
    before = in_memory()
    host.write("in", b"b\na\n")
    ran = jailed.run("run", "--json=report", "sort {<in} >{mid|}", "sed s/a/x/ <{mid|} >{out}", "echo {long...}",
                     *[word for i in range(3000) for word in ("-v", f"long={'x' * 30}")])
    assert (ran.returncode, ran.stderr) == (0, b""), ran
    assert host.read("out") == b"x\nb\n" and len(ran.stdout) == 3000 * 31
    ran = jailed.run("run", "--timeout", "0.3", "--program-memory", "500M", "--open-files", "30",
                     "sh -c '(trap \"\" TERM HUP; setsid sleep 1000) & exec sleep 1000'")
    assert ran.returncode == 124 and b"did not end within 0.3 s" in ran.stderr
    assert jailed.run("run", "sh -c 'setsid sleep 1000 & exit 3'").returncode == 3
    wait_until_nothing_is_left(before)


def test_a_standstill_is_told(jail):
    ran = jail[0].run("run", "--timeout", "20", "sh -c 'sleep 0.01; cat <$1 >$2' sh {<x|} {>y|}", "sh -c 'cat <$1 >$2' sh {<y|} {>x|}")
    assert ran.returncode == 123 and b"stand" in ran.stderr or b"wait" in ran.stderr, ran


def marked(mark):
    """The processes that have the mark in their environment."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        try:
            if process.name.isdigit() and mark in (process / "environ").read_bytes():
                found.append((process.name, (process / "cmdline").read_bytes()))
        except OSError:
            pass
    return found


def test_a_killed_host_leaves_nothing(jail, host):
    jailed = jail[0]
    before, mark = in_memory(), f"MARK_OF={host.directory}"
    os.mkfifo(host.directory / "ready")
    process = subprocess.Popen(
        [*jailed.words, "run", f"sh -c 'setsid sh -c \"trap : TERM HUP; echo >{host.directory}/ready; sleep 1000; sleep "
         "1000\" & sleep 1000'"], env=host.env | {"MARK_OF": str(host.directory)}, cwd=host.directory)
    (host.directory / "ready").read_bytes()
    assert len(marked(mark.encode())) >= 4
    process.kill()
    process.wait()
    wait_until_nothing_is_left(before, mark.encode())


# ------------------------------------------------------------------------------------------------- shared memory

UNSHARE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]


def shared_memory(host, build, script):
    return Jailed(host, build, "namespaces", [*UNSHARE, "sh", "-c", f"{script}; exec \"$@\"", "sh"])


def test_shared_memory_that_can_not_be_written(host, build):
    jailed = shared_memory(host, build, "mount -t tmpfs -o ro tmpfs /dev/shm || exit 1")
    found = {thing["name"]: thing for thing in jailed.doctor()["machine"]}["shared_memory"]
    assert not found["holds"] and "/tmp" in found["text"] and "remount,rw" in found["cure"]
    assert jailed.run("run", "pwd").stdout.startswith(b"/tmp/spile-cell-")


def test_shared_memory_that_is_small(host, build):
    jailed = shared_memory(host, build, "mount -t tmpfs -o size=64m tmpfs /dev/shm || exit 1")
    found = {thing["name"]: thing for thing in jailed.doctor()["machine"]}["shared_memory"]
    assert found["holds"] and "64 MB" in found["text"] and "it is small" in found["cure"]
    ran = jailed.run("run", "--json=report", "head -c 50000000 /dev/zero >{x}", "x=/dev/null")
    assert ran.returncode == 0, ran
    ran = jailed.run("run", "--json=report", "head -c 100000000 /dev/zero >{x}", "x=/dev/null")
    assert ran.returncode == 123 and b"full, which holds the files of the call here (64 MB; see spile doctor)" in ran.stderr, ran
    assert json.loads(host.read("report"))["outcome"]["kind"] == "limit"


def test_neither_shared_memory_nor_another_place(host, build):
    jailed = shared_memory(host, build, "mount -t tmpfs -o ro tmpfs /dev/shm && mount -t tmpfs -o ro tmpfs /tmp || exit 1")
    jailed.host.directory = pathlib.Path("/")
    ran = jailed.run("run", "echo x")
    assert ran.returncode == 125 and b"'/dev/shm'" in ran.stderr and ran.stdout == b"", ran

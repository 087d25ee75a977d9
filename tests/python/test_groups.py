"""Control groups, which cells keep from call to call: nothing of one call counts in the next, and none stays, whoever is killed."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import pytest

spile = pytest.importorskip("spile")

ASK = "cat /proc/self/cgroup"
BOMB = "sh -c 'for i in 1 2 3 4 5; do sleep 1000 & done; wait'"


def directory(controller, said):
    """Where the group is whose limits hold for a program, which said where it is."""
    own = {names: path for _, names, path in (line.split(":", 2) for line in said.decode().splitlines())}
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        root, mount = fields.split()[3:5]
        kind, _, options = rest.split()
        for names, path in own.items():
            if (kind == "cgroup" and controller in names.split(",") and controller in options.split(",")) or \
                    (kind == "cgroup2" and names == "" and "spile-cell-" in path):
                path = path.removeprefix(root if root != "/" else "")
                return pathlib.Path(mount + (path if kind == "cgroup" else path.removesuffix("/programs")))
    raise AssertionError(said)


@pytest.fixture(params=["namespace", "reaper"])
def context(request):
    with spile.Context(request.param, idle_cells=1) as context:
        try:
            thing = spile.doctor(context).machine["control_groups"]
        except spile.CallError as error:
            pytest.skip(str(error))
        if not thing.holds or spile.doctor(context).containment != request.param:
            pytest.skip(thing.text)
        yield context


def grouped(template, context, check=True, **limits):
    return spile.run(template, context=context, check=check, limits=spile.Limits(**limits))


def test_they_are_kept(context):
    places = {directory("pids", grouped(ASK, context, processes=10 + i, program_memory=64 << 20).stdout) for i in range(3)}
    assert len(places) == 1
    place = places.pop()
    assert place.name.startswith("spile-cell-") and (place / "pids.max").read_text() == "12\n"
    # A call that asks for no group is in none.
    assert b"spile-cell-" not in spile.run(ASK, context=context).stdout
    assert place.exists()
    context.close()
    assert not place.exists()


def test_nothing_of_a_call_counts_in_the_next(context):
    for turn in range(3):
        error = grouped(BOMB, context, check=False, processes=4).error
        assert isinstance(error, spile.LimitError) and "4 processes and threads" in str(error) and "refused 1 more" in str(error)
        error = grouped("sh -c 'exit 3'", context, check=False, processes=4).error
        assert isinstance(error, spile.ProgramError), error
        assert grouped(BOMB.replace("1000", "0"), context, processes=6).ok
        limit = (32 + 8 * turn) << 20
        error = grouped("python3 -c 'bytearray(200 << 20)'", context, check=False, program_memory=limit).error
        assert isinstance(error, spile.LimitError) and f"they had {limit}" in str(error), error
        error = grouped("sh -c 'kill -KILL $$'", context, check=False, program_memory=limit).error
        assert isinstance(error, spile.ProgramError), error
        assert grouped("python3 -c 'bytearray(80 << 20)'", context, program_memory=200 << 20).ok


def test_limits_that_are_gone_limit_nothing(context):
    assert grouped(ASK, context, processes=4, program_memory=24 << 20).ok
    assert grouped("python3 -c 'bytearray(80 << 20)'", context, processes=10).ok
    assert grouped(BOMB.replace("1000", "0"), context, program_memory=200 << 20).ok
    assert grouped(ASK, context, processes=4, program_memory=24 << 20).ok
    many = "sh -c 'for i in 1 2 3 4 5; do sleep 0 & done; python3 -c \"bytearray(80 << 20)\"; wait'"
    assert spile.run(many, context=context, require=["processes", "program_memory"]).ok
    place = directory("memory", spile.run(ASK, context=context, require=["processes", "program_memory"]).stdout)
    for name in "pids.max", "memory.max", "memory.swap.max":
        assert not (place / name).exists() or (place / name).read_text() == "max\n", name


def test_what_results_hold_is_no_burden(context):
    """A result owns the memory of its outputs, which was counted in the group: the next call is not to pay for it."""
    first = grouped("sh -c 'cat /proc/self/cgroup; head -c 40000000 /dev/zero >out' {+>out}", context, program_memory=64 << 20)
    second = grouped("sh -c 'cat /proc/self/cgroup; head -c 40000000 /dev/zero >out' {+>out}", context, program_memory=64 << 20)
    assert len(first["out"]) == len(second["out"]) == 40000000
    del first, second
    assert grouped("python3 -c 'bytearray(40 << 20)'", context, program_memory=64 << 20).ok


def test_groups_that_are_left_in_them(context):
    """By a program that manages groups itself, say: not for the next call, and not for ever."""
    limits = {"processes": 10, "program_memory": 64 << 20}
    for turn in range(2):
        place = directory("pids", grouped(ASK, context, **limits).stdout)
        inside = place / "programs" if (place / "programs").exists() else place
        (inside / "a" / "b").mkdir(parents=True)
        (inside / "c").mkdir()
        assert turn == 1 or directory("pids", grouped(ASK, context, **limits).stdout) != place
        assert turn == 1 or not place.exists()
    context.close()
    assert not place.exists()


CALL = """
import spile, sys
r = spile.run(sys.argv[1], check=False, limits=spile.Limits(processes=100, program_memory=300 << 20))
print(open("/proc/self/cgroup").read(), r.stdout.decode(), r.stderr, sep="\\n", flush=True)
"""


def test_a_call_in_a_call_is_held_to_both(context):
    outer = {"processes": 30, "program_memory": 200 << 20}
    own, inner, _ = grouped([sys.executable, "-c", CALL, ASK], context, **outer).stdout.split(b"\n\n")
    assert directory("pids", inner).parent == directory("pids", own)
    bomb = "sh -c 'for i in $(seq 40); do sleep 1000 & done'"
    assert b"annot fork" in grouped([sys.executable, "-c", CALL, bomb], context, **outer).stdout
    error = grouped([sys.executable, "-c", CALL, "python3 -c 'bytearray(250 << 20)'"], context, check=False, **outer).error
    assert error is None or isinstance(error, spile.LimitError)  # version 1 tells the inner call


# ------------------------------------------------------------------------------------------------- groups of version 2

@pytest.fixture
def subtree(context):
    """A group of version 2 in which hosts may be, and which hands on both controllers."""
    place = directory("pids", grouped(ASK, context, processes=10, program_memory=64 << 20).stdout)
    if not (place / "cgroup.subtree_control").exists():
        pytest.skip("control groups of version 1")
    made = pathlib.Path(tempfile.mkdtemp(prefix="test-", dir=place.parent))
    (made / "cgroup.subtree_control").write_text("+memory +pids")
    yield made
    end = time.monotonic() + 10
    while any(path.name.startswith("spile-cell-") for path in made.rglob("*")):  # those of hosts that have just ended
        assert time.monotonic() < end
        time.sleep(0.002)
    for top, directories, _ in os.walk(made, topdown=False):
        while "populated 1" in (pathlib.Path(top) / "cgroup.events").read_text():
            assert time.monotonic() < end
            time.sleep(0.002)
        os.rmdir(top)


def said_in(group, script):
    """What a host of its own says there."""
    group.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", script], preexec_fn=lambda: (group / "cgroup.procs").write_text("0"),
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


HELD = """
import spile
r = spile.run("cat /proc/self/cgroup", require=["processes", "program_memory"])
print(r.stdout.decode().rsplit(":", 1)[1])
"""


def test_the_nearest_that_hands_on_both(subtree):
    near = subtree / "near"
    near.mkdir()
    (near / "cgroup.subtree_control").write_text("+pids")
    said = said_in(near / "host", HELD)[0]
    assert f"/{subtree.name}/spile-cell-" in said, said


def test_a_threaded_group_is_of_no_use(subtree):
    near, host = subtree / "near", subtree / "near" / "host"
    host.mkdir(parents=True)
    (near / "cgroup.subtree_control").write_text("+pids")
    (host / "cgroup.type").write_text("threaded")
    said = said_in(host, HELD)[0]
    assert f"/{subtree.name}/spile-cell-" in said, said


@pytest.mark.parametrize("limits", ["limits=spile.Limits(program_memory=400 << 20)", "require=['program_memory']"])
def test_a_limit_of_somebody_else_is_not_told_as_ours(subtree, limits):
    (subtree / "memory.max").write_text(str(80 << 20))
    said = said_in(subtree / "host", f"""
import spile
print(type(spile.run("python3 -c 'bytearray(150 << 20)'", check=False, {limits}).error).__name__)
""")
    assert said == ["ProgramError"]


# ------------------------------------------------------------------------------------------------- who is killed

HOST = """
import spile, sys
context = spile.Context("namespace", idle_cells=1)
limits = spile.Limits(processes=100, program_memory=64 << 20)
for line in sys.stdin:
    if line == "plain\\n":
        spile.run("true", context=context, check=False)
        continue
    said = [spile.run("cat /proc/self/cgroup", limits=limits, context=context, check=False).stdout for call in range(3)]
    print(said[-1].decode(), flush=True)
"""


def children(pid):
    return [int(word) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]


def processes_of(host):
    """The keeper of its cell, in a session of its own, and the supervisor, its child."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[0] == b"spile-cell" and int(words[-2]) == host.pid and children(int(entry.name)):
                return int(entry.name), *children(int(entry.name))
        except (OSError, ValueError, IndexError):
            pass
    raise AssertionError("it has no cell")


def ask(host):
    """The groups of a call of its, made now."""
    host.stdin.write(b"\n")
    host.stdin.flush()
    said = b"".join(iter(host.stdout.readline, b"\n"))
    return [directory("pids", said), directory("memory", said)]


def wait_until_gone(places):
    end = time.monotonic() + 10
    while any(place.exists() for place in places):
        assert time.monotonic() < end, places
        time.sleep(0.002)


@pytest.mark.parametrize("context", ["namespace"], indirect=True)
@pytest.mark.parametrize("killed", ["host", "supervisor", "keeper", "supervisor host", "keeper host", "keeper supervisor"])
def test_none_stays(context, killed):
    with subprocess.Popen([sys.executable, "-c", HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        places = ask(host)
        assert all(place.exists() for place in places)
        keeper, supervisor = processes_of(host)
        assert os.getsid(keeper) == keeper  # a shell that kills its job does not kill it
        for name in killed.split():
            os.kill({"host": host.pid, "keeper": keeper, "supervisor": supervisor}[name], signal.SIGKILL)
        if killed == "keeper supervisor":  # the host sees to it, also where it makes no others
            host.stdin.write(b"plain\n" * 3)
            host.stdin.flush()
            wait_until_gone(places)
        if "host" not in killed:
            later = ask(host)  # it goes on, in another cell where its own is gone
            assert (later == places) == (killed == "keeper")
            if killed != "keeper":
                wait_until_gone(places)
            places += later
        host.kill()
    wait_until_gone(places)


def test_a_host_that_collects_orphans_is_left_none():
    """The first process of a container is left all that its cells leave."""
    script = """
import ctypes, pathlib, spile
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
def children():
    return [pid for task in pathlib.Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
for turn in range(3):
    with spile.Context() as context:
        assert spile.run("echo x", context=context).stdout == b"x\\n"
        assert spile.run("echo x", context=context, limits=spile.Limits(open_files=10)).stdout == b"x\\n"
        stat = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] for pid in children()]
        assert "Z" not in stat, stat
    assert children() == [], [open(f"/proc/{pid}/stat").read() for pid in children()]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

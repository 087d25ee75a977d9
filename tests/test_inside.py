"""What a program sees inside a cell, which is as little surprising as the kernel allows; and what one call leaves to the next:
nothing."""
import json
import os
import subprocess

import pytest
from run_host import host  # noqa: F401 (a fixture)


@pytest.fixture
def contained(host):
    if json.loads(host.run("--json", command="doctor").out)["containment"] != "namespace":
        pytest.skip("no namespaces here")
    return host


def test_who_it_is(contained):
    """The same user and group as outside; an ordinary user loses supplementary groups, root nothing."""
    said = contained.ok("sh -c 'id -u; id -g; id -un; stat -c %u:%g . /etc/passwd; echo x >f; stat -c %u:%g f'").split()
    user, group = str(os.geteuid()).encode(), str(os.getegid()).encode()
    assert said[:2] == [user, group] and said[3] == user + b":" + group and said[5] == user + b":" + group
    assert said[4] == (b"0:0" if os.geteuid() == 0 else b"65534:65534")


def test_outputs_are_the_callers(contained):
    contained.ok("sh -c 'echo x >f' {+>f}")
    status = os.stat(contained.directory / "f")
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def test_set_user_programs_gain_nothing(contained):
    if os.geteuid() == 0:
        pytest.skip("root has nothing to gain")
    assert contained.ok("sh -c 'grep -E \"^(CapEff|CapPrm|CapAmb)\" /proc/self/status'").count(b"0000000000000000") == 3
    ran = contained.run("su -c id </dev/null")
    assert ran.status != 0 and b"uid=0" not in ran.out


def test_process_numbers(contained):
    said = contained.ok("sh -c 'cat /proc/1/comm; ls /proc | grep -c \"^[0-9]\"; echo $PPID; kill -0 1 && echo may'")
    first, count, parent, *rest = said.split()
    assert first == b"spile-cell" and int(count) <= 6 and parent == b"1"
    assert b"secret" not in contained.run("cat /proc/1/environ", env=contained.env | {"TOKEN": "secret"}).out


def test_files_are_not_seen_from_outside(contained):
    """Not by their path, not through /proc as another user, nor by who looks at /dev/shm."""
    os.mkfifo(contained.directory / "at_work")
    os.mkfifo(contained.directory / "go_on")
    process = contained.start(f"sh -c 'pwd >{contained.directory}/at_work; read x <{contained.directory}/go_on; stat -c %a ..' {{+<in}}",
                              "in=" + str(contained.write("in", b"secret")))
    path = (contained.directory / "at_work").read_text().strip()
    assert not os.path.exists(path)
    assert not [name for name in os.listdir("/dev/shm") if b"secret" in name.encode()]
    (contained.directory / "go_on").write_text("x\n")
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b"700\n")


def test_its_file_system(contained):
    """It gives no rights, is nobody else's, and is kept out of swap where the kernel can be asked to."""
    line, = [line for line in contained.ok("cat /proc/self/mounts").decode().splitlines() if line.startswith("spile ")]
    options = line.split()[3].split(",")
    assert {"nosuid", "nodev", "mode=700"} <= set(options)
    mounts = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "-o", "noswap", "tmpfs", "/mnt"], capture_output=True)
    assert ("noswap" in options) == (mounts.returncode == 0)  # Linux 6.4, root


def test_what_the_host_mounts_later_is_seen(contained):
    if os.geteuid() != 0:
        pytest.skip("only root mounts something outside of the call")
    place = contained.directory / "place"
    place.mkdir()
    os.mkfifo(contained.directory / "at_work")
    os.mkfifo(contained.directory / "go_on")
    script = f"""cd {contained.directory}
"$@" run "sh -c 'echo >{contained.directory}/at_work; read x <{contained.directory}/go_on; ls {place}'" >said & spile=$!
read x <at_work
mount -t tmpfs tmpfs place && echo >place/new && echo >go_on
wait $spile"""
    subprocess.run(["unshare", "-m", "--propagation", "shared", "sh", "-c", script, "sh", contained.spile], env=contained.env,
                   check=True, timeout=30)
    assert contained.read("said") == b"new\n"


def needs_package(build):
    if subprocess.run(["/usr/bin/python3", "-c", "import spile"], env={"PYTHONPATH": str(build / "python")},
                      capture_output=True).returncode != 0:
        pytest.skip("the package can't be loaded: a build with sanitizers")


def test_objects_do_not_outlive_the_call(contained, build):
    """Those of System V and POSIX neither reach the host nor the next call in the same cell."""
    def count():
        return sum(len(open(f"/proc/sysvipc/{kind}").readlines()) for kind in ("shm", "sem", "msg"))
    script = f"""
import spile
context = spile.Context(idle_cells=1)
look = "sh -c 'cat /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg'"
def look_in():
    return spile.run(look, context=context).stdout.count(b"\\n")
assert look_in() == 3
for turn in range(2):
    error = spile.run("sh -c '{build}/tests/hostile ipc & sleep 1000'", timeout=0.2, check=False, context=context).error
    assert error.kind == "timeout", error
    assert look_in() == 3, look_in()
"""
    needs_package(build)
    before = count()
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", script], capture_output=True, text=True, timeout=60,
                          env=contained.env | {"PYTHONPATH": str(build / "python")})
    assert done.returncode == 0, done.stderr
    assert count() == before


def test_a_queue_alone_does_not_outlive_the_call(contained, build):
    """It is seen otherwise than System V's objects are."""
    needs_package(build)
    script = """
import spile
context = spile.Context(idle_cells=1)
make = "import ctypes, os; print(ctypes.CDLL(None).mq_open(b'/spile', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, None) >= 0)"
for turn in range(3):
    said = spile.run(["/usr/bin/python3", "-c", make], context=context).stdout
    assert said == b"True\\n", (turn, said)
"""
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", script], capture_output=True, text=True, timeout=60,
                          env=contained.env | {"PYTHONPATH": str(build / "python")})
    assert done.returncode == 0, done.stderr


def test_containment_can_be_declined(build, host):
    """And what is lost with it is said."""
    ran = host.run("--containment", "none", command="doctor")
    assert ran.status == 0 and b"no  contained" in ran.out and b"plain children" in ran.out

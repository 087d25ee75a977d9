"""Streams are delivered while their programs run, in bounded memory, and leave nothing behind.

Nothing here sleeps: a producer goes on only when the test has read what it wrote so far.
"""
import os
import pathlib
import resource
import signal
import subprocess
import textwrap

import pytest
from stream_host import LONGEST_SECONDS, host, pattern  # noqa: F401 (host is a fixture)

# ---------------------------------------------------------------------------------------------- while it runs


def two_steps(go):
    return f"sh -c 'exec >$1; echo first; read line <{go}; echo second' sh {{>x|}}"


def read_line(fd):
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        assert byte, "the end came first"
        line += byte
    return line


@pytest.mark.parametrize("programs", [[], ["cat {<x|} >{y|}"], ["cat <{x|} | cat >{y|}"]], ids=["one", "two", "bar"])
def test_to_standard_output(host, programs):
    go = host.fifo("go")
    call = host.start(two_steps(go), *programs, "y=-" if programs else "x=-")
    assert read_line(call.stdout.fileno()) == b"first\n"
    go.write_bytes(b"\n")
    assert call.communicate(timeout=LONGEST_SECONDS) == (b"second\n", b"")
    assert call.returncode == 0


def test_to_a_fifo_and_a_descriptor(host):
    go, target = host.fifo("go"), host.fifo("target")
    call = host.start(two_steps(go), f"x={target}")
    with open(target, "rb", buffering=0) as file:
        assert read_line(file.fileno()) == b"first\n"
        go.write_bytes(b"\n")
        assert file.readall() == b"second\n"
    assert call.wait(LONGEST_SECONDS) == 0
    reader, writer = os.pipe()
    call = host.start(two_steps(go), f"x=@{writer}", pass_fds=[writer])
    os.close(writer)
    assert read_line(reader) == b"first\n"
    go.write_bytes(b"\n")
    assert (read_line(reader), os.read(reader, 1), call.wait(LONGEST_SECONDS)) == (b"second\n", b"", 0)
    os.close(reader)


@pytest.mark.parametrize("mark", ["{<in|}", "<{in|}", "{<in|} | cat"])
@pytest.mark.parametrize("path", ["/proc/cpuinfo", "/sys/kernel/mm/transparent_hugepage/enabled", "/dev/null"])
def test_input_whose_size_nobody_tells(host, mark, path):
    """A file of /proc says that it is empty, one of /sys that it is a page."""
    assert host.ok(f"cat {mark}", f"in={path}") == pathlib.Path(path).read_bytes()


def test_input_while_it_is_written(host):
    call = host.start("cat {<in|} >{y|}", "in=-", "y=-", stdin=subprocess.PIPE)
    for word in (b"one\n", b"two\n"):
        os.write(call.stdin.fileno(), word)
        assert read_line(call.stdout.fileno()) == word
    assert call.communicate(timeout=LONGEST_SECONDS) == (b"", b"")
    assert call.returncode == 0


def test_a_file_that_grows_meanwhile(host):
    log = host.directory / "log"
    log.write_bytes(b"first\n")
    assert host.ok(f"sh -c 'echo more >>$1; cat $2' sh {log} {{<in|}}", f"in={log}") == b"first\n"
    assert log.read_bytes() == b"first\nmore\n"


def test_asked_for_though_it_passes_on(host):
    host.users("write {>x|} put 0 3000000", "read {<x|} get 0 3000000 end 0", words=["-o", "x=copy"])
    assert host.read("copy") == pattern(3000000)


def test_a_file_is_replaced_only_when_all_is_well(host):
    go = host.fifo("go")
    host.write("x", b"old")
    (host.directory / "seen").mkdir()
    seen = host.fifo("seen/fifo")
    call = host.start(two_steps(go), f"sh -c 'read line <$1; echo $line >{seen}; cat $1' sh {{<x|}}", "-o", "x=x")
    assert seen.read_bytes() == b"first\n"
    assert host.read("x") == b"old"
    call.communicate(timeout=LONGEST_SECONDS)
    assert call.returncode == 123 and host.read("x") == b"old"  # it opened its input twice
    call = host.start(two_steps(go))
    go.write_bytes(b"\n")
    assert call.wait(LONGEST_SECONDS) == 0 and host.read("x") == b"first\nsecond\n"


# --------------------------------------------------------------------------------------------------- in bounded memory


@pytest.fixture
def little_memory(host):
    """Of its own, for spile and for each program."""
    program = pathlib.Path(host.spile).read_bytes()
    is_sanitized = b"__asan_init" in program or b"__tsan_init" in program
    limit = resource.RLIM_INFINITY if is_sanitized else 64 << 20
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def test_endless_in_constant_memory(host, little_memory):
    call = host.start("yes >{x|}", "cat {<x|} >{y|}", "y=-", preexec_fn=little_memory)
    taken = 0
    while taken < 1 << 30:
        size = len(os.read(call.stdout.fileno(), 1 << 20))
        assert size > 0, call.communicate()
        taken += size
    call.stdout.close()
    call.stderr.close()
    assert call.wait(LONGEST_SECONDS) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("programs", [["yes >{x|}", "cat {<x|} >{y|}", "y=-"], ["yes >{x|}", "sh -c 'exec <$1; sleep 100' sh {<x|}"]],
                         ids=["the-caller", "a-program"])
def test_a_reader_that_does_not_read_holds_the_producer_up(host, little_memory, programs):
    call = host.start("--timeout", "700ms", *programs, preexec_fn=little_memory)
    assert call.wait(LONGEST_SECONDS) == 124
    with call.stdout, call.stderr:
        assert b"did not end within" in call.stderr.read()


# -------------------------------------------------------------------------------------------- without inotify


def test_no_inotify_instance_is_left(host):
    """A user may have 128. Then it is looked by the clock, and said so."""
    limit = "/proc/sys/user/max_inotify_instances"
    wrap = ["unshare", "--user", "--map-root-user", "sh", "-c", f'echo 0 >{limit} && exec "$0" "$@"']
    if subprocess.run([*wrap, "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespace can be had here")
    for programs in [
        ("write {>a|} write {>b|} put 0 3000000 put 1 10", "read {<b|} read {<a|} get 0 10 get 1 3000000 end 0 end 1"),
        ("write {>a|} put 0 10 close 0 write {>a|} put 1 10", "read {<a|} get 0 10 again 0 get 0 10 end 0"),
        ("write {>a|} put 0 10 close 0 read {<b|} end 1", "read {<a|} get 0 10 end 0 write {>b|}"),
        ("write {>a|} put 0 100000000", "read {<a|} get 0 10"),
    ]:
        ran = subprocess.run([*wrap, host.spile, "run", "--trace", *map(host.user, programs)], cwd=host.directory,
                             env=host.env, capture_output=True, timeout=LONGEST_SECONDS)
        assert ran.returncode == 0 and b"notice: no inotify instance is left" in ran.stderr, ran


def test_more_events_than_inotify_keeps(host):
    """What opens and closes too much while the caller does not run is served all the same."""
    kept = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if kept > 1 << 20:
        pytest.skip("this machine keeps too many events to lose some")
    here, go = host.fifo("here"), host.fifo("go")
    (host.directory / "in").write_bytes(pattern(300000))
    opens = textwrap.dedent(f"""\
        import os, sys
        open("{here}", "w").close()
        open("{go}").close()
        for _ in range({kept // 2 + 9}):
            os.close(os.open(sys.argv[1], os.O_RDONLY))
        out = open(sys.argv[2], "wb")
        open("{here}", "w").close()
        with out, open(sys.argv[1], "rb") as file:
            out.write(file.read())
        with open(sys.argv[2], "wb") as out:
            out.write(b"and more")
        """)
    (host.directory / "opens.py").write_text(opens)
    call = host.start(f"python3 {host.directory}/opens.py {{<in|}} {{>out|}}", "out=-")
    open(here).close()
    call.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, call.pid, os.WSTOPPED)
    open(go, "w").close()
    open(here).close()
    call.send_signal(signal.SIGCONT)
    output, errors = call.communicate(timeout=LONGEST_SECONDS)
    assert (output == pattern(300000) + b"and more", errors, call.returncode) == (True, b"", 0)


# -------------------------------------------------------------------------------------------------- nothing is left


@pytest.mark.parametrize("programs, status", [
    (["write {>a|} put 0 100000 daemon pause", "read {<a|} get 0 100000 end 0"], 0),
    (["write {>a|} put 0 100000 exit 3", "read {<a|} pause"], 3),
    (["write {>a|} read {<b|} end 1", "write {>b|} read {<a|} end 1"], 123),
], ids=["success", "failure", "standstill"])
def test_nothing_is_left_by_a_call_that_ends(host, programs, status):
    """Where nobody else makes files: in an own /dev/shm."""
    wrap = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
            'mount -t tmpfs none /dev/shm && "$0" "$@"; echo $? $(ls -A /dev/shm)']
    if subprocess.run([*wrap, "true"], capture_output=True).stdout != b"0\n":
        pytest.skip("no user namespace can be had here")
    ran = subprocess.run([*wrap, host.spile, "run", *map(host.user, programs)], cwd=host.directory, env=host.env,
                         capture_output=True, timeout=LONGEST_SECONDS)
    assert ran.stdout == f"{status}\n".encode(), ran
    assert host.names() == []


@pytest.mark.parametrize("target", ["x", "fifo"])
def test_nothing_is_left_by_a_host_that_is_killed(host, target):
    """Its programs end with it: the last of them lets go of the FIFO that tells so."""
    host.write("x", b"old")
    alive = host.fifo("alive")
    host.fifo("fifo")
    sink = os.open(host.directory / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    call = host.start(f"sh -c 'exec 4>{alive}; exec >$1; echo running >&4; while :; do echo data; done' sh {{>x|}}",
                      f"sh -c 'exec 4>{alive}; exec cat $1' sh {{<x|}}", "-o", f"x={target}", stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
    with open(alive, "rb", buffering=0) as file:
        assert read_line(file.fileno()) == b"running\n"
        call.kill()
        call.wait()
        while file.read(4096):
            pass
    os.close(sink)
    assert host.read("x") == b"old" and host.names() == ["alive", "fifo", "x"]


def test_many_calls_leave_no_descriptor(host):
    """With few descriptors allowed, one that stays open would end it soon: here within one call, generation by generation."""
    steps = "write {>a|} put 0 1 close 0 " + " ".join(f"write {{>a|}} put {i} 1 close {i}" for i in range(1, 200))
    read = "read {<a|} " + "get 0 1 again 0 " * 200 + "end 0"
    host.users(steps, read, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))

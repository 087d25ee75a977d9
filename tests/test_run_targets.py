"""What is read and written on the host, its standard streams, and what a failure leaves alone.

Nothing here sleeps: programs say that they are there through a FIFO. Each test has a directory of its own.
"""
import os
import pty
import signal
import stat
import subprocess
import threading
import tty

import pytest
from run_host import host  # noqa: F401 (a fixture)


# ---------------------------------------------------------------------------------------------- inputs and outputs


def test_missing_inputs_are_all_told(host):
    ran = host.refused("cat {<one} {<two} >{y}", "two=nowhere/2", says="there is no file 'one' here: say where it is by one=PATH")
    assert b"spile: there is no file 'nowhere/2', which 'two=nowhere/2' names\n" in ran.err
    host.write("config.txt")
    host.write("in")
    host.refused("cat {<ni}", says="there is no file 'ni' here: did you mean ni=in?")
    host.refused("cat {<confg.txt}", says="there is no file 'confg.txt' here: did you mean confg.txt=config.txt?")


def become_somebody():
    """Root may read and write everything."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_unreadable_input(host):
    host.write("x", b"x", 0)
    host.directory.chmod(0o755)
    try:
        host.refused("cat {<x}", says="'x' can't be read: Permission denied", preexec_fn=become_somebody)
    except PermissionError:
        pytest.skip("the build directory can't be reached by another user than root")


def test_unwritable_directory(host):
    (host.directory / "sub").mkdir(0o555)
    host.directory.chmod(0o755)
    try:
        host.refused("true {>x}", "x=sub/y", says="'sub/y' can't be written: directory 'sub': Permission denied",
                     preexec_fn=become_somebody)
    except PermissionError:
        pytest.skip("the build directory can't be reached by another user than root")


def test_names_that_climb_out(host):
    host.refused("cat {<../x}", says="../x")
    host.refused("cat {</etc/passwd}", says="/etc/passwd")
    host.refused("true", "-i", "../x=/dev/null", says="a file's name stays inside its directory")


def test_same_target_twice(host):
    host.write("a", b"x")
    host.write("out")
    (host.directory / "link").symlink_to("out")
    (host.directory / "sub").mkdir()
    two = ["tee {>b} <{a} >{c}"]
    host.refused(*two, "b=new", "c=new", says="outputs 'b' and 'c' both go to 'new'")
    host.refused(*two, "b=new", "c=sub/../new", says="both go to 'sub/../new'")
    host.refused(*two, "b=out", "c=link", says="both go to 'link'")
    (host.directory / "dangling").symlink_to("sub/new")
    host.refused(*two, "b=sub/new", "c=dangling", says="both go to 'dangling'")
    host.refused(*two, "b=-", "c=-", says="outputs 'b' and 'c' both go to standard output")
    host.refused(*two, "b=-", "c=@1", says="both go to standard output")
    host.ok(*two, "b=/dev/null", "c=/dev/null")
    assert host.read("out") == b""


def test_standard_input_twice(host):
    host.refused("cat {<a} {<b}", "a=-", "b=-", says="standard input is read already, and can't be read twice")
    host.refused("-f", "-", "a=-", data=b"cat {<a}\n", says="standard input is read already")


def test_outputs_are_checked_before_anything_starts(host):
    host.write("file")
    mark = "sh -c 'echo >/dev/tty; touch ran; cp ran \"$1\"' sh {>x}"
    for path, says in [
        ("none/x", "'none/x' can't be written: there is no directory 'none': mkdir -p it first, or write x=PATH"),
        ("file/x", "'file/x' can't be written: 'file' is no directory"),
        (".", "'.' can't be written: it is a directory: write x=./FILE"),
    ]:
        host.refused(mark, f"x={path}", says=says)
        host.refused("-n", mark, f"x={path}", says=says)
    assert host.names() == ["file"]


def test_outputs_stay_untouched_on_failure(host):
    target = host.write("out", b"old")
    before = target.stat()
    host.refused("sh -c 'echo new >\"$1\"; exit 3' sh {>out}", status=3, says="'sh' failed with exit status 3")
    host.refused("sh -c 'echo new >\"$1\"' sh {>out}", "false", status=1, says="'false' failed")
    assert host.read("out") == b"old"
    after = target.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert host.names() == ["out"]


def test_output_keeps_mode_and_follows_links(host):
    (host.directory / "sub").mkdir()
    host.write("sub/real", b"old", 0o751)
    (host.directory / "link").symlink_to("sub/real")
    host.write("in", b"new")
    host.ok("cp {<in} {>link}")
    assert host.read("sub/real") == b"new"
    assert stat.S_IMODE((host.directory / "sub/real").stat().st_mode) == 0o751
    assert (host.directory / "link").is_symlink()


def test_output_through_a_link_to_nothing(host):
    (host.directory / "sub").mkdir()
    (host.directory / "link").symlink_to("sub/new")
    host.write("in", b"new")
    host.ok("cp {<in} {>link}")
    assert host.read("sub/new") == b"new"
    assert (host.directory / "link").is_symlink()


def test_read_only_target(host):
    host.write("in", b"new")
    host.write("out", b"old", 0o444)
    host.refused("cp {<in} {>out}", says="'out' can't be written: it is read-only: give --force to replace it")
    assert host.read("out") == b"old"
    host.ok("--force", "cp {<in} {>out}")
    assert host.read("out") == b"new"
    assert stat.S_IMODE((host.directory / "out").stat().st_mode) == 0o444


def test_device_as_target(host):
    host.write("in", b"x")
    host.ok("cp {<in} {>out}", "out=/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_fifo_as_target_and_source(host):
    host.write("in", b"through" * 50000)
    os.mkfifo(host.directory / "fifo")
    got = []
    reader = threading.Thread(target=lambda: got.append(host.read("fifo")))
    reader.start()
    host.ok("cp {<in} {>out}", "out=fifo")
    reader.join()
    assert got == [host.read("in")]
    assert stat.S_ISFIFO((host.directory / "fifo").stat().st_mode)
    writer = threading.Thread(target=lambda: (host.directory / "fifo").write_bytes(b"back" * 50000))
    writer.start()
    host.ok("cat <{x} >{y}", "x=fifo")
    writer.join()
    assert host.read("y") == b"back" * 50000


def test_terminal_as_target(host):
    host.write("in", b"to the terminal")
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        host.ok("cp {<in} {>out}", f"out={os.ttyname(slave)}")
        assert os.read(master, 100) == b"to the terminal"
    finally:
        os.close(master)
        os.close(slave)


def test_process_substitution(host):
    script = '"$0" run "cat {<a} {<b} >{c}" a=<(echo one) b=<(echo two) c=-'
    out = subprocess.run(["bash", "-c", script, host.spile], cwd=host.directory, env=host.env, check=True,
                         stdout=subprocess.PIPE).stdout
    assert out == b"one\ntwo\n"


# -------------------------------------------------------------------------------------------------- standard streams


def test_both_streams_at_once(host):
    size = 1 << 20
    script = f"head -c {size} /dev/zero | tr '\\\\0' a & head -c {size} /dev/zero | tr '\\\\0' b >&2; wait"
    ran = host.run(f"sh -c \"{script}\"")
    assert ran.status == 0
    assert (ran.out, ran.err) == (b"a" * size, b"b" * size)


def test_standard_input_is_empty(host):
    assert host.ok("cat", data=b"not for it") == b""


def test_an_output_has_standard_output_alone(host):
    host.write("in", b"data")
    ran = host.run("sh -c 'echo chatter; cp \"$1\" \"$2\"' sh {<in} {>out}", "out=-")
    assert (ran.status, ran.out, ran.err) == (0, b"data", b"chatter\n")


def test_bars(host):
    host.write("in", b"c\na\nb\n")
    assert host.ok("sort {<in} | head -n 2 | tr a-z A-Z") == b"A\nB\n"


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_reader_that_left(host):
    host.write("in", b"x" * 100)
    for words in (["yes"], ["cat {<in} >{out}", "out=-"], ["sh -c 'yes; exit 0'"]):
        writer = closed_pipe()
        ran = host.run(*words, stdout=writer)
        os.close(writer)
        if words == ["sh -c 'yes; exit 0'"]:
            assert ran.status == 0
        else:
            assert (ran.status, ran.err) == (128 + signal.SIGPIPE, b""), words
    # Where the reader was not ours, it is a failure like any other.
    host.refused("sh -c 'kill -PIPE $$' >{x}", status=141, says="SIGPIPE")
    writer = closed_pipe()
    ran = host.run("--help", stdout=writer, restore_signals=False)
    os.close(writer)
    assert (ran.status, ran.err) == (128 + signal.SIGPIPE, b"")


def test_full_disk(host):
    host.write("in", b"x" * 100)
    with open("/dev/full", "wb") as full:
        ran = host.run("--help", stdout=full)
        assert (ran.status, ran.err) == (125, b"spile: standard output can't be written: No space left on device\n")
        host.refused("-n", "true", stdout=full, says="standard output can't be written: No space left on device")
        host.refused("cat {<in} >{out}", "out=-", stdout=full, status=123, says="No space left on device")
    host.refused("cat {<in} >{out}", "out=/dev/full", status=123, says="No space left on device")
    host.refused("true", "--json=/dev/full", says="the report can't be written to '/dev/full': No space left on device")


# ------------------------------------------------------------------------------------------------------- exit status


@pytest.mark.parametrize("words, status", [
    (["true"], 0),
    (["sh -c 'exit 7'"], 7),
    (["sh -c 'kill -9 $$'"], 137),
    (["sh -c 'kill -SEGV $$'"], 139),
    (["true {>x}"], 123),
    (["sh -c 'while :; do :; done'", "--timeout", "50ms"], 124),
    ([], 125),
    (["cat {<x"], 125),
    (["cat {<x}"], 125),
    (["/etc/passwd"], 126),
    (["no-such-program"], 127),
    (["./none"], 127),
])
def test_exit_status(host, words, status):
    ran = host.run(*words)
    assert ran.status == status, ran
    assert bool(ran.err) == bool(status)


def test_first_failure_counts(host):
    ran = host.run("sh -c 'echo >\"$1\"; exit 5' sh {>a}", "cat {<a}")
    assert ran.status == 5
    assert ran.err == b"spile: 'sh' failed with exit status 5\n"

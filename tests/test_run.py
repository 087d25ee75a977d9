"""`spile run` as its users see it: every option, every kind of binding, every exit status, every message.

Nothing here sleeps: programs say that they are there through a FIFO. Each test has a directory of its own.
"""
import json
import os
import pty
import re
import resource
import signal
import stat
import subprocess
import threading
import tty

import pytest

ASSEMBLY = b".globl _start\n_start: mov $60, %eax\n xor %edi, %edi\n syscall\n"


class Host:
    """A directory to call from."""

    def __init__(self, spile, build, directory):
        self.spile, self.directory = spile, directory
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
        return subprocess.Popen([self.spile, command, *map(str, words)], cwd=self.directory, **options)

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
    return Host(spile, build, tmp_path)


# ------------------------------------------------------------------------------------------------ what it is for


def test_chain_leaves_only_its_output(host):
    host.write("a.s", ASSEMBLY)
    host.ok("as {<a.s} -o {>a.o}", "ld {<a.o} -o {>prog}")
    assert host.names() == ["a.s", "prog"]
    assert subprocess.run([host.directory / "prog"], check=False).returncode == 0


def test_order_of_templates_does_not_matter(host):
    host.write("a", b"b\na\n")
    host.ok("cp {<sorted} {>b}", "sort {<a} -o {>sorted}")
    assert host.read("b") == b"a\nb\n"


def test_new_output_is_writable_and_follows_the_umask(host):
    host.write("a", b"x")
    host.ok("cp {<a} {>b}", preexec_fn=lambda: os.umask(0o027))
    assert stat.S_IMODE((host.directory / "b").stat().st_mode) == 0o640


# ------------------------------------------------------------------------------------------------------- bindings


def test_bindings_to_paths(host):
    host.write("else/in", b"data")
    host.ok("cat <{x} >{y}", "x=else/in", "y=else/out")
    assert host.read("else/out") == b"data"
    assert host.names() == ["else/in", "else/out"]


def test_binding_may_stand_before_its_template(host):
    host.write("in", b"data")
    host.ok("x=in", "cat <{x} >{y}")
    assert host.read("y") == b"data"


def test_binding_with_equals_sign_and_blanks_in_its_path(host):
    host.write("a = b", b"data")
    host.ok("cat <{x} >{y}", "x=a = b")
    assert host.read("y") == b"data"


def test_standard_streams(host):
    assert host.ok("tr a-z A-Z <{x} >{y}", "x=-", "y=-", data=b"hello") == b"HELLO"


def test_files_called_like_streams(host):
    host.write("-", b"dash")
    host.write("@7", b"at")
    host.ok("cat {<x} {<y} >{z}", "x=./-", "y=./@7")
    assert host.read("z") == b"dashat"


def test_descriptors(host):
    source, target = host.write("source", b"0123456789"), host.write("target")
    with open(source, "rb", buffering=0) as reader, open(target, "wb") as writer:
        reader.read(3)
        host.ok("cat {<x} >{y}", f"x=@{reader.fileno()}", f"y=@{writer.fileno()}",
                pass_fds=[reader.fileno(), writer.fileno()])
    assert host.read("target") == b"3456789"


def test_descriptors_are_checked(host):
    host.write("x")
    with open(host.directory / "x", "rb") as reader:
        fd = reader.fileno()
        host.refused("cat {<x} >{y}", f"y=@{fd}", pass_fds=[fd], says=f"descriptor {fd} is open for reading only")
    with open(host.directory / "w", "wb") as writer:
        fd = writer.fileno()
        host.refused("cat {<x}", f"x=@{fd}", pass_fds=[fd], says=f"descriptor {fd} is open for writing only")
    host.refused("cat {<x}", "x=@77", says="'x=@77': descriptor 77 is not open")
    host.refused("cat {<x}", "x=@", says="'x=@' names no descriptor: write x=@3, or x=./@")
    host.refused("cat {<x}", "x=@abc", says="names no descriptor")
    # Descriptors of the library's own are not the user's, whatever their number.
    for fd in range(3, 12):
        host.refused("cat {<x}", f"x=@{fd}", says="is not open")


def test_closed_standard_streams(host):
    host.write("x", b"data")
    host.refused("cat {<x} >{y}", "x=-", preexec_fn=lambda: os.close(0), says="standard input is not open")
    host.refused("cat {<x} >{y}", "y=-", preexec_fn=lambda: os.close(1), says="standard output is not open")
    host.ok("cat {<x} >{y}", preexec_fn=lambda: (os.close(0), os.close(1), os.close(2)))
    assert host.read("y") == b"data"


def test_operand_is_a_binding_only_for_a_name_in_a_template(host):
    host.write("x", b"data")
    assert host.ok("LC_ALL=C sh -c 'cat \"$1\"; echo $V' sh {<x}") == b"data\n"
    assert host.ok("V=1 sh -c 'cat \"$1\"; echo $V' sh {<x}", "W=2 sh -c 'echo $W'").split() in (
        [b"data1", b"2"], [b"2", b"data1"])
    # A name that is also a variable: the text before '=' is in a template, so it is a binding.
    host.ok("cat {<V} >{y}", "V=x")
    assert host.read("y") == b"data"


def test_variable_that_only_looks_like_a_name(host):
    # '{print}' in single quotes is no mark, so print=... is a template with an assignment.
    host.write("x", b"data\n")
    out = host.ok("awk '{print}' {<x}", "print=1 sh -c 'echo $print'")
    assert sorted(out.split()) == [b"1", b"data"]


def test_bare_programs(host):
    assert host.ok("true") == b""
    assert host.ok("echo a  b") == b"a b\n"


def test_slips_of_bindings(host):
    host.write("A.asm")
    host.refused("cat {<A.asm} >{A.o}", "A.ams=x", says="'A.ams' is no name in a template: did you mean 'A.asm=x'?")
    host.refused("cat {<A.asm} >{A.o}", "other=x", says="'other' is no name in a template: mark it {<other}")
    host.refused("cat {<A.asm}", "A.asm=", says="'A.asm=' lacks its path")
    host.refused("cat {<A.asm}", "A.asm=x", "A.asm=y", says="'A.asm' is bound twice: by 'A.asm=x' and by 'A.asm=y'")
    host.refused("cat {<A.asm}", "-i", "A.asm", says="'A.asm' lacks '='")
    host.refused("cat {<A.asm}", "-i", "=x", says="'=x' lacks a name")
    host.refused("echo {size}", "size=3", says="'size' is a value, not a file: write -v size=3")


def test_input_option(host):
    host.write("there", b"data")
    host.ok("cat {<x} >{y}", "-i", "x=there")
    assert host.read("y") == b"data"


def test_extra_input_is_in_every_directory(host):
    host.write("inc/a.h", b"extra\n")
    out = host.ok("cat sub/a.h", "cat sub/a.h", "-i", "sub/a.h=inc/a.h")
    assert out == b"extra\nextra\n"


def test_extra_inputs_by_pattern_and_tree(host):
    host.write("inc/a.h", b"a\n")
    host.write("inc/b.h", b"b\n")
    host.write("inc/c.txt", b"c\n")
    assert host.ok("sh -c 'cat *'", "-i", "*.h=inc") == b"a\nb\n"
    assert host.ok("sh -c 'cat d/*'", "-i", "d/=inc") == b"a\nb\nc\n"


def test_output_option(host):
    host.write("a", b"b\na\n")
    host.ok("sort {<a} -o {>b}", "head -n 1 {<b} >{c}", "-o", "b=kept", "-o", "c=first")
    assert (host.read("kept"), host.read("first")) == (b"a\nb\n", b"a\n")
    assert host.names() == ["a", "first", "kept"]


def test_outputs_that_no_template_names(host):
    host.ok("sh -c 'echo 1 >one; echo 2 >two.log; echo 3 >three.log'", "-o", "one=1", "-o", "*.log=.")
    assert host.names() == ["1", "three.log", "two.log"]


def test_options_for_the_wrong_direction(host):
    host.write("a", b"x")
    host.refused("cp {<a} {>b}", "-i", "b=a", says="-i b=a: 'b' is made by a program")
    host.refused("cp {<a} {>b}", "-o", "a=c", says="-o a=c: 'a' is only read")


def test_in_place_file(host):
    host.write("x", b"abc", 0o640)
    host.ok("sed -i s/b/B/ {<>x}")
    assert host.read("x") == b"aBc"
    assert stat.S_IMODE((host.directory / "x").stat().st_mode) == 0o640


def test_in_place_file_from_one_place_to_another(host):
    host.write("from", b"abc")
    host.ok("sed -i s/b/B/ {<>x}", "-i", "x=from", "-o", "x=to")
    assert (host.read("from"), host.read("to")) == (b"abc", b"aBc")
    host.ok("sed -i s/b/B/ {<>x}", "-i", "x=from")
    assert host.names() == ["from", "to", "x"]
    assert host.ok("sed -i s/b/B/ {<>x}", "x=-", data=b"bb") == b"Bb"


def test_append(host):
    host.ok("echo one >>{log}")
    host.ok("echo two >>{log}")
    assert host.read("log") == b"one\ntwo\n"


def test_patterns_that_are_read(host):
    for name in ["b.c", "a.c", ".hidden.c", "c.h", "sub/d.c", "sub/deep/e.c", ".dot/f.c"]:
        host.write(name, name.encode() + b"\n")
    assert host.ok("cat {<*.c}") == b"a.c\nb.c\n"
    assert host.ok("cat {<[ac].?}") == b"a.c\nc.h\n"
    assert host.ok("cat {<*/*.c}") == b"sub/d.c\n"
    assert host.ok("cat {<**/*.c}") == b"a.c\nb.c\nsub/d.c\nsub/deep/e.c\n"
    assert host.ok("cat {<sub/**.c}") == b"sub/d.c\nsub/deep/e.c\n"
    assert host.ok("cat {<.*.c}") == b".hidden.c\n"
    assert host.ok("cat {<*.c}", "*.c=sub") == b"sub/d.c\n"


def test_pattern_without_a_match(host):
    host.refused("cat {<*.c}", says="no file here matches '*.c': say where they are by '*.c=DIRECTORY'")
    host.write("sub/x.h")
    host.refused("cat {<*.c}", "*.c=sub", says="no file in 'sub' matches '*.c'")
    host.refused("cat {<*.c}", "*.c=sub/x.h", says="'*.c' is a pattern, so 'sub/x.h' must be a directory")
    host.refused("cat {<*.c}", "*.c=-", says="a pattern is bound to a directory")


def test_pattern_beside_a_name_it_matches(host):
    host.write("a.c", b"a\n")
    host.write("b.c", b"b\n")
    host.write("elsewhere", b"A\n")
    assert host.ok("cat {<a.c} {<*.c}", "a.c=elsewhere") in (b"A\nA\nb\n", b"A\nb\n")


def test_patterns_that_are_written(host):
    host.write("x", b"one\ntwo\n")
    host.ok("split -l 1 {<x} part. {+>part.*}")
    assert (host.read("part.aa"), host.read("part.ab")) == (b"one\n", b"two\n")
    host.ok("split -l 1 {<x} part. {+>part.*}", "part.*=new")
    assert host.read("new/part.ab") == b"two\n"


def test_pattern_fed_by_a_program_takes_nothing_from_the_host(host):
    host.write("a.s", ASSEMBLY)
    host.write("stale.o", b"not an object")
    host.ok("as {<a.s} -o {>a.o}", "ld {<*.o} -o {>prog}")
    assert host.names() == ["a.s", "prog", "stale.o"]


def test_trees(host):
    host.write("src/a", b"a\n")
    host.write("src/sub/b", b"b\n")
    assert host.ok("sh -c 'cat \"$1\"/a \"$1\"/sub/b' sh {<src/}") == b"a\nb\n"
    host.ok("cp -r {<src/}. {>copy/}")
    assert (host.read("copy/a"), host.read("copy/sub/b")) == (b"a\n", b"b\n")
    host.ok("cp -r {<src/}. {>copy/}", "copy/=other")
    assert host.read("other/sub/b") == b"b\n"
    host.refused("ls {<none/}", says="there is no directory 'none/' here: say where it is by none/=PATH")
    host.refused("ls {<src/}", "src/=src/a", says="'src/a' is no directory")
    host.refused("ls {<src/}", "src/=-", says="a tree is bound to a directory")
    host.refused("cat {<src}", says="'src' is a directory: mark it as a tree, {<src/}")


# ---------------------------------------------------------------------------------------------- inputs and outputs


def test_missing_inputs_are_all_told(host):
    ran = host.refused("cat {<one} {<two} >{y}", "two=nowhere/2", says="there is no file 'one' here: say where it is by one=PATH")
    assert b"spile: there is no file 'nowhere/2', which 'two=nowhere/2' names\n" in ran.err
    host.write("config.txt")
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


# ----------------------------------------------------------------------------------------------------------- options


def test_values(host):
    assert host.ok("echo {a}-{b} {list...} end", "-v", "a=1 2", "-vb=$x", "-v", "list=p q", "--value", "list=r") == \
        b"1 2-$x p q r end\n"
    assert host.ok("echo {list...} end", "-v", "list...") == b"end\n"
    assert host.ok("echo {a}", "-v", "a=x=y") == b"x=y\n"
    assert host.ok("echo +{a}+", "-v", "a=") == b"++\n"


def test_values_wrongly_given(host):
    host.refused("echo {size}", says="the value 'size' is not given: write -v size=TEXT")
    host.refused("echo {size}", "-v", "siez=1", says="no template has a value 'siez': did you mean 'size'?")
    host.refused("echo x", "-v", "size=1", says="no template has a value 'size': mark it {size} where it belongs")
    host.refused("echo {a}", "-v", "a=1", "-v", "a=2", says="the value 'a' is given twice, and it is no list")
    host.refused("echo {a}", "-v", "a", says="'a' lacks '=': write NAME=TEXT")
    host.refused("echo {a}", "-v", "=a", says="'=a' lacks a name")
    host.refused("echo {a}", "-v", "a...", says="'a' is one value, not a list")
    host.write("f")
    host.refused("cat {<f}", "-v", "f=1", says="'f' is a file, not a value: write f=PATH without -v")


def test_vector(host):
    host.write("a b", b"data")
    assert host.ok("x=a b", "--", "cat", "{<x}", "-") == b"data"
    assert host.ok("--", "printf", "%s\n", "a  b", "$x", "*", ">y", "{{z}}", "--json") == \
        b"a  b\n$x\n*\n>y\n{z}\n--json\n"
    host.refused("--", says="no program stands behind '--'")


def test_template_file(host):
    host.write("in", b"c\na\nb\n")
    host.write("steps", b"# a comment \\\n\n  # another\nsort \\\n  {<in} \\\n -o {>sorted}\r\nhead -n 1 {<sorted} >{first}")
    host.ok("-f", "steps")
    assert host.read("first") == b"a\n"
    (host.directory / "first").unlink()
    host.ok("-f", "-", data=host.read("steps"))
    assert host.read("first") == b"a\n"
    host.ok("--file=steps", "first=other", "tac {<sorted} >{down}")
    assert (host.read("other"), host.read("down")) == (b"a\n", b"c\nb\na\n")


def test_template_file_errors_name_the_line(host):
    host.write("steps", b"true\n\n# x\ncat \\\n {<x\n")
    host.refused("-f", "steps", says="steps:4: ")
    host.write("steps", b"true\n\nsh -c 'exit 4'\n")
    host.refused("-f", "steps", status=4, says="steps:3: 'sh' failed with exit status 4")
    host.write("steps", b"true\nno-such-program\n")
    host.refused("-f", "steps", status=127, says="steps:2: 'no-such-program' was not found")
    host.write("steps", b"true \\")
    host.refused("-f", "steps", says="steps:1: the last line ends in a backslash, and nothing follows")
    host.write("steps", b"true\n\0\n")
    host.refused("-f", "steps", says="steps:2: a NUL byte stands in this line")
    host.write("steps", b"a {>x}\nb {>x}\n")
    host.refused("-f", "steps", says="steps:2: ")
    host.write("steps", b"# nothing\n")
    host.refused("-f", "steps", says="there is no program to run")
    host.refused("-f", "none", says="-f: 'none' can't be opened: No such file or directory")
    host.refused("-f", ".", says="'.' can't be read: Is a directory")


def test_ok_status(host):
    host.write("a", b"1\n")
    host.write("b", b"2\n")
    assert host.run("diff {<a} {<b} >{patch}").status == 1
    host.ok("--ok-status", "0,1", "diff {<a} {<b} >{patch}")
    host.ok("--ok-status=diff:0,1", "diff {<a} {<b} >{patch}")
    host.ok("--ok-status=2:0-1", "true", "/usr/bin/diff {<a} {<b} >{patch}")
    host.ok("--ok-status=diff:1", "/usr/bin/diff {<a} {<b} >{patch}")
    host.refused("--ok-status=diff:1", "diff {<a} {<a} >{patch}", status=123, says="diff")
    # Of two programs joined by a bar, only the one that is meant.
    host.ok("--ok-status=grep:0,1", "grep z {<a} | sort")
    host.refused("--ok-status=sort:0,1", "grep z {<a} | sort", status=1, says="'grep' failed")
    # What is said of one program replaces what is said of all.
    host.refused("--ok-status=0,1", "--ok-status=sh:0", "sh -c 'exit 1'", status=1, says="'sh' failed")


def test_ok_status_wrongly_given(host):
    for text in ["", "x", "1,", "256", "3-1", ":0", "sh:", "-1"]:
        host.refused(f"--ok-status={text}", "true", says="names no exit statuses: write 0,1 or 0-3")
    host.refused("--ok-status=nobody:1", "true", says="no program is called 'nobody': give its first word, or its "
                 "number from 1 to 1")
    host.refused("--ok-status=2:1", "true", says="no program is called '2'")


def test_optional(host):
    ran = host.refused("true {>x}", status=123, says="'true' ended well without writing 'x'")
    assert b"--optional NAME" in ran.err
    host.ok("--optional", "x", "true {>x}")
    assert host.names() == []
    host.refused("--optional", "y", "true {>x}", says="--optional: no program writes 'y'")


def test_environment(host):
    host.env["KEPT"] = "kept"
    show = "sh -c 'echo $KEPT,$NEW'"
    assert host.ok(show) == b"kept,\n"
    assert host.ok("--env", "NEW=a=b", show) == b"kept,a=b\n"
    assert host.ok("--env=-KEPT", show) == b",\n"
    assert host.ok("--env=-", "--env", "NEW=1", "--env", "PATH", show) == b",1\n"
    assert host.ok("--env", "KEPT", "--env=-", "--env=PATH", "--env=NONE", "env").split() == \
        [b"KEPT=kept", b"PATH=" + host.env["PATH"].encode()]
    host.refused("--env==x", show, says="'=x' lacks a name")
    host.refused("--env=-A=b", show, says="'-A=b' both removes and sets")
    host.refused("--env=", show, says="'' lacks a name")


def test_cwd(host):
    host.write("sub/file", b"here\n")
    host.write("in", b"in\n")
    out = host.ok("--cwd", "sub", "cat file {<in}")
    assert out == b"here\nin\n"
    host.refused("--cwd", "none", "true", says="--cwd: 'none': No such file or directory")
    host.refused("--cwd", "in", "true", says="Not a directory")


def test_jobs(host):
    ran = host.run("--jobs", "1", "--trace", "true", "true", "true")
    assert re.findall("started|exited", ran.err.decode()) == ["started", "exited"] * 3
    # These two wait for one another.
    for name in "ab":
        os.mkfifo(host.directory / name)
    assert host.ok("--jobs=2", "--cwd=.", "sh -c 'echo 1 >a; cat b'", "sh -c 'cat a; echo 2 >b'") == b"1\n2\n"
    for text in ["0", "-1", "x", "99999999999"]:
        host.refused("--jobs", text, "true", says=f"--jobs: '{text}' is no number of programs: write 1 or more")


def test_keep_going(host):
    ran = host.run("--keep-going", "--jobs=1", "false", "echo ran")
    assert (ran.status, ran.out) == (1, b"ran\n")
    ran = host.run("--jobs=1", "false", "echo ran")
    assert (ran.status, ran.out) == (1, b"")


@pytest.mark.parametrize("text", ["50ms", "0.05", "0.05s", "50000us", "0.0009m"])
def test_timeout(host, text):
    ran = host.refused("--timeout", text, "sh -c 'while :; do :; done'", status=124, says="the call did not end within")
    assert b"'sh'" in ran.err


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1.", ".5", "1d", "1 s", "1e3", "99999999999999999999"])
def test_times_that_are_none(host, text):
    host.refused(f"--timeout={text}", "true", says=f"--timeout: '{text}' is no time: write 10, 1.5s, 200ms, 2m or 1h")
    host.refused(f"--cpu={text}", "true", says=f"--cpu: '{text}' is no time")


def test_cpu(host):
    ran = host.run("--cpu", "1", "sh -c 'while :; do :; done'")
    assert ran.status in (123, 128 + signal.SIGXCPU, 128 + signal.SIGKILL), ran


def test_memory(host):
    host.ok("--memory", "4M", "head -c 1000000 /dev/zero >{x}")
    ran = host.run("--memory", "1M", "head -c 10000000 /dev/zero >{y}")
    assert ran.status not in (0, 125), ran
    assert host.names() == ["x"]
    for text in ["", "x", "0", "-1", "1q", "1.5.5", "99999999999T"]:
        host.refused(f"--memory={text}", "true", says=f"--memory: '{text}' is no size: write 4096, 64k, 100M or 2G")
        host.refused(f"--max-output={text}", "true", says=f"--max-output: '{text}' is no size")
    host.ok("--memory", "0.5GiB", "--max-output", "64kb", "true")


# ---------------------------------------------------------------------------------------------- dry run, dot, trace


def test_dry_run(host):
    host.write("a.s", ASSEMBLY)
    out = host.ok("-n", "as {<a.s} -o {>a.o}", "ld {<a.o} -o {>prog}", "nm {<a.o} | sort >{list}", "list=-",
                  "-i", "x=a.s", "-o", "a.o=kept.o").decode()
    assert out == """\
program 1, group 1: as {<a.s} -o {>a.o}
    reads a.s from 'a.s'
    writes a.o to program 2, program 3, 'kept.o'
program 2, group 2: ld {<a.o} -o {>prog}
    reads a.o from program 1
    writes prog to 'prog'
program 3, group 3: nm {<a.o}
    reads a.o from program 1
    standard output to program 4 by a bar
program 4, group 3: sort >{list}
    writes list [standard output] to standard output
every program finds x from 'a.s'
"""
    assert host.names() == ["a.s"]


def test_dry_run_of_the_rest(host):
    host.write("x")
    host.write("a.c")
    host.write("b.c")
    out = host.ok("--dry-run", "sed -i s/a/b/ {<>x}", "cat {<*.c} >>{log}", "true {+>opt}", "--optional", "opt",
                  "-o", "none=n").decode()
    assert "    changes x from 'x' to 'x'\n" in out
    assert "    reads *.c from 'a.c', 'b.c'\n" in out
    assert "    appends to log [standard output] from nothing (starts empty) to 'log'\n" in out
    assert "    writes opt [side file, optional] to 'opt'\n" in out
    assert "asked for besides: none to 'n'\n" in out


def test_dry_run_starts_nothing_and_marks_what_is_missing(host):
    ran = host.run("-n", "cat {<x} >{y}", "touch ran", "--cwd=.")
    assert ran.status == 125
    assert b"reads x from MISSING (there is no file 'x' here" in ran.out
    assert ran.err == b"spile: there is no file 'x' here: say where it is by x=PATH\n"
    assert host.names() == []


def parse_dot(text):
    return subprocess.run(["dot", "-Tplain"], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def test_dot(host):
    host.write("a \"q\" \\.s", ASSEMBLY)
    ran = host.run("--dot", "as {<a.s} -o {>a.o}", "ld {<a.o} {<b.o} -o {>prog}", "nm {<a.o} | sort >{list}",
                   'printf "a\\n" \'"\' é', "a.s=a \"q\" \\.s", "-i", "x=a \"q\" \\.s")
    assert ran.status == 125 and b"b.o" in ran.err
    text = ran.out.decode()
    assert "p1 -> p2" in text and "p1 -> p3" in text and 'p3 -> p4 [label="|"]' in text
    assert "subgraph cluster_3" in text
    try:
        parsed = parse_dot(ran.out)
    except FileNotFoundError:
        pytest.skip("dot is missing: apt-get install graphviz")
    assert (parsed.returncode, parsed.stderr) == (0, b"")
    assert parsed.stdout.count(b"\nnode ") == 5 + 3 + 2


def test_dot_of_bytes_that_are_no_text(host):
    ran = host.run("--dot", b"echo \xff\x01".decode("utf-8", "surrogateescape"))
    assert ran.status == 0
    assert ran.out.decode().count("�") == 1


def test_trace(host):
    host.write("in", b"data")
    ran = host.run("--trace", "cp {<in} {>out}")
    assert ran.status == 0
    lines = ran.err.decode().splitlines()
    assert all(re.fullmatch(r"spile: +\d+\.\d{6} .*", line) for line in lines), lines
    times = [float(line.split()[1]) for line in lines]
    assert times == sorted(times)
    for part in ["input 'in' is there: 4 bytes", "program 1 'cp' started as process", "program 1 'cp' exited with 0",
                 "output 'out' is there: 4 bytes", "output 'out' delivered: 4 bytes"]:
        assert sum(part in line for line in lines) == 1, part
    assert "program 1 'sh' ended by SIGKILL" in host.run("--trace", "sh -c 'kill -9 $$'").err.decode()


# ------------------------------------------------------------------------------------------------------- the report


def test_report_on_standard_error_is_alone_there(host):
    host.write("in", b"data")
    ran = host.run("--json", "sh -c 'echo noise >&2; echo out; cp \"$1\" \"$2\"' sh {<in} {>copy}", "false")
    report = json.loads(ran.err)
    assert ran.status == report["exit_status"] == 1
    assert report["outcome"] == {"ok": False, "kind": "program", "message": "'false' failed with exit status 1",
                                 "errno": None, "program": 1, "hints": []}
    assert ran.out in (b"out\n", b"")


def test_report_of_success(host):
    host.write("in", b"data")
    host.write("more.h", b"12")
    ran = host.run("--json=report", "sh -c 'echo noise >&2; cp \"$1\" \"$2\"' sh {<in} {>mid}", "sort {<mid} >{out}",
                   "-i", "h=more.h", "-o", "mid=-")
    assert (ran.status, ran.out, ran.err) == (0, b"data", b"noise\n")
    report = json.loads(host.read("report"))
    assert report["version"] == 1
    assert report["spile"] == subprocess.run([host.spile, "--version"], stdout=subprocess.PIPE, check=True,
                                             text=True).stdout.split()[1]
    assert report["outcome"]["ok"] is True and report["outcome"]["kind"] is None
    assert report["containment"] in ("namespace", "reaper", "none")
    assert report["wall_seconds"] > 0
    first, second = report["programs"]
    assert (first["index"], first["status"], first["signal"], first["accepted"]) == (0, 0, None, True)
    assert first["stderr_tail"] == "noise\n" and first["stderr_truncated"] is False
    assert first["argv"][:2] == ["sh", "-c"] and first["argv"][3:] == ["sh", "in", "mid"]
    assert second["text"] == "sort {<mid} >{out}"
    assert 0 <= first["start_seconds"] <= first["end_seconds"] <= second["start_seconds"] <= report["wall_seconds"]
    assert first["max_rss_bytes"] > 0 and first["user_seconds"] >= 0 and first["system_seconds"] >= 0
    files = {f["name"]: f for f in report["files"]}
    assert files["in"] == {"name": "in", "flow": "input", "kind": "seekable", "producer": None, "bytes": 4,
                           "from": "in", "to": None}
    assert (files["mid"]["flow"], files["mid"]["to"], files["mid"]["producer"]) == ("intermediate", "-", 0)
    assert (files["out"]["flow"], files["out"]["to"], files["out"]["bytes"]) == ("output", "out", 5)
    assert (files["h"]["flow"], files["h"]["from"], files["h"]["bytes"]) == ("input", "more.h", 2)


def test_report_on_standard_output_is_alone_there(host):
    ran = host.run("--json=-", "echo chatter")
    assert (ran.status, ran.err) == (0, b"chatter\n")
    assert json.loads(ran.out)["outcome"]["ok"] is True


def test_report_of_errors_before_the_start(host):
    for words, kind in [(["cat {<x}"], "missing"), (["cat {<x"], "template"), (["--bad"], "usage"),
                        (["a {>x}", "b {>x}"], "plan"), (["no-such-program"], "not_found"), ([], "usage")]:
        ran = host.run("--json", *words)
        report = json.loads(ran.err)
        assert (report["outcome"]["ok"], report["outcome"]["kind"]) == (False, kind), words
        assert report["exit_status"] == ran.status != 0
        assert report["outcome"]["message"]


def test_report_stays_valid_with_other_bytes(host):
    word = b"\xff\xc3\xa9\xed\xa0\x80".decode("utf-8", "surrogateescape")
    ran = host.run("--json", f"printf {word}")
    argv = json.loads(ran.err.decode("utf-8"))["programs"][0]["argv"]
    assert argv == ["printf", "\ufffdé\ufffd\ufffd\ufffd"]
    ran = host.run("--json", "sh -c \"printf '\\\\377\\\\000x' >&2; exit 1\"")
    assert json.loads(ran.err)["programs"][0]["stderr_tail"] == "\ufffd\0x"


def test_report_wrongly_placed(host):
    host.write("in")
    host.refused("--json=none/report", "true", says="--json: 'none/report' can't be written: No such file")
    host.refused("--json=", "true", says="the file's name is empty")
    host.refused("--json=-", "cat {<in} >{out}", "out=-", says="the report and an output both go to standard output")
    ran = host.run("--json", "--trace", "true")
    assert json.loads(ran.err)["outcome"]["message"].startswith("--trace and --json both go to standard error")


# ---------------------------------------------------------------------------------------------------------- hints


def test_unmarked_words_that_name_files(host):
    host.write("t.html")
    host.write("sub/inc.h")
    host.write("x=y")
    (host.directory / "dir").mkdir()
    up = host.directory / "dir"
    ran = host.run("ls t.html --file=sub/inc.h -Wt.html none dir ./t.html")
    assert ran.status == 2
    hints = [line for line in ran.err.decode().splitlines() if "not marked" in line]
    assert hints == [
        "spile: 't.html' exists here but is not marked: write {<t.html}",
        "spile: 'sub/inc.h' exists here but is not marked: write {<sub/inc.h}",
        "spile: './t.html' exists here but is not marked: write {<t.html}",
    ]
    below = Host(host.spile, host.directory, up)
    below.env = host.env
    ran = below.run("cat ../t.html")
    assert b"'../t.html' exists here but is not marked: write {<t.html} and t.html=../t.html\n" in ran.err
    # Where the programs run in a directory of the host, or when all went well, there is nothing to hint at.
    assert b"not marked" not in host.run("--cwd=.", "sh -c 'exit 1' t.html").err
    assert host.ok("echo t.html") == b"t.html\n"
    assert b"not marked" not in host.run("sh -c 'exit 1' /etc/passwd").err


def test_program_that_stands_here(host):
    host.write("tool", b"#!/bin/sh\necho ran\n", 0o755)
    ran = host.refused("tool", status=127, says="'tool' was not found")
    assert b"spile: 'tool' exists here: write ./tool\n" in ran.err
    assert host.ok("./tool") == b"ran\n"


# ----------------------------------------------------------------------------------------------- usage, help, typos


def test_help_fits_a_screen(host):
    for words in (["run", "--help"], ["run", "-h"], ["--help"], ["-h"], ["help"]):
        out = subprocess.run([host.spile, *words], stdout=subprocess.PIPE, check=True, env=host.env).stdout.decode()
        lines = out.splitlines()
        assert 5 < len(lines) <= 24 and max(map(len, lines)) <= 80, words
    options = subprocess.run([host.spile, "run", "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    for name in ["-i", "-o", "-v", "-f", "-n", "--dot", "--timeout", "--cpu", "--memory", "--max-output", "--jobs",
                 "--env", "--cwd", "--ok-status", "--optional", "--force", "--keep-going", "--json", "--trace"]:
        assert name in options, name


def test_help_without_manual_pages(host):
    env = dict(host.env, PATH="/nonexistent")
    ran = host.run("run", command="help", env=env)
    assert (ran.status, ran.out) == (0, host.run("--help").out)
    host.write("man", b"#!/bin/sh\n[ $1 = -w ] || echo page $1\n", 0o755)
    env["PATH"] = f"{host.directory}:/usr/bin:/bin"
    assert host.run("run", command="help", env=env).out == b"page spile-run\n"
    assert host.run("spile", command="help", env=env).out == b"page spile\n"
    assert host.run("rum", command="help", env=env).status == 125


def test_version(host):
    ran = host.run(command="--version")
    assert ran.status == 0 and re.fullmatch(rb"spile \d+\.\d+\.\d+\n", ran.out)


@pytest.mark.parametrize("words, says", [
    (["--timout", "1", "true"], "there is no option '--timout': did you mean '--timeout'?"),
    (["--dryrun", "true"], "there is no option '--dryrun': did you mean '--dry-run'?"),
    (["--zzzzzz", "true"], "there is no option '--zzzzzz': see spile run --help"),
    (["-z", "true"], "there is no option '-z': see spile run --help"),
    (["true", "--timeout"], "--timeout lacks its value"),
    (["true", "-f"], "-f lacks its value"),
    (["--force=yes", "true"], "--force takes no value"),
    (["cat", "{"], "not quoted for your shell"),
    (["{<x}"], "'x'"),
    (["echo a > b"], ">"),
    (["echo $HOME"], "$"),
])
def test_wrong_usage(host, words, says):
    host.refused(*words, says=says)


@pytest.mark.parametrize("words, says", [
    ([], "a command is missing: see spile --help"),
    (["rnu"], "there is no command 'rnu': did you mean 'spile run'?"),
    (["cat {<x}"], "there is no command 'cat {<x}': to run a template write spile run 'cat {<x}'"),
    (["zzzzzz"], "there is no command 'zzzzzz': see spile --help"),
    (["help", "a", "b"], "help takes one command"),
])
def test_wrong_command(host, words, says):
    ran = subprocess.run([host.spile, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.decode().startswith("spile: " + says)) == (125, b"", True), ran


def test_options_anywhere_joined_and_spelt_out(host):
    host.write("a", b"x")
    assert b"program 1" in host.ok("cat {<a} >{b}", "-nob=c")
    assert host.ok("cp {<a} {>b}", "--output=b=-", "--input", "a=a", "--timeout=10") == b"x"


# --------------------------------------------------------------------------------------------------------- signals


def hold(host, *words, **options):
    """Starts a call whose program says through a FIFO that it is there, and stays until it is ended. Whoever holds the
    other end of the FIFO sees its end once every process of the call is gone."""
    fifo = host.directory / "ready"
    os.mkfifo(fifo)
    template = f"sh -c 'exec 9>\"$1\"; echo ready >&9; echo new >\"$2\"; cat \"$3\"' sh {fifo} {{>out}} {fifo}.stay"
    os.mkfifo(f"{fifo}.stay")
    process = host.start(template, *words, **options)
    reader = open(fifo, "rb", buffering=0)
    assert reader.readline() == b"ready\n"
    return process, reader


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_call(host, number):
    host.write("out", b"old")
    process, reader = hold(host)
    process.send_signal(number)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (out, err) == (b"", f"spile: ended by {number.name}: no output was written\n".encode())
    assert reader.read() == b"", "a process of the call is still there"
    reader.close()
    assert host.read("out") == b"old"
    assert host.names() == ["out", "ready", "ready.stay"]


def test_signal_is_in_the_report(host):
    process, reader = hold(host, "--json")
    process.terminate()
    err = process.communicate(timeout=60)[1]
    reader.close()
    report = json.loads(err)
    assert (report["outcome"]["kind"], report["exit_status"]) == ("cancelled", 143)


def test_kill_leaves_nothing(host):
    process, reader = hold(host)
    process.kill()
    process.communicate(timeout=60)
    assert reader.read() == b"", "a process of the call is still there"
    reader.close()


def test_ignored_signal_stays_ignored(host):
    process, reader = hold(host, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with open(host.directory / "ready.stay", "wb"):
        pass
    process.communicate(timeout=60)
    reader.close()
    assert process.returncode == 0
    assert host.read("out") == b"new\n"


def test_few_descriptors_are_told(host):
    host.write("in", b"x")
    ran = host.run("cp {<in} {>out}", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4)))
    assert ran.status != 0 and ran.err.startswith(b"spile: "), ran
    assert host.names() == ["in"]

"""How the two ends of a stream come and go: reopened, never opened, left early, handed on, misused.

What is said of plain shell (mkfifo and `&`) was seen with these very programs. pipexec and dgsh hand out open descriptors, so that
no open hangs, an output goes on when it is opened again, and an input that is opened again gets what is left.
"""
import os
import resource
import subprocess

import pytest
from stream_host import host, pattern  # noqa: F401 (host is a fixture)


def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


# ------------------------------------------------------------------------------------------------ an input, opened again

TWICE = "read {<in|} get 0 200000 close 0 read {<in|} get 1 300000 end 1"


def test_input_again_from_a_file(host):
    """From its start. Shell: the second open gets what the first left in the pipe, or waits for ever. pipexec: what is left."""
    host.write("in", pattern(300000))
    host.users(TWICE)
    host.users("read {<in|} get 0 300000 end 0 close 0 read {<in|} get 1 300000 end 1 read {<in|} get 2 10")
    with open(host.directory / "in", "rb") as file:
        host.users(TWICE, words=["in=@9"], preexec_fn=lambda: os.dup2(file.fileno(), 9), pass_fds=[9])


def test_input_again_from_a_file_that_was_read_already(host):
    host.write("in", b"head" + pattern(300000))
    with open(host.directory / "in", "rb") as file:
        os.lseek(file.fileno(), 4, os.SEEK_SET)
        host.users(TWICE, words=["in=-"], stdin=file)


def test_input_again_from_a_pipe(host):
    """What was read is not held any more; bytes from the middle would be wrong ones."""
    ran = host.run(host.user(TWICE), "in=-", data=pattern(300000))
    assert ran.status == 123 and b"opens the stream 'in' again" in ran.err and b"{<in}" in ran.err, ran


def test_input_again_from_a_program(host):
    host.fails(host.user("write {>x|} put 0 300000"), host.user(TWICE.replace("in|", "x|")),
               says=["opens the stream 'x' again", "drop the bar from the mark, {<x}"])


def test_a_look_that_reads_nothing_does_not_count(host):
    """Programs open a file to see whether they can, and then again. Shell: the writer dies of SIGPIPE if it writes in between."""
    host.users("write {>x|} put 0 300000", "read {<x|} close 0 read {<x|} get 1 300000 end 1")
    host.users("write {>x|} close 0 write {>x|} put 1 300000", "read {<x|} get 0 300000 end 0")
    # All of it lies in the pipe of the look, and its end was told.
    host.users("write {>x|} put 0 60000 write {>done|}", "read {<x|} read {<done|} end 1 close 0 read {<x|} get 2 60000 end 2")


def test_a_look_that_reads_a_little_counts(host):
    host.fails(host.user("write {>x|} put 0 60000 write {>done|}"),
               host.user("read {<x|} get 0 1 read {<done|} end 1 close 0 read {<x|} get 2 60000"),
               says="opens the stream 'x' again, and what it has read is not held any more")


def test_two_reads_at_once(host):
    host.fails(host.user("write {>x|} put 0 3000000"), host.user("read {<x|} get 0 10 read {<x|} get 1 10"),
               says="opens the stream 'x' while it still reads it, and a pipe can't be read from two places")
    host.write("in", pattern(300000))
    host.users("read {<in|} get 0 10 read {<in|} get 1 300000 end 1 get 0 299990 end 0")


# ---------------------------------------------------------------------------------------------- an output, opened again


def test_output_again_goes_on(host):
    """Shell: a reader that looks in between sees the end, and the second open waits for ever. pipexec: goes on."""
    again = "write {>x|} put 0 100000 close 0 write {>x|} put 1 100000 close 1 write {>x|} put 2 1"
    host.users(again, "read {<x|} get 0 100000 again 0 get 0 100000 again 0 get 0 1 end 0")
    host.users(again)
    assert host.read("x") == pattern(100000) * 2 + pattern(1)


def test_output_truncated_is_not_seen(host):
    """A reopen that truncates a file can't empty a pipe: documented, and why the bar is the caller's to write."""
    host.ok("sh -c 'echo one >$1; echo two >$1' sh {>x|}")
    assert host.read("x") == b"one\ntwo\n"


def test_output_again_after_a_sleep(host):
    """The sleep is no standstill: who sleeps may go on."""
    host.ok("sh -c 'echo one >$1; sleep 0.3; echo two >$1' sh {>x|}", "cat <{x|} >{y}")
    assert host.read("y") == b"one\ntwo\n"


def test_end_that_a_writer_lives_on_after(host):
    """It waits for what its reader makes of all of it. Shell: goes well; here all stands still first. pipexec: hangs, if it
    was opened as /dev/fd/N, for the descriptor itself stays open."""
    host.users("write {>x|} put 0 1000 close 0 read {<y|} get 1 1000 end 1", "read {<x|} get 0 1000 end 0 write {>y|} put 1 1000")


def test_output_again_after_its_end_was_given(host):
    host.fails(host.user("write {>x|} put 0 1000 close 0 read {<y|} get 1 1 write {>x|}"),
               host.user("read {<x|} get 0 1000 end 0 write {>y|} put 1 1 pause"),
               says="opens the stream 'x' for writing again after everything stood still")


# ------------------------------------------------------------------------------------------ standard streams, by name


def test_standard_input_by_its_name(host):
    """Its writer may have ended by then, and a named pipe would wait for the next one."""
    for _ in range(20):
        assert host.ok("cat /dev/stdin <{in|}", "in=-", data=b"given") == b"given"
        assert host.ok("echo told >{x|}", "cat /dev/stdin <{x|}") == b"told\n"


def test_standard_output_by_its_name(host):
    assert host.ok("sh -c 'echo one >/dev/stdout; echo two >/dev/stdout' >{x|}", "cat <{x|}") == b"one\ntwo\n"
    gone = host.fifo("gone")
    writer = f"sh -c 'read x <{gone}; seq 100000 >/dev/stdout; exit $?' >{{x|}}"
    host.ok(writer, f"sh -c 'exec <&-; echo gone >{gone}' <{{x|}}")


# ------------------------------------------------------------------------------------------------------- never opened


def test_input_never_opened(host):
    """Shell: the writer waits in open() for ever. pipexec: its writer dies of SIGPIPE, and that is a failure."""
    host.write("in", pattern(3_000_000))
    host.ok("true {<in|}")
    host.ok("true {<in|}", "in=-", data=pattern(3_000_000))


def test_input_never_opened_of_a_program(host):
    """Nobody wants the data: as with any pipe, its writer gets SIGPIPE."""
    host.users("write {>x|} put 0 3000000", "exit 0 read {<x|}")


def test_output_never_opened(host):
    """Shell: the reader waits in open() for ever. pipexec: it reads nothing, and all is well."""
    host.fails("true {>x|}", "cat {<x|}", says="'true' ended well without opening the stream 'x'")
    host.fails("true {>x|}", says="'true' ended well without opening the stream 'x'")
    host.ok("--optional", "x", "true {>x|}", "cat {<x|}")


def test_opened_and_nothing_written(host):
    assert host.users("write {>x|}", "read {<x|} end 0 say ended") == b"ended"
    host.users("write {>x|}")
    assert host.read("x") == b""


def test_empty_input(host):
    host.write("in")
    host.users("read {<in|} end 0")
    host.users("read {<in|} end 0", words=["in=-"])


# ---------------------------------------------------------------------------------------------------------- died


def test_died_before_opening(host):
    """Shell: whoever is on the other side waits for ever. pipexec: ends, with 1."""
    host.fails("sh -c 'exit 3' sh {>x|}", "cat {<x|} >{y}", status=3, says="'sh' failed with exit status 3")
    host.fails(host.user("write {>x|} put 0 3000000"), "sh -c 'exit 3' sh {<x|}", status=3, says="'sh' failed with exit status 3")
    assert host.names() == []


@pytest.mark.parametrize("death, status", [("exit 3", 3), ("signal 9", 137), ("signal 11", 139)])
def test_died_in_the_middle(host, death, status):
    """Shell: the reader takes what it got for all, ends well, and so does the script. pipexec: the same, but ends with 1."""
    host.fails(host.user("write {>x|} put 0 100000 " + death), "cat {<x|} >{y}", status=status, says="pipe_user")
    host.fails(host.user("write {>x|} put 0 100000 " + death), status=status, says="pipe_user")
    assert host.names() == []


# ------------------------------------------------------------------------------------------------------ left early


def test_head(host):
    """Shell: goes well (141 with pipefail). pipexec: ends with 1."""
    assert host.ok("seq 100000000 >{x|}", "head -n 1 {<x|}") == b"1\n"
    assert host.ok("seq 100000000 >{x|}", "head -n 1 <{x|}") == b"1\n"
    assert host.ok("sh -c 'seq 100000000 >$1; exit $?' sh {>x|}", "head -n 1 {<x|}") == b"1\n"


@pytest.mark.parametrize("reader", [[], ["wc -l {<q|}"]])
def test_an_early_leaver_cuts_nobody_else_short(host, reader):
    """Shell: what tee wrote until then is all that there is, and nobody says so."""
    other = "{q|}" if reader else "{q}"
    host.fails(f"seq 1000000 | tee {{>p|}} >{other}", "head -n 1 {<p|}", *reader, status=141,
               says=["SIGPIPE", "'q', which it writes too, is cut short"])
    host.ok(f"seq 1000000 | tee -p {{>p|}} >{other}", "head -n 1 {<p|}", *reader)
    host.ok("seq 1000000 | tee {>p|} >{q} 2>{err}", "head -n 1 {<p|}", "--optional", "q")


def test_head_of_what_the_caller_gives(host):
    host.write("in", b"1\n" * 3_000_000)
    assert host.ok("head -n 1 {<in|}") == b"1\n"
    yes = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
    assert host.ok("head -n 1 {<in|}", "in=-", stdin=yes.stdout) == b"y\n"
    yes.stdout.close()
    assert yes.wait() == -13


def test_what_nobody_reads_is_not_fetched(host):
    """Its reader has had enough and works on: an endless input must not be read into nothing meanwhile."""
    feeder = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
    host.ok("sh -c 'head -n 1 $1 >/dev/null; seq 10000000 >/dev/null' sh {<in|}", "in=-", stdin=feeder.stdout)
    with open(f"/proc/{feeder.pid}/io", encoding="ascii") as file:
        written = dict(line.split(": ") for line in file)["wchar"]
    feeder.kill()
    feeder.communicate()
    assert int(written) < 20_000_000


def test_one_of_two_readers_leaves(host):
    """The other one still gets everything. Shell, pipexec: of `tee`, the other one gets a part, and takes it for all."""
    host.users("write {>x|} put 0 5000000", "read {<x|} get 0 1", "read {<x|} get 0 5000000 end 0")


def test_left_while_the_reader_lives_on(host):
    """Its writer gets SIGPIPE at once, not when the reader has ended."""
    host.users("write {>x|} put 0 100000000", "read {<x|} get 0 1 close 0 read {<y|} get 1 1", "read {<x|} get 0 1 close 0 write {>y|} put 1 1")


def test_python_says_so_by_its_status(host):
    """It ignores SIGPIPE and ends with 1, which can't be told from a failure: so it is one, with a word about it."""
    writer = "import sys; [print(i) for i in range(10000000)]"
    host.fails(f"python3 -c '{writer}' >{{x|}}", "head -n 1 {<x|}", status=1,
               says=["BrokenPipeError", "what reads from it had ended well before", "accept its status"])
    host.ok("--ok-status", "python3:0-1", f"python3 -c '{writer}' 2>{{err}} >{{x|}}", "head -n 1 {<x|}")


def test_consumer_that_fails_is_the_cause(host):
    host.fails("seq 100000000 >{x|}", "sh -c 'head -n 1 $1; exit 5' sh {<x|}", status=5, says="'sh' failed with exit status 5")
    host.fails("seq 100000000 >{x|}", host.user("read {<x|} some 0 signal 9"), status=137, says="pipe_user' was killed by signal 9")


LATE = r"""
import os, sys
late = os.open(sys.argv[1], os.O_PATH)  # looks the name up, as an open does before it opens
os.close(os.open(sys.argv[1], os.O_WRONLY))
while os.path.samestat(os.stat(sys.argv[1]), os.fstat(late)):
    pass  # the next pipe is not there yet

def write_in_vain(path):
    try:
        with open(path, "wb", buffering=0) as file:
            while True:
                file.write(bytes(100000))
    except BrokenPipeError:
        pass

write_in_vain(sys.argv[1])
write_in_vain(f"/proc/self/fd/{late}")
"""


def test_opened_late_by_a_writer_whose_reader_has_left(host):
    """The name was looked up before the next pipe stood there: an open of the one before must not wait for ever."""
    host.write("late.py", LATE.encode())
    host.ok("python3 {<late.py} {>x|}", "head -c 1 {<x|} >{y}")


# -------------------------------------------------------------------------------------------------------- handed on


def test_a_child_goes_on_writing(host):
    """Its parent has exited, and so the program; but the stream is at its end when the child is."""
    host.users("write {>x|} put 0 10 child exit 0 rest put 0 5000000", "read {<x|} get 0 5000010 end 0")
    host.users("write {>x|} put 0 10 child exit 0 rest put 0 5000000")
    assert host.read("x") == pattern(5000010)


@pytest.mark.parametrize("orphan", ["write {>x|} put 0 10 child exit 0 rest pause", "write {>x|} put 0 10 daemon pause"])
def test_a_child_that_only_holds_it(host, orphan):
    """Shell, pipexec: the reader waits for the daemon's end."""
    host.users(orphan, "read {<x|} get 0 10 end 0")
    host.users(orphan)
    assert host.read("x") == pattern(10)


def test_a_child_that_sleeps_goes_on_writing(host):
    """That everything is at rest for a moment is no end."""
    host.users("write {>x|} fork child doze 300000 send 0 0 100000 4096 forked", "read {<x|} get 0 100000 end 0")
    host.users("write {>x|} fork child doze 300000 send 0 0 100000 4096 forked")
    assert host.read("x") == pattern(100000)


def test_a_child_that_writes_when_the_end_was_given(host):
    """Nobody can take that any more; it must not be lost without a word."""
    go = host.fifo("go")
    call = host.start(f"sh -c 'exec 3>$1; (read line <{go}; echo late >&3) & exit 0' sh {{>x|}}",
                      "sh -c 'cat $1; echo ended; exec sleep 100' sh {<x|}")
    assert call.stdout.readline() == b"ended\n"
    go.write_bytes(b"\n")
    said = call.communicate(timeout=60)[1]
    assert call.returncode == 123 and b"writes to the stream 'x' after everything stood still" in said, said


def test_a_child_reads(host):
    host.users("write {>x|} put 0 500000", "read {<x|} child wait exit 0 rest get 0 500000 end 0")


# ---------------------------------------------------------------------------------------------------------- misused


def test_opened_for_both(host):
    """It is its own writer, and would wait for its own end. As an ordinary user it may not; root may do everything."""
    steps = host.user("write {>x|} put 0 10"), host.user("both {<x|} get 0 10 end 0")
    if os.getuid() == 0:
        host.fails(*steps, says=["stands still", "waits to read 'x'", "it must have opened it for writing too"])
        host.directory.chmod(0o777)
        try:
            ran = host.run(*steps, preexec_fn=as_nobody)
        except PermissionError:
            pytest.skip("the build directory can't be reached by another user than root")
    else:
        ran = host.run(*steps)
    assert ran.status == 1 and b"Permission denied" in ran.err, ran


def test_opened_for_both_and_ended_by_itself(host):
    if os.getuid() == 0:
        host.users("write {>x|} put 0 10", "both {<x|} get 0 10")


def test_an_output_opened_for_both(host):
    """Many programs open what they write so and never read from it; as an ordinary user, too, they may."""
    steps = host.user("both {>x|} put 0 300000"), host.user("read {<x|} get 0 300000 end 0")
    host.ok(*steps)
    host.directory.chmod(0o777)
    try:
        ran = host.run(*steps, preexec_fn=as_nobody if os.getuid() == 0 else None)
    except PermissionError:
        pytest.skip("the build directory can't be reached by another user than root")
    assert ran.status == 0, ran


def test_an_output_that_is_read(host):
    host.fails(host.user("both {>x|} some 0 put 0 10"), "cat {<x|}", says="'x', which is its output")
    host.fails(host.user("read {>x|}"), "cat {<x|}", says="waits to open 'x', its output, for reading")


@pytest.mark.parametrize("steps", [
    "unlink {>x|}", "unlink {>x|} make {>x|}", "make t rename t {>x|}", "write {>x|} put 0 10 make t rename t {>x|}",
    "write {>x|} put 0 10 unlink {>x|}",
])
def test_replaced_by_another_file(host, steps):
    """Shell: the reader waits for ever, or the file is lost, unless both had opened the pipe before."""
    host.fails(host.user(steps), "cat {<x|} >{y}", says="put something else in the place of the stream 'x': drop the bar from the mark, {>x}")
    host.fails(host.user(steps), says="put something else in the place of the stream 'x'")


def test_input_removed_is_fine(host):
    host.write("in", pattern(100000))
    host.users("read {<in|} unlink {<in|} get 0 100000 end 0")


def test_a_program_that_seeks_gets_the_hint(host):
    host.write("in", b"x" * 100)
    host.fails("python3 -c 'import sys; open(sys.argv[1], \"rb\").seek(10)' {<in|}", status=1,
               says=["'in' is a pipe here", "drop the bar: {<in}"])


def test_the_hint_names_each_stream(host):
    """Which of them was sought in is not known."""
    host.fails("sh -c 'cat $1 >$2; exit 1' sh {<in|} {>out|}", "echo >{in|}", status=1,
               says="'in', 'out' are pipes here: if it seeks in one, maps it or wants a regular file, drop the bar: {<in} or {>out}")


# ------------------------------------------------------------------------------------------------- where it goes


def test_a_fifo_that_nobody_reads(host):
    host.fails("seq 3 >{x|}", f"x={host.fifo('unread')}",
               says="the stream 'x' goes to a FIFO that nobody reads: start its reader first")


def test_a_file_to_a_fifo_that_nobody_reads(host):
    """It may still come; the deadline says what is waited for."""
    host.fails("--timeout", "300ms", "seq 3 >{x}", f"x={host.fifo('unread')}", status=124, says="; still going out: 'x'")


def test_few_descriptors_are_told_with_the_cure(host):
    ran = host.run("seq 3 >{x|}", "cat {<x|}", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)))
    assert ran.status == 125 and b"raise the limit of open files (ulimit -n)" in ran.err, ran

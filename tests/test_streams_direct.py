"""Direct streams: a plain pipe of the kernel between two programs, and nobody waits for ever there either.

Who comes too late is told to come by the trace: it goes on when the other program's exit was seen.
"""
import pytest
from stream_host import LONGEST_SECONDS, host  # noqa: F401 (a fixture)


def after_the_other(host, first, second):
    """Runs both; the second goes on once the first has exited. Returns the call's status and what it said."""
    go = host.fifo("go")
    wait = f"sh -c 'read line <{go}; exec \"$0\" \"$@\"' {host.user(second)}"
    call = host.start("--trace", "--timeout", "30", "--direct", "x", host.user(first), wait)
    said = []
    for line in call.stderr:
        said.append(line.decode())
        if "program 1" in said[-1] and "exited with" in said[-1]:
            go.write_bytes(b"\n")
    status = call.wait(LONGEST_SECONDS)
    call.stdout.close()
    call.stderr.close()
    return status, "".join(said)


def test_it_passes_all(host):
    host.users("write {>x|} put 0 3000000", "read {<x|} get 0 3000000 end 0", words=["--direct", "x"])


def test_written_when_its_reader_has_gone(host):
    """The open must not wait for a reader that will never come; what is written then finds a broken pipe."""
    status, said = after_the_other(host, "exit 0 read {<x|}", "write {>x|} put 0 3000000")
    assert status == 0 and "ended by SIGPIPE" in said, said


def test_read_when_its_writer_has_gone(host):
    status, said = after_the_other(host, "exit 0 write {>x|}", "read {<x|} end 0")
    assert status == 0, said


@pytest.mark.parametrize("size", [0, 1000])
def test_one_that_waits_so_has_not_closed_its_output_for_good(host, size):
    """It is let go on before an end is decided of what it had closed, and opens that again."""
    status, said = after_the_other(host, "exit 0 read {<x|}",
                                   f"deaf write {{>y|}} put 0 {size} close 0 write {{>x|}} write {{>y|}} put 2 {size}")
    assert status == 0 and len(host.read("y")) == 2 * size, said


def test_the_dry_run_shows_it(host):
    shown = host.ok("-n", "--direct", "x", "seq 3 >{x|}", "cat {<x|} >{y|}").decode()
    assert shown.count("x [") == 2 and shown.count("direct stream]") == 2 and "y [standard output, stream]" in shown, shown


def test_on_a_ring_it_is_refused_with_the_cure(host):
    host.refused("--direct", "x", "seq 3 | tee {>x|} | cat {<x|} -", says="let it not be direct: spile then passes the bytes on")

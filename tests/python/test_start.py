"""spile.start: a call while it runs."""
import gc
import os
import select
import signal
import threading
import time

import pytest

from python_support import WAITING

spile = pytest.importorskip("spile")

COPY = "cat {<in} >{out}"


def test_it_runs_while_nobody_looks(ready, tmp_path):
    second = tmp_path / "second"
    os.mkfifo(second)
    call = spile.start("sh -c 'echo 1 >a' {+>a}", """sh -c 'echo "$$" >"$1"' sh {second} {+<a}""", values={"second": second})
    with open(second, "rb") as fifo:  # the second program starts though nothing waits for the call
        assert fifo.read().strip().isdigit()
    assert call.wait().ok and call.done() and call.wait() is call.wait()


def test_waiting_has_a_limit(ready):
    with spile.start(WAITING, values={"ready": ready.path}) as call:
        ready.wait()
        assert not call.done() and "running" in repr(call)
        with pytest.raises(TimeoutError, match="still runs"):
            call.wait(0.01)
        call.cancel()
    assert call.done() and "ended" in repr(call)


def test_its_own_deadline_needs_nobody(ready):
    call = spile.start(WAITING, values={"ready": ready.path}, timeout=0.3)
    ready.wait()
    assert call._driver.ended.wait(30)
    with pytest.raises(spile.CallTimeoutError):
        call.wait()
    assert isinstance(call.wait(check=False).error, TimeoutError)


def test_leaving_the_block_raises_what_nothing_else_has():
    with pytest.raises(spile.ProgramError):
        with spile.start("false"):
            pass
    with spile.start("false", check=False):
        pass
    with spile.start("false") as call, pytest.raises(spile.ProgramError):
        call.wait()


def test_an_exception_in_the_block_ends_the_call(ready):
    with pytest.raises(ZeroDivisionError), spile.start(WAITING, values={"ready": ready.path}) as call:
        ready.wait()
        1 / 0
    assert call.done() and isinstance(call.wait(check=False).error, spile.CallCancelledError)


def test_chunks_of_an_output_in_memory():
    data = os.urandom(600_000)
    with spile.start(COPY, files={"in": data}) as call:
        pieces = list(call.output("out"))
    assert b"".join(pieces) == data and len(pieces) == 3
    with pytest.raises(KeyError):
        next(call.output("other"))


def test_chunks_push_back():
    data = os.urandom(5_000_000)
    with spile.start(COPY, files={"in": data}, outputs={"out": spile.CHUNKS}) as call:
        stream = call.output("out")
        first = next(stream)
        handoff = call._prepared.handoffs["out"]
        with handoff.changed:  # the call stands still at the bound, and goes on when chunks are taken
            assert handoff.changed.wait_for(lambda: handoff.is_waiting or handoff.held >= 1 << 20, 30)
        assert handoff.held <= (1 << 20) + (64 << 10) and not call.done()
        rest = b"".join(stream)
    assert first + rest == data
    assert "out" not in call.wait() or call.wait()["out"] == b""


def test_chunks_that_nobody_took_are_in_the_result():
    data = os.urandom(5_000_000)
    with spile.start(COPY, files={"in": data}, outputs={"out": spile.CHUNKS}) as call:
        first = next(call.output("out"))
        assert first + call.wait()["out"] == data


def test_chunks_end_with_the_failure():
    with spile.start("sh -c 'exit 3' {+>out}", outputs={"out": spile.CHUNKS}, check=False) as call:
        with pytest.raises(spile.ProgramError):
            list(call.output("out"))


def test_inputs_are_read_in_threads_of_their_own():
    threads = []

    def chunks():
        threads.append(threading.current_thread())
        yield b"1"

    with spile.start(COPY, files={"in": chunks()}) as call:
        assert call.wait()["out"] == b"1"
    assert threads[0] not in (call._driver.thread, threading.main_thread())


def test_what_a_callback_raises_is_raised_by_wait():
    def chunks():
        yield b"1"
        raise ZeroDivisionError

    with spile.start(COPY, files={"in": chunks()}) as call, pytest.raises(ZeroDivisionError):
        call.wait()


def test_a_call_that_is_let_go_is_cancelled(ready):
    call = spile.start(WAITING, values={"ready": ready.path})
    ready.wait()
    driver = call._driver
    del call
    gc.collect()
    assert driver.ended.wait(30)
    assert driver.prepared.call.result.programs()[0][5] == signal.SIGTERM


def test_a_stubborn_program_is_killed_after_the_grace(ready):
    stubborn = """sh -c 'trap "" TERM; echo 1 >"$1"; while :; do read x </dev/zero; done' sh {ready}"""
    with spile.start(stubborn, values={"ready": ready.path}, grace=0.05) as call:
        ready.wait()
        begin = time.monotonic()
        call.cancel()
    assert call.wait(check=False).programs[0].signal == signal.SIGKILL and time.monotonic() - begin < 30


@pytest.mark.parametrize("containment", ["auto", "none"])
def test_the_end_of_the_process_ends_its_calls(python, ready, tmp_path, containment):
    held = tmp_path / "held"
    os.mkfifo(held)
    watch = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    script = f"""
import spile
program = '''sh -c 'exec 3>"$2"; echo 1 >"$1"; exec sleep 1000' sh {{ready}} {{held}}'''
call = spile.start(program, values={{"ready": {str(ready.path)!r}, "held": {str(held)!r}}}, context=spile.Context({containment!r}))
with open({str(ready.path)!r}) as fifo:
    fifo.read()
print(call)
"""
    assert "running" in python(script).stdout
    # Whoever holds the FIFO open for writing lives; the last one's end is seen here.
    assert select.select([watch], [], [], 30)[0] and os.read(watch, 1) == b""
    os.close(watch)


def test_the_child_of_a_fork_is_refused(ready):
    with spile.start(WAITING, values={"ready": ready.path}) as call:
        ready.wait()
        child = os.fork()
        if child == 0:
            try:
                call.cancel()
                call.wait()
            except RuntimeError:
                os._exit(7)
            finally:
                os._exit(8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert not call.done()
        call.cancel()

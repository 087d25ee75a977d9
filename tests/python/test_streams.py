"""Streams: bytes that flow while the program runs, with Python at either end."""
import asyncio
import io
import os
import queue
import threading

import pytest

from python_support import WAITING

spile = pytest.importorskip("spile")

COPY = "cat {<in|} >{out|}"
DATA = os.urandom(1_500_000)


def pieces(data, size=70_001):
    return (data[start : start + size] for start in range(0, len(data), size))


def test_every_kind_of_input(tmp_path):
    path = tmp_path / "host"
    path.write_bytes(DATA)
    with open(path, "rb") as buffered, open(path, "rb", buffering=0) as raw:
        for source in (DATA, memoryview(DATA), path, buffered, raw, io.BytesIO(DATA), pieces(DATA)):
            assert spile.run(COPY, files={"in": source})["out"] == DATA


def test_every_kind_of_output(tmp_path):
    chunks, file, path = [], io.BytesIO(), tmp_path / "path"
    out = spile.run("tee {>a|} {>b|} {>c|} >{d|}", stdin=DATA, outputs={"a": chunks.append, "b": file, "c": path})
    assert b"".join(chunks) == file.getvalue() == path.read_bytes() == out["d"] == DATA and list(out) == ["d"]


def test_between_programs():
    out = spile.run("cat {<in} >{middle|}", "tr a b <{middle|} >{out}", files={"in": b"a" * 300_000})
    assert out["out"] == b"b" * 300_000
    (stream,) = out.streams
    assert stream.name == "middle" and stream.producer == 0 and stream.bytes_in == stream.bytes_out == 300_000
    assert stream.writer_opens >= 1 and stream.reader_opens >= 1 and 0 < stream.first <= stream.last < 60
    direct = spile.Plan("cat {<in} >{middle|}", "tr a b <{middle|} >{out}", direct=["middle"])
    out = spile.run(direct, files={"in": b"a" * 300_000})
    assert out["out"] == b"b" * 300_000 and out.streams[0].is_direct and "direct" in repr(direct)
    with pytest.raises(spile.UsageError, match="'nothing'"):
        spile.Plan("cat {<in|}", direct=["nothing"])


def test_a_conversation_while_the_program_runs():
    """Each line goes in only after the one before has come back: the input, the program and the output all flow."""
    answers = queue.Queue()

    def questions():
        yield b"first\n"
        for number in range(3):
            yield answers.get() + b"%d\n" % number

    with spile.start("sed -u s/^/x/ {<in|} >{out|}", files={"in": questions()}) as call:
        lines = []
        for piece in call.output("out"):
            for line in piece.splitlines():
                lines.append(line)
                answers.put(line)
    assert lines == [b"xfirst", b"xxfirst0", b"xxxfirst01", b"xxxxfirst012"]


def test_a_source_that_waits_holds_up_neither_deadline_nor_cancel():
    gate = threading.Event()

    def waiting():
        yield b"1"
        gate.wait()

    try:
        with spile.start(COPY, files={"in": waiting()}, timeout=0.1) as call, pytest.raises(TimeoutError):
            list(call.output("out"))
        with spile.start(COPY, files={"in": waiting()}) as call:
            assert next(call.output("out")) == b"1"
            call.cancel()
        assert call.done()
    finally:
        gate.set()


def test_endless_in_bounded_memory():
    with spile.start("yes >{out|}") as call:
        taken = 0
        for piece in call.output("out"):
            taken += len(piece)
            if taken > 20_000_000:
                break
        assert call._prepared.handoffs["out"].held <= (1 << 20) + (1 << 16)
    assert call.done()  # leaving the block ends what nobody takes


def test_a_file_left_in_the_middle_is_delivered_elsewhere_all_the_same(tmp_path):
    with spile.start("tee {>a} {>b}", stdin=DATA, stdout=spile.NULL,
                     outputs={"a": spile.CHUNKS, "b": tmp_path / "b"}) as call:
        next(call.output("a"))
    assert (tmp_path / "b").read_bytes() == DATA and call.wait().ok


def test_wait_takes_the_rest():
    with spile.start(COPY, files={"in": pieces(DATA)}) as call:
        assert call.wait()["out"] == DATA


def test_a_producer_whose_consumer_had_enough():
    assert spile.run("seq 100000000 >{numbers|}", "head -n 1 <{numbers|}").stdout == b"1\n"


def test_asyncio_at_both_ends():
    async def questions(answers):
        yield b"first\n"
        for number in range(3):
            yield await answers.get() + b"%d\n" % number

    async def main():
        answers = asyncio.Queue()
        lines = []
        async with spile.start_async("sed -u s/^/x/ {<in|} >{out|}", files={"in": questions(answers)}) as call:
            async for piece in call.output("out"):
                for line in piece.splitlines():
                    lines.append(line)
                    answers.put_nowait(line)
        async with spile.start_async("yes >{out|}") as call:
            taken = 0
            async for piece in call.output("out"):
                taken += len(piece)
                if taken > 5_000_000:
                    break
        assert call.done()
        return lines

    assert asyncio.run(main())[-1] == b"xxxxfirst012"


def test_cancelling_a_task_that_takes_a_stream(ready):
    async def main():
        call = spile.start_async(WAITING + " >{out|}", values={"ready": ready.path})

        async def take():
            async for _ in call.output("out"):
                pass

        task = asyncio.create_task(take())
        await asyncio.to_thread(ready.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert call.done()

    asyncio.run(main())


def test_a_seek_is_told_as_what_it_is():
    with pytest.raises(spile.CallError) as caught:
        spile.run("python3 -c 'import os; f = os.open(\"in\", 0); os.lseek(f, 5, 0)' {+<in|}", files={"in": b"123"})
    assert caught.value.result is not None


def test_a_failing_source_ends_the_call():
    def broken():
        yield b"1"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spile.run(COPY, files={"in": broken()})
    with spile.start(COPY, files={"in": broken()}) as call, pytest.raises(ZeroDivisionError):
        call.wait()


def test_feeding_threads_end_with_their_calls():
    before = threading.active_count()
    for _ in range(5):
        with spile.start("head -c 1 {<in|} >{out}", files={"in": iter(lambda: b"x" * 1000, b"")}) as call:
            assert call.wait()["out"] == b"x"
    for thread in threading.enumerate():
        if thread.name.startswith("spile"):
            thread.join(30)
    assert threading.active_count() == before

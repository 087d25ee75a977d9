"""asyncio: calls on its own loop, without threads."""
import asyncio
import gc
import os
import threading

import pytest

from python_support import WAITING, open_descriptors

spile = pytest.importorskip("spile")

COPY = "cat {<in} >{out}"


def test_many_at_once_without_threads():
    async def main():
        results = await asyncio.gather(*(spile.run_async(COPY, files={"in": b"%d" % n}) for n in range(30)))
        return [result["out"] for result in results], threading.active_count()

    outputs, threads = asyncio.run(main())
    assert outputs == [b"%d" % n for n in range(30)] and threads == threading.active_count()


def test_the_loop_goes_on_meanwhile(ready):
    async def main():
        task = asyncio.create_task(spile.run_async(WAITING, values={"ready": ready.path}))
        reading = asyncio.to_thread(ready.wait)
        await reading
        ticks = 0
        for _ in range(100):
            await asyncio.sleep(0)
            ticks += 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ticks

    assert asyncio.run(main()) == 100


def test_failures_and_deadlines():
    async def main():
        with pytest.raises(spile.ProgramError):
            await spile.run_async("false")
        with pytest.raises(TimeoutError):
            await spile.run_async("sleep 1000", timeout=0.05)
        with pytest.raises(spile.MissingInputError):
            await spile.run_async(COPY)
        assert (await spile.run_async("false", check=False)).exit_status == 1
        with pytest.raises(spile.TemplateError):
            await spile.run_async("{")

    asyncio.run(main())


def test_cancelling_kills_the_call(ready):
    async def main():
        call = spile.start_async(WAITING, values={"ready": ready.path})
        waiter = asyncio.create_task(call.wait())
        pid = await asyncio.to_thread(ready.wait)
        assert pid.strip().isdigit() and not call.done()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert call.done()  # by the time the cancellation is seen, nothing is left
        return call._prepared.call.result.programs()[0][5]

    assert asyncio.run(main()) == 15


def test_a_timeout_of_asyncio(ready):
    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(spile.run_async(WAITING, values={"ready": ready.path}), 0.3)

    reader = threading.Thread(target=ready.wait)
    reader.start()
    asyncio.run(main())
    reader.join(30)
    assert not reader.is_alive()


def test_output_chunks_push_back():
    data = os.urandom(3_000_000)

    async def main():
        async with spile.start_async(COPY, files={"in": data}, outputs={"out": spile.CHUNKS}) as call:
            pieces = [piece async for piece in call.output("out")]
        return pieces

    pieces = asyncio.run(main())
    assert b"".join(pieces) == data and len(pieces) > 10


def test_output_in_memory_and_untaken_chunks():
    data = os.urandom(3_000_000)

    async def main():
        async with spile.start_async(COPY, files={"in": data}) as call:
            assert b"".join([piece async for piece in call.output("out")]) == data
            with pytest.raises(KeyError):
                await call.output("other").__anext__()
        async with spile.start_async(COPY, files={"in": data}, outputs={"out": spile.CHUNKS}) as call:
            first = await call.output("out").__anext__()
            assert first + (await call.wait())["out"] == data

    asyncio.run(main())


def test_cancelled_while_chunks_are_awaited(ready):
    async def main():
        async with spile.start_async(WAITING + " {+>out}", values={"ready": ready.path},
                                     outputs={"out": spile.CHUNKS}) as call:
            async def read():
                async for _ in call.output("out"):
                    pass

            task = asyncio.create_task(read())
            await asyncio.to_thread(ready.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert call.done()
            call.cancel()

    asyncio.run(main())


def test_asynchronous_inputs():
    async def chunks(count):
        for number in range(count):
            await asyncio.sleep(0)
            yield b"%d" % number if number % 2 else str(number)
        yield b""

    async def main():
        out = await spile.run_async(COPY, files={"in": chunks(50)})
        empty = await spile.run_async(COPY, files={"in": chunks(0)})
        big = os.urandom(700_000)

        async def one():
            yield big

        assert (await spile.run_async(COPY, files={"in": one()}))["out"] == big
        return out["out"], empty["out"]

    assert asyncio.run(main()) == ("".join(map(str, range(50))).encode(), b"")


def test_an_asynchronous_input_that_fails():
    async def chunks():
        yield b"1"
        raise ZeroDivisionError

    async def main():
        with pytest.raises(ZeroDivisionError):
            await spile.run_async(COPY, files={"in": chunks()})

    asyncio.run(main())
    with pytest.raises(TypeError, match="asynchronous"):
        spile.run(COPY, files={"in": chunks()})


def test_an_asynchronous_input_stops_with_its_call():
    closed = []

    async def chunks():
        try:
            yield b"1"
            await asyncio.get_running_loop().create_future()
        finally:
            closed.append(True)

    async def main():
        with pytest.raises(TimeoutError):
            await spile.run_async(COPY, files={"in": chunks()}, timeout=0.05)

    asyncio.run(main())
    assert closed == [True]


def test_leaving_the_block():
    async def main():
        with pytest.raises(spile.ProgramError):
            async with spile.start_async("false"):
                pass
        async with spile.start_async("false") as call:
            with pytest.raises(spile.ProgramError):
                await call.wait()
        with pytest.raises(ZeroDivisionError):
            async with spile.start_async("sleep 1000") as call:
                1 / 0
        assert call.done()
        async with spile.start_async("sleep 1000") as call:
            call.cancel()
        assert call.done() and "ended" in repr(call)

    asyncio.run(main())


def test_a_call_that_is_let_go_is_cancelled(ready):
    async def main():
        call = spile.start_async(WAITING, values={"ready": ready.path})
        await asyncio.to_thread(ready.wait)
        driver = call._driver
        del call
        gc.collect()
        await driver.ended
        return driver.prepared.call.result.programs()[0][5]

    assert asyncio.run(main()) == 15


def test_a_loop_that_closes_first(ready):
    calls = []

    async def main():
        calls.append(spile.start_async(WAITING, values={"ready": ready.path}))
        await asyncio.to_thread(ready.wait)

    asyncio.run(main())
    raw = calls[0]._prepared.call
    assert not raw.ended
    calls.clear()
    gc.collect()
    assert raw.ended


def test_it_needs_a_running_loop():
    with pytest.raises(RuntimeError, match="running event loop"):
        spile.start_async("true")


def test_loops_leave_nothing():
    async def main():
        await spile.run_async(COPY, files={"in": b"1"})

    for _ in range(10):
        asyncio.run(main())
    gc.collect()
    before = len(open_descriptors())
    for _ in range(100):
        asyncio.run(main())
    gc.collect()
    assert len(open_descriptors()) < before + 50  # idle cells come and go; a loop that stays would make a hundred


def test_functions():
    double = spile.function("cat {<one} {<one} >{two}")

    async def main():
        return await asyncio.gather(*(double.run_async(b"%d" % n) for n in range(5)))

    assert asyncio.run(main()) == [b"%d%d" % (n, n) for n in range(5)]

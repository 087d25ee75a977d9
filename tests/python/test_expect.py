"""Expecting in Python: what is found, what it says, and that a time-out, an interrupt or a cancelled task takes nothing."""
import asyncio
import re
import signal
import socket
import threading

import pytest

spile = pytest.importorskip("spile")
ask_options = pytest.importorskip("spile._talk").ask_options


def test_literals_expressions_and_events(pair):
    talk, peer = pair
    peer.sendall("grüße, user\r\nlogin: ".encode())
    found = talk.expect("password:", spile.regex(r"(?P<what>log\w+): *$"), spile.TIMEOUT)
    assert (found.index, found.before, found.match, found.after) == (1, "grüße, user\n", "login: ", "")
    assert found["what"] == found.group(1) == found[1] == "login" and found.groupdict() == {"what": "login"}
    assert found.groups() == ("login",) and found.group() == "login: "
    with pytest.raises(IndexError):
        found["other"]
    with pytest.raises(IndexError):
        found[2]
    peer.sendall(b"one two")
    found = talk.expect(["three", "two", "one"])
    assert (found.index, found.pattern, found.after) == (2, "one", " two")
    found = talk.expect("three", spile.TIMEOUT, timeout=0.01)
    assert (found.index, found.before, found.match) == (1, " two", "")
    peer.close()
    assert talk.expect("three", spile.EOF).before == " two"
    with pytest.raises(spile.EndedError):
        talk.expect("three")


def test_patterns_of_python_and_sets(pair):
    talk, peer = pair
    wanted = spile.Patterns("no", re.compile(r"(\u00e4+)\W\Z", re.I | re.M), spile.regex("b+", re.I, mode="line"))
    assert "regex" in repr(wanted)
    peer.sendall("xÄä!".encode())
    assert talk.expect(wanted).group(1) == "Ää"
    peer.sendall(b"bBb\n")
    assert talk.expect(wanted).match == "bBb"
    for wrong, error in (((spile.regex("("),), spile.UsageError), ((3,), TypeError), (([],), TypeError),
                         ((b"bytes",), TypeError), (("",), spile.UsageError), ((re.compile(rb"x"),), TypeError)):
        with pytest.raises(error):
            talk.expect(*wrong)
    with pytest.raises(ValueError, match="final"):
        spile.regex("x", mode="now")
    with pytest.raises(ValueError, match="flags"):
        spile.regex("x", re.DEBUG)
    with pytest.raises(TypeError):
        spile.regex(3)


def test_bytes(pair):
    talk, peer = pair
    peer.sendall(b"\xff\r\n\0end more")
    found = talk.buffer.expect(spile.regex(rb"\x00(\w+)"), b"nothing")
    assert (found.before, found.match, found.group(1), found.after) == (b"\xff\r\n", b"\0end", b"end", b" more")
    with pytest.raises(TypeError):
        talk.buffer.expect("text")
    peer.close()
    assert talk.buffer.expect(spile.EOF).before == b" more"


def test_a_time_out_and_other_reading_lose_nothing(pair):
    talk, peer = pair
    peer.sendall("äb\ncd".encode())
    assert talk.readline(1) == "ä"
    with pytest.raises(TimeoutError):
        talk.expect("d\n", timeout=0.01)
    peer.sendall(b"\nline\n")
    assert talk.expect("d\n").before == "b\nc"
    assert talk.readline() == "line\n"
    talk.timeout = 0.01
    peer.sendall(b"rest")
    with pytest.raises(TimeoutError):
        talk.read()
    assert talk.expect("st").before == "re"


def test_what_is_written_goes_out_first(pair):
    talk, peer = pair
    talk.write("question")
    answers = threading.Thread(target=lambda: peer.sendall(peer.recv(100).upper()))
    answers.start()
    assert talk.expect("QUESTION").before == ""
    answers.join()


def test_a_match_that_could_grow(pair):
    talk, peer = pair
    number = spile.regex(r"(\d+)")
    peer.sendall(b"12")
    threading.Timer(0.02, peer.sendall, (b"34;",)).start()
    assert talk.expect(number, rest=None)[1] == "1234"
    peer.sendall(b"56")
    assert talk.expect(number, rest=0.01)[1] == "56"
    peer.sendall(b"7")
    assert talk.expect(spile.regex(r"(\d+)", mode="eager"), rest=None)[1] == "7"


def test_an_interrupt_leaves_nothing_behind(pair):
    talk, peer = pair

    def interrupt(*_):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            talk.expect("never")
    finally:
        signal.signal(signal.SIGALRM, old)
    peer.sendall(b"never mind\n")
    assert talk.readline() == "never mind\n"


def test_an_interrupt_at_the_match_takes_nothing(pair):
    talk, peer = pair

    class Interrupted:
        """A loop whose steps a signal's handler ends."""

        def __init__(self, loop):
            self.loop = loop

        def step(self, timeout):
            self.loop.step(timeout)
            raise KeyboardInterrupt

    peer.sendall(b"before it\r\n")
    loop, talk._loop = talk._loop, Interrupted(talk._loop)
    for patterns in ("it",), ("no", spile.TIMEOUT), ("it",):
        with pytest.raises(KeyboardInterrupt):
            talk.expect(*patterns, timeout=0 if len(patterns) > 1 else 20)
    talk._loop = loop
    assert talk.readline() == "before it\n"
    talk.timeout = 0.01
    with pytest.raises(TimeoutError):
        talk.readline()


def test_what_can_not_begin_takes_nothing(pair):
    """While another thread asks, what readline has left can't be looked at."""
    talk, peer = pair
    peer.sendall(b"one two\r\n")
    assert talk.readline(3) == "one"
    talk._raw.ask("x", lambda *given: None, ask_options(20, None, None, (), None, (), False, False))
    talk._loop.step(0)
    assert peer.recv(10) == b"x\n"
    with pytest.raises(OSError, match="busy"):
        talk.expect("two")
    assert talk.readline() == " two\n"


def test_limits_and_text_that_is_none():
    ours, peer = socket.socketpair()
    with peer, spile.open(ours.detach(), timeout=30, keep_limit=1000, errors="strict") as talk:
        peer.sendall(b"a" * 1000)
        with pytest.raises(spile.EndpointError, match="without a match") as caught:
            talk.expect("b")
        assert caught.value.kind == "limit"
        assert talk.expect("a" * 1000).before == ""
        peer.sendall(b"good\xff")
        with pytest.raises(UnicodeDecodeError):
            talk.expect("never")
        slow = spile.Patterns(spile.regex("(b+)+c"), match_limit=1000)
        peer.sendall(b"b" * 40 + b"d")
        with pytest.raises(spile.EndpointError, match="too many steps"):
            talk.expect(slow)
    with pytest.raises(ValueError, match="closed"):
        talk.expect("x")


def test_a_task_cancelled_at_the_match_takes_nothing():
    async def converse():
        pairs = [socket.socketpair() for _ in range(2)]
        with pairs[0][1] as peer, pairs[1][1]:
            talk, other = [await spile.open_async(ours.detach(), timeout=30) for ours, _ in pairs]
            async with talk, other:
                for wanted in ("three", "two"), ("no", spile.EOF):
                    waiting = asyncio.ensure_future(talk.expect(*wanted))
                    await asyncio.sleep(0)
                    if "two" in wanted:
                        peer.sendall("öne two\r\nfour".encode())
                    else:
                        peer.shutdown(socket.SHUT_WR)
                    # What another one begins makes the loop that both share look: the match is there, and not its task's turn.
                    gone = asyncio.ensure_future(other.expect("x"))
                    await asyncio.sleep(0)
                    waiting.cancel()
                    gone.cancel()
                    for cancelled in (waiting, gone):
                        with pytest.raises(asyncio.CancelledError):
                            await cancelled
                assert await talk.readline() == "öne two\n"
                assert (await talk.expect("r", spile.EOF)).before == "fou"

    asyncio.run(converse())


def test_what_can_not_be_put_back_is_gone():
    """Bytes, and text behind which another task looks already."""
    async def converse():
        ours, peer = socket.socketpair()
        with peer:
            async with await spile.open_async(ours.detach(), timeout=30) as talk:
                for first in talk.expect_bytes(b"1"), talk.expect("1"):
                    gone = asyncio.ensure_future(first)
                    await asyncio.sleep(0)
                    peer.sendall(b"12")
                    other = asyncio.ensure_future(talk.expect("3"))
                    await asyncio.sleep(0)
                    gone.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await gone
                    peer.sendall(b"3")
                    assert (await other).before == "2"

    asyncio.run(converse())


@pytest.mark.parametrize("begin", [lambda talk: talk.readline(), lambda talk: talk.expect("x"), lambda talk: talk.ask("x")])
def test_a_loop_that_fails_is_told(begin):
    class Broken:
        def step(self, timeout):
            raise OSError("it can't go on")

    async def converse():
        ours, peer = socket.socketpair()
        with peer:
            async with await spile.open_async(ours.detach(), timeout=30) as talk:
                waiting = asyncio.ensure_future(begin(talk))
                await asyncio.sleep(0)
                loop, talk._hub.loop = talk._hub.loop, Broken()
                talk._hub.step()
                talk._hub.loop = loop
                with pytest.raises(OSError, match="it can't go on"):
                    await asyncio.wait_for(waiting, 20)

    asyncio.run(converse())


def test_on_asyncio():
    async def converse():
        ours, peer = socket.socketpair()
        with peer:
            async with await spile.open_async(ours.detach(), timeout=30) as talk:
                first = asyncio.ensure_future(talk.expect("one"))
                second = asyncio.ensure_future(talk.expect(spile.regex("t.o"), spile.EOF))
                gone = asyncio.ensure_future(talk.expect("never"))
                await asyncio.sleep(0)
                gone.cancel()
                peer.sendall("zero one two".encode())
                assert (await first).before == "zero "
                assert (await second).match == "two"
                with pytest.raises(asyncio.CancelledError):
                    await gone
                with pytest.raises(TimeoutError):
                    await talk.expect("x", timeout=0.01)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await talk.expect("x")
                peer.sendall(b"\xffx")
                assert (await talk.expect_bytes(b"x")).before == b"\xff"
                peer.shutdown(socket.SHUT_WR)
                with pytest.raises(spile.EndedError):
                    await talk.expect("x")

    asyncio.run(converse())

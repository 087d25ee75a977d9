"""Conversations in Python: what io promises of a text stream, asking, time-outs that lose nothing, asyncio."""
import asyncio
import gc
import io
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from conftest import SOURCE
from python_support import open_descriptors

spile = pytest.importorskip("spile")


def test_it_is_a_text_stream(pair):
    talk, peer = pair
    assert isinstance(talk, io.TextIOBase)
    assert talk.readable() and talk.writable() and not talk.seekable() and not talk.isatty()
    assert (talk.encoding, talk.errors, talk.eol, talk.line_buffering) == ("utf-8", "replace", "\n", True)
    for act in (talk.tell, lambda: talk.seek(0), talk.truncate, talk.detach):
        with pytest.raises(io.UnsupportedOperation):
            act()
    with pytest.raises(TypeError):
        talk.write(b"bytes")
    assert talk.write("pär") == 3
    talk.flush()
    assert peer.recv(100) == "pär".encode()
    print("one", 2, file=talk)
    assert peer.recv(100) == b"one 2\n"
    peer.sendall("a\r\nä\rrest".encode())
    peer.shutdown(socket.SHUT_WR)
    assert list(talk) == ["a\n", "ä\n", "rest"]
    assert talk.readline() == talk.read() == ""
    talk.close()
    talk.close()
    assert talk.closed
    for act in (talk.readline, lambda: talk.write("x"), talk.flush, talk.fileno, lambda: next(talk), talk.read_now):
        with pytest.raises(ValueError, match="closed file"):
            act()


def test_reading_writes_first(pair):
    talk, peer = pair
    talk.write("no end")
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    talk.timeout = 0
    with pytest.raises(TimeoutError):
        talk.readline()
    assert peer.recv(100) == b"no end"


def test_pieces(pair):
    talk, peer = pair
    peer.sendall("abcdef\r\nghi>> jkl\nüx".encode())
    assert talk.readline(2) == "ab"
    assert talk.read(3) == "cde"
    assert talk.readline() == "f\n"
    assert talk.read_until(">> ") == "ghi>> "
    assert talk.readline(-1) == "jkl\n"
    assert talk.buffer.read_exactly(2) == "ü".encode()
    assert talk.read_silence(0.05) == "x"
    assert talk.read_now() == ""
    talk.buffer.write(b"\xff\x00\n")
    assert peer.recv(100) == b"\xff\x00\n"
    peer.sendall(b"1\xff\n")
    target = bytearray(10)
    assert talk.buffer.readinto(target) == 3 and target[:3] == b"1\xff\n"


def test_a_time_out_loses_nothing(pair):
    talk, peer = pair
    talk.timeout = 0.05
    peer.sendall(b"par")
    for act in (talk.readline, lambda: talk.read(4), talk.read, lambda: talk.read_until("!"), lambda: talk.buffer.read_exactly(9)):
        with pytest.raises(TimeoutError) as caught:
            act()
        assert isinstance(caught.value, spile.TalkError)
    peer.sendall(b"tial\n")
    assert talk.readline() == "partial\n"


def test_encodings():
    with spile.open("pipe: cat", encoding="latin-1", errors="strict", eol="\r\n") as talk:
        with pytest.raises(UnicodeEncodeError):
            talk.write("€\n")
        talk.write("ä\n")
        assert talk.buffer.read(3) == b"\xe4\r\n"
    with spile.open("pipe: cat", errors="strict") as talk:
        talk.buffer.write(b"before\na\xff\nafter\n")
        assert talk.readline() == "before\n"
        with pytest.raises(UnicodeDecodeError) as caught:
            talk.readline()
        assert caught.value.object == b"a\xff"
        assert talk.readline() == "after\n"
    with spile.open("pipe: cat", errors="escape") as talk:
        talk.buffer.write(b"\xff\0\n")
        assert talk.readline() == "\\xff\0\n"


def test_asking():
    with spile.open("pipe: sed -u -e /x/d -e s/bad/ERROR/") as talk:
        assert talk.ask("hello") == "hello"
        assert talk.ask("x", lines=0) == ""
        with pytest.raises(spile.ReplyError) as caught:
            talk.ask("bad", error="ERR*")
        assert caught.value.reply == "ERROR" and caught.value.kind == "reply"
        with pytest.raises(spile.TalkTimeoutError) as late:
            talk.ask("two", lines=2, timeout=0.05)
        assert late.value.reply == "two"
        with pytest.raises(spile.OutOfStepError):
            talk.ask("no", timeout=0.05)
        talk.resync(0.05)
        assert talk.ask("again") == "again"
    with spile.open(["python3", "-i"], prompt=">>> ") as talk:
        assert talk.ask("print(6 * 7); 1") == "42\n1"
        assert talk.isatty()
    with spile.open("pipe: true") as talk, pytest.raises(EOFError):
        talk.ask("q")


def test_threads_ask_in_turn():
    with spile.open("pipe: cat") as talk:
        wrong = []

        def ask(number):
            for i in range(30):
                if talk.ask(f"{number}.{i}") != f"{number}.{i}":
                    wrong.append(number)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_one_thread_reads_and_another_writes():
    with spile.open("pipe: cat") as talk:
        heard = []
        reader = threading.Thread(target=lambda: heard.extend(talk))
        reader.start()
        for i in range(20):
            print(i, file=talk)
        talk.end()
        reader.join()
        assert heard == [f"{i}\n" for i in range(20)]


def test_programs():
    with spile.open("pty: sh -c 'exit 3'") as talk:
        assert talk.read() == ""
        assert talk.pid
    assert talk.exit_status == 3
    with spile.open(["sh", "-c", "echo $X; pwd; stty size"], env={"X": "y"}, cwd="/", size=(90, 30)) as talk:
        assert list(talk) == ["y\n", "/\n", "30 90\n"]


@pytest.mark.parametrize("endpoint, kind, text", [
    ("/etc", spile.EndpointError, "directory"),
    ("/no/such", spile.EndpointError, "there is no"),
    ("pipe:", spile.EndpointError, "lacks its program"),
    (["no-such-program"], spile.EndpointError, "not found"),
])
def test_refused(endpoint, kind, text):
    with pytest.raises(kind, match=text) as caught:
        spile.open(endpoint)
    assert isinstance(caught.value, OSError)


def test_wrong_options():
    for options in ({"errors": "ignore"}, {"ends": "x"}, {"parity": 1}):
        with pytest.raises(ValueError, match="is none of"):
            spile.open("pipe: cat", **options)
    with pytest.raises(TypeError):
        spile.open("pipe: cat", no_such_option=1)


@pytest.mark.parametrize("value,kind", [("5", TypeError), (-1, ValueError), (float("nan"), ValueError)])
def test_times_that_are_none(value, kind):
    """Refused before anything waits, with the name of what is wrong."""
    with pytest.raises(kind, match="^timeout is .*: give seconds"):
        spile.open("pipe: cat", timeout=value)
    with spile.open("pipe: cat") as talk:
        for name, use in {"timeout": lambda: talk.ask("x", timeout=value), "silence": lambda: talk.ask("x", silence=value),
                          "seconds": lambda: talk.read_silence(value)}.items():
            with pytest.raises(kind, match=f"^{name} is .*: give seconds"):
                use()
    with pytest.raises(kind, match="^timeout is .*: give seconds"):
        spile.run("true", timeout=value)


def test_paths_and_descriptors(tmp_path):
    with pytest.raises(spile.EndpointError, match="regular file"):
        spile.open(pathlib.Path(__file__))
    before = open_descriptors()
    ours, peer = socket.socketpair()
    with ours, peer:
        with spile.open(ours.fileno(), closefd=False) as talk:
            talk.write("x\n")
            assert ours.getblocking()
            assert peer.recv(10) == b"x\n"
        ours.sendall(b"still")
        assert peer.recv(10) == b"still"
    del talk
    assert open_descriptors() == before


def test_a_signal_is_handled_while_it_waits(pair):
    talk, _ = pair

    class Interrupt(Exception):
        pass

    def handler(number, frame):
        raise Interrupt

    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupt):
            talk.readline()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupt):
            talk.ask("x")
    finally:
        signal.signal(signal.SIGALRM, old)


def test_asyncio():
    async def main():
        async with await spile.open_async("pipe: cat", timeout=30) as talk:
            assert await asyncio.gather(*(talk.ask(str(i)) for i in range(20))) == [str(i) for i in range(20)]
            await talk.write("a\r\nb c>>x\n")
            assert await talk.readline() == "a\n"
            assert await talk.read(2) == "b "
            assert await talk.read_until(">>") == "c>>"
            talk.timeout = 0.05
            assert await talk.readline() == "x\n"
            with pytest.raises(TimeoutError):
                await talk.readline()
            with pytest.raises(spile.TalkTimeoutError):
                await talk.ask("two", lines=2, timeout=0.05)
            talk.timeout = 30
            big = "y" * 99 + "\n"
            await asyncio.gather(talk.write(big * 100000), asyncio.sleep(0))
            talk.end()
            assert sum([len(line) async for line in talk]) == 10000000
        assert talk.closed and talk.exit_status == 0
        with pytest.raises(ValueError):
            await talk.readline()
        with pytest.raises(spile.EndpointError):
            await spile.open_async("/etc")
        talks = await asyncio.gather(*(spile.open_async("pipe: cat") for _ in range(5)))
        assert await asyncio.gather(*(talk.ask("z") for talk in talks)) == ["z"] * 5
        await asyncio.gather(*(talk.close() for talk in talks))

    gc.collect()
    before = open_descriptors()
    asyncio.run(main())
    gc.collect()
    assert open_descriptors() == before


def test_the_first_story():
    done = subprocess.run([sys.executable, "-B", SOURCE / "examples" / "python" / "talk.py"], capture_output=True, text=True,
                          timeout=120)
    assert done.stdout.splitlines()[:2] == ["HELLO AND AGAIN BYE"] * 2, done.stderr
    assert done.stdout.count("fails as told: ") == 4, done.stdout


def test_the_traps_of_conversations():
    done = subprocess.run([sys.executable, "-B", SOURCE / "examples" / "python" / "talk_traps.py"], capture_output=True,
                          text=True, timeout=120)
    assert done.stdout.count("fails as told: ") == 10 and not done.stderr, (done.stdout, done.stderr)


def test_transcript(tmp_path):
    log = tmp_path / "log"
    with spile.open("pipe: cat", transcript=log) as talk:
        assert talk.ask("one") == "one"
        assert talk.ask("hush", secret=True) == "hush"
        assert talk.transcript_error is None
    said = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    assert said[:5] == ["- opened: pipe: cat", r"> one\n", r"< one\n", r"> ***\n", r"< ***\n"]

    async def main():
        async with await spile.open_async("pipe: cat", transcript="/dev/full", transcript_json=True) as talk:
            assert await talk.ask("x") == "x"
            assert "No space left on device: 3 entries" in str(talk.transcript_error)

    asyncio.run(main())
    with spile.open("pipe: cat", transcript="/dev/full") as talk:
        assert talk.ask("x") == "x"
    assert isinstance(talk.transcript_error, OSError)
    with pytest.raises(spile.TalkError, match="transcript '/no/dir/x' can't be written"):
        spile.open("pipe: cat", transcript="/no/dir/x")


def test_devices_without_poll():
    with spile.open("/dev/zero") as talk:
        assert talk.buffer.read_exactly(100000) == bytes(100000)
    with spile.open("/dev/full") as talk:
        with pytest.raises(OSError, match="No space left on device"):
            talk.write("x\n")
    with spile.open("/dev/null") as talk:
        assert talk.write("x\n") == 2 and talk.read() == ""


def test_messages():
    """An instrument that wants each command in a message, and answers without a line's end."""
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with peer, spile.open(ours.detach(), message=True, timeout=30) as talk:
        peer.send(b"not awaited")
        assert talk.read_now() == ""
        talk.write("*RST\nINIT\n")
        talk.write("MEAS?\n")
        assert [peer.recv(100) for _ in range(3)] == [b"*RST\n", b"INIT\n", b"MEAS?\n"]
        peer.send(b"+1.5")
        assert (talk.readline(), talk.readline()) == ("not awaited\n", "+1.5\n")
        talk.buffer.write(b"#14a\nb\n")
        assert peer.recv(100) == b"#14a\nb\n"


def test_reconnect(tmp_path):
    """A program is started again; half a line is told as that, what was awaited fails, what comes later is read."""
    with spile.open("pipe: sh -c 'echo ready; printf ha; read x'", reconnect=True, timeout=30) as talk:
        assert (talk.readline(), talk.losses) == ("ready\n", 0)
        with pytest.raises(spile.EndedError, match="lost before it replied"):
            talk.ask("x")
        assert talk.read_until("ready\n") in ("ready\n", "ha")
        assert talk.losses == 1

    async def main():
        async with await spile.open_async("pipe: sh -c 'echo ready; read x'", reconnect=True, timeout=30) as talk:
            for losses in range(3):
                assert await talk.readline() == "ready\n"
                assert talk.losses == losses
                await talk.write("x\n")

    asyncio.run(main())
    with pytest.raises(spile.EndpointError, match="can't be opened again"):
        spile.open("-", reconnect=True)


def test_silence_keeps_the_deadline(pair):
    """A silence that is longer than the time-out does not put it off; and goes on counting from call to call."""
    talk, peer = pair
    for wait in (talk.read_silence, talk.resync):
        talk.timeout = 0.1
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            wait(30)
        assert time.monotonic() - began < 10
    peer.sendall(b"x")
    talk.timeout = 30
    assert talk.read_silence(0.2) == "x"

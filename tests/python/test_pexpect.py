"""spile.pexpect: what scripts written for pexpect rely on."""
import asyncio
import gc
import io
import os
import pickle
import re
import signal
import socket
import sys
import time

import pytest

from python_support import open_descriptors

spile = pytest.importorskip("spile")
from spile import pexpect  # noqa: E402
from spile.pexpect import fdpexpect, popen_spawn, replwrap, socket_pexpect  # noqa: E402
from spile.pexpect.expect import UNBOUNDED, Expecter, searcher_re, searcher_string, width_of  # noqa: E402

REVERSE = "import sys\nwhile True:\n    sys.stdout.write(' > ')\n    sys.stdout.flush()\n    line = sys.stdin.readline()\n    if not line:\n        break\n    print(line.rstrip()[::-1])\n"


def cat(**how):
    return pexpect.spawn("cat", **{"echo": False, "timeout": 20, **how})


def test_a_prompt_lines_fed_and_what_came_before():
    child = pexpect.spawn(sys.executable, ["-c", REVERSE], encoding="utf-8", echo=False, timeout=20)
    child.expect(" > ")
    for line, back in (("hello", "olleh"), ("äöü", "üöä")):
        assert child.sendline(line) == len(line.encode()) + 1
        child.expect(" > ")
        assert child.before.strip() == back and child.after == " > " and child.match.group() == " > "
    child.sendeof()
    child.expect(pexpect.EOF)
    assert not child.isalive() and (child.exitstatus, child.signalstatus, child.status) == (0, None, 0)


def test_which_pattern():
    child = cat()
    child.send("one two three\n")
    assert child.expect(["three", "two", pexpect.EOF]) == 1
    assert (child.before, child.after, child.match_index) == (b"one ", b"two", 1)
    assert child.expect_exact([pexpect.TIMEOUT, "three", b"re"]) == 1
    assert child.expect([re.compile("x"), pexpect.TIMEOUT], timeout=0.01) == 1
    assert child.match is pexpect.TIMEOUT is child.after and child.before == b"\r\n" == child.buffer
    with pytest.raises(pexpect.TIMEOUT, match="searcher_re"):
        child.expect("x", timeout=0)
    assert child.match is None and child.match_index is None
    child.ignorecase = True
    child.sendline("ABC")
    child.expect("b")
    child.sendeof()
    with pytest.raises(pexpect.EOF, match="searcher_string"):
        child.expect_exact("x")
    assert child.after is pexpect.EOF and child.before == b"C\r\n" and child.eof()
    for wrong in (1, [1], {}):
        with pytest.raises(TypeError, match="must be one of"):
            child.expect(wrong)
        with pytest.raises(TypeError):
            child.expect_exact(wrong if wrong else 1)
    with pytest.raises(TypeError, match="Unknown"):
        child.expect("x", other=1)


def test_as_a_file():
    with cat() as child:
        child.write("a\n")
        child.writelines(["b", "c\n", "d\n"])
        child.sendeof()
        assert child.readline() == b"a\r\n" and child.read(2) == b"bc" and child.read(0) == b"" == child.readline(0)
        assert child.readlines() == [b"\r\n", b"d\r\n"] and child.isatty()
    assert child.closed and child.child_fd == -1
    with pytest.raises(ValueError, match="closed file"):
        child.read()
    with pytest.raises(ValueError, match="closed file"):
        child.send("x")


def test_logs():
    logs = [io.BytesIO() for _ in range(3)]
    child = cat()
    child.logfile, child.logfile_read, child.logfile_send = logs
    child.sendline("text")
    child.expect("text\r\n")
    child.sendcontrol("d")
    assert [log.getvalue() for log in logs] == [b"text\ntext\r\n\x04", b"text\r\n", b"text\n\x04"]


def test_nothing_is_waited_for_by_the_clock():
    began = time.monotonic()
    child = cat()
    assert child.delaybeforesend is None and child.delayafterread is None
    for number in range(50):
        child.sendline(str(number))
        child.expect(f"{number}\r\n")
    child.close()
    assert time.monotonic() - began < 2  # pexpect takes two and a half for the sending alone


def test_more_than_a_terminal_holds():
    child = pexpect.spawn(sys.executable, ["-c", "import sys, tty\ntty.setraw(0)\nprint('GO', flush=True)\n"
                                           "while data := sys.stdin.buffer.raw.read(4096):\n"
                                           "    sys.stdout.buffer.write(data)\n    sys.stdout.flush()\n"], timeout=60, echo=False)
    child.expect_exact("GO\n")
    data = bytes(range(65, 91)) * 20000
    assert child.send(data + b"!") == len(data) + 1
    child.expect_exact("!")
    assert child.before == data
    child.close(force=True)


def test_pipes_do_not_hang_on_what_is_said_meanwhile():
    with popen_spawn.PopenSpawn("cat", timeout=20) as child:
        data = bytes(range(65, 91)) * 40000
        assert child.send(data + b"!") == len(data) + 1
        child.expect_exact("!")
        assert child.before == data
    silent = "import os, sys\nos.close(1)\nos.close(2)\nwhile sys.stdin.buffer.read(65536):\n    pass\n"
    with popen_spawn.PopenSpawn([sys.executable, "-c", silent], timeout=20) as child:
        assert child.send(data) == len(data)
        child.sendeof()
        assert child.wait() == 0


def test_who_does_not_listen_is_not_waited_for_for_ever():
    raw = pexpect.spawn("sh", ["-c", "stty raw; echo GO; exec sleep 60"], timeout=20, echo=False)
    raw.expect("GO")
    mute = "exec sleep 60 >&- 2>&-"
    for deaf in (raw, popen_spawn.PopenSpawn("sleep 60"), popen_spawn.PopenSpawn(["sh", "-c", mute])):
        deaf.timeout = 0.1
        with pytest.raises(pexpect.TIMEOUT, match=" of 1000000 bytes"):
            deaf.send(b"x" * 1000000)
        deaf.kill(signal.SIGKILL)
        deaf.wait()
        deaf.close()


def test_who_ends_takes_no_more():
    full = ("import array, fcntl, termios, tty\ntty.setraw(0)\nprint('GO', flush=True)\nheld = array.array('i', [0])\n"
            "while held[0] < 4000:\n    fcntl.ioctl(0, termios.FIONREAD, held)\n")
    with pexpect.spawn(sys.executable, ["-c", full], timeout=20, echo=False) as child:
        child.expect("GO")
        with pytest.raises(OSError, match="Input/output error"):
            child.send(b"x" * 1000000)


def test_window_and_increments():
    child = cat(searchwindowsize=6)
    child.sendline("foobarbazbop")
    assert child.expect(["bar", "bop"], timeout=20) == 1
    child.sendline("abcdefghijkl")
    assert child.expect(["abc", pexpect.TIMEOUT], searchwindowsize=3, timeout=0.2) == 1
    assert child.expect(["abc", pexpect.TIMEOUT], searchwindowsize=None) == 0 and child.before == b"\r\n"
    slow = cat(maxread=1)
    slow.sendline("1234")
    assert slow.expect(["1234", "12"]) == 1


@pytest.mark.parametrize("pattern", ["marker", "m.rker", "mark(er|ed)", "(?<=x)marker", "^.*marker", "marker$", r"\bmarker\b", "(?m)^marker",
                                     "[a-m]+arker", "x?marker(?= )", "(?s).*?marker"])
def test_any_cutting_finds_what_one_look_finds(pattern):
    """However text comes, what is found is what re finds in all that is there once something is."""

    class Fed(pexpect.spawnbase.SpawnBase):
        pass

    text = "no\nnone x\nxmarker is a marker \nmarked\nmarker"
    for size in (1, 2, 3, 7, len(text)):
        for exact in (False, True):
            fed = Fed(encoding="utf-8")
            searcher = searcher_string(["marker"]) if exact else searcher_re([re.compile(pattern)])
            expecter = Expecter(fed, searcher)
            fed.searched = found = None
            assert expecter.existing_data() is None
            for place in range(0, len(text), size):
                found = expecter.new_data(text[place:place + size])
                if found is not None:
                    there = text[: place + size]
                    break
                assert exact or not re.search(pattern, text[: place + size])
            if found is None:
                assert not re.search(pattern, text)
                continue
            wanted = re.search("marker" if exact else pattern, there)
            assert (fed.before, fed.after, fed.buffer) == (there[: wanted.start()], wanted[0], there[wanted.end():])
            assert exact or fed.match.span() == wanted.span()


def test_widths():
    assert width_of(re.compile("a|bcd")) == 3 and width_of(re.compile(r"\d{2,5}x?")) == 6
    for pattern in ("a+", "(?=a)b", "^a", r"x\Aa", "(a(?!b)){3}", "(?:(?<=a)|b)", "(?(1)a|b)|(c)(?=d)"):
        try:
            compiled = re.compile(pattern)
        except re.error:
            continue
        assert width_of(compiled) == UNBOUNDED, pattern


def test_much_text_takes_linear_time():
    times = []
    for megabytes in (1, 8):
        began = time.monotonic()
        child = popen_spawn.PopenSpawn([sys.executable, "-c", f"import os\nfor _ in range({megabytes * 16}): os.write(1, b'x' * 65536)\n"
                                        "os.write(1, b' the end')"], timeout=100)
        assert child.expect([r"the \w+d$", "(?s)never.*"]) == 0 and len(child.before) == (megabytes << 20) + 1
        times.append(time.monotonic() - began)
        child.wait()
        child.close()
    assert times[1] < 10 + 30 * times[0]  # quadratic would be 64 times


def test_ways_to_end():
    child = cat()
    assert child.terminate() and not child.isalive() and child.signalstatus == signal.SIGHUP and child.exitstatus is None
    stubborn = pexpect.spawn("sh", ["-c", "trap '' HUP INT; echo READY; while :; do sleep 0.1; done"], timeout=20)
    stubborn.expect("READY")
    stubborn.delayafterterminate = 0.05
    assert not stubborn.terminate() and stubborn.terminate(force=True) and stubborn.signalstatus == signal.SIGKILL
    child = pexpect.spawn("sh -c 'exit 7'")
    assert child.wait() == 7 == child.wait() and child.status == 7 << 8
    child = cat(ignore_sighup=True)
    child.kill(signal.SIGINT)
    child.expect(pexpect.EOF)
    assert not child.isalive() and child.signalstatus == signal.SIGINT
    child.close()
    left = pexpect.spawn("sh", ["-c", "echo said; (trap '' HUP; sleep 60) & exit 3"], timeout=20)
    assert left.read() == b"said\r\n" and left.exitstatus == 3  # what still holds the terminal is not waited for


def test_nothing_is_left():
    gc.collect()
    before = open_descriptors()
    for _ in range(3):
        child = cat()
        child.sendline("x")
        child.expect("x")
        pid = child.pid
        del child
    gc.collect()
    assert open_descriptors() == before and not os.path.exists(f"/proc/{pid}")


def test_the_terminal():
    child = cat(dimensions=(10, 70), env={"PATH": os.environ["PATH"]}, cwd="/")
    assert child.getwinsize() == (10, 70) and not child.getecho()
    child.setwinsize(30, 90)
    child.setecho(True)
    assert child.getwinsize() == (30, 90) and child.getecho() and not child.waitnoecho(timeout=0.02)
    child.setecho(False)
    assert child.waitnoecho(timeout=0) and child.sendcontrol("1") == 0
    child.sendintr()
    child.expect(pexpect.EOF)
    assert not child.isalive() and child.signalstatus == signal.SIGINT
    assert "exitstatus: None" in str(child) and "pid:" in str(pexpect.spawn(None))


def test_what_can_not_be_started():
    with pytest.raises(pexpect.ExceptionPexpect, match="fdpexpect.fdspawn"):
        pexpect.spawn(1)
    with pytest.raises(pexpect.ExceptionPexpect, match="not found"):
        pexpect.spawn("no-such-program-anywhere")
    with pytest.raises(TypeError):
        pexpect.spawn("ls", "-l")
    with pytest.raises(pexpect.ExceptionPexpect, match="int"):
        fdpexpect.fdspawn("x")
    with pytest.raises(pexpect.ExceptionPexpect, match="valid"):
        fdpexpect.fdspawn(9999)
    assert pickle.loads(pickle.dumps(pexpect.EOF("why"))).value == "why"
    try:
        cat().expect("x", timeout=0.01)
    except pexpect.TIMEOUT as error:
        assert "test_what_can_not" in error.get_trace() and "expect_loop" not in error.get_trace()


def test_words_and_commands():
    assert pexpect.split_command_line(r"""one\ two  'a "b' "c 'd" e\"f """) == ["one two", 'a "b', "c 'd", 'e"f']
    assert pexpect.which("sh") and pexpect.which("no-such") is None and pexpect.which("/bin/sh") == "/bin/sh"


def test_run():
    assert pexpect.run("echo text") == b"text\r\n"
    assert pexpect.runu("sh -c 'printf ä; exit 4'", withexitstatus=True) == ("ä", 4)
    events = {"name\\? ": "ada\n", "more\\? ": lambda known: True if known["event_count"] > 1 else "no\n"}
    said = pexpect.run("sh -c 'printf \"name? \"; read n; echo hello $n; printf \"more? \"; read m; printf \"more? \"; read m'",
                       events=events, encoding="utf-8", timeout=20)
    assert "hello ada" in said
    with pytest.raises(TypeError, match="string, method"):
        pexpect.run("echo x", events=[("x", 3)])
    assert pexpect.run("sh -c 'echo x; sleep 30'", timeout=0.3) == b"x\r\n"


def test_descriptors_sockets_and_pipes():
    ours, peer = socket.socketpair()
    with peer:
        spoken = socket_pexpect.SocketSpawn(ours, timeout=20)
        assert spoken.sendline("hello") == 6 and peer.recv(100) == b"hello\n" and spoken.isalive()
        peer.sendall(b"one two")
        spoken.expect("o.e")
        by_fd = fdpexpect.fdspawn(ours, timeout=20, encoding="utf-8")
        peer.sendall("ä three".encode())
        by_fd.expect("ä")
        assert by_fd.before == "" and by_fd.expect(["x", pexpect.TIMEOUT], timeout=0.01) == 1 and not by_fd.isatty()
        with pytest.raises(pexpect.ExceptionPexpect):
            by_fd.terminate()
        peer.shutdown(socket.SHUT_WR)
        by_fd.expect(pexpect.EOF)
        spoken.close()
        spoken.close()
        assert not spoken.isalive() and not by_fd.isalive()
    child = popen_spawn.PopenSpawn("cat", timeout=20)
    child.sendline("text")
    child.expect("text\n")
    child.sendeof()
    child.expect(pexpect.EOF)
    assert child.wait() == 0 and not child.isalive()
    child.close()


def test_interpreters():
    python = replwrap.python(sys.executable)
    assert python.run_command("4 + 7") == "11\r\n" and python.run_command("for i in range(2):\n    print(i)\n") == "0\r\n1\r\n"
    bash = replwrap.bash()
    assert bash.run_command("echo $((6*7))").strip() == "42"
    with pytest.raises(ValueError, match="incomplete"):
        bash.run_command("echo '5 6")
    assert bash.run_command("echo again").strip() == "again"
    with pytest.raises(ValueError):
        bash.run_command("")


def test_asyncio():
    async def converse():
        child = cat(encoding="utf-8")
        child.sendline("Hello asyncio")
        assert await child.expect(["Hello", pexpect.EOF], async_=True) == 0
        assert child.expect_exact("async") == 0
        assert await child.expect(["x", pexpect.TIMEOUT], timeout=0.01, async_=True) == 1
        with pytest.raises(pexpect.TIMEOUT):
            await child.expect_exact("x", timeout=0.01, async_=True)
        waiting = asyncio.ensure_future(child.expect("later", async_=True))
        await asyncio.sleep(0)
        child.sendline("later")
        assert await waiting == 0
        child.sendeof()
        assert await child.expect(pexpect.EOF, **{"async": True}) == 0
        python = replwrap.python(sys.executable)
        assert await python.run_command("1\n2", async_=True) == "1\r\n2\r\n"
        with pexpect.spawn("yes", timeout=20) as endless:
            others = asyncio.ensure_future(asyncio.sleep(0.01))
            assert await asyncio.wait_for(endless.expect([pexpect.TIMEOUT, "(?s)y.*n"], timeout=0.2, async_=True), 20) == 0
            assert others.done()

    asyncio.run(converse())


def test_a_person():
    """interact hands over, until the escape is typed."""
    script = ("from spile import pexpect\nchild = pexpect.spawn('cat', echo=False)\nprint('READY', flush=True)\n"
              "child.interact(input_filter=bytes.upper)\nprint('left', child.isalive())\n")
    outer = pexpect.spawn(sys.executable, ["-c", script], timeout=20, echo=False)
    outer.expect("READY")
    while outer.getecho() or not _is_raw(outer):
        time.sleep(0.005)  # until it listens
    outer.send("typed\r")
    outer.expect("TYPED")
    outer.send("\x1d")
    outer.expect("left True")
    outer.expect(pexpect.EOF)


def test_what_a_person_types_much_of_is_shown():
    """While the program does not take what was pasted, what it says is shown, and through the filter."""
    script = ("from spile import pexpect\nchild = pexpect.spawn('sh', ['-c', 'stty raw; echo IT RUNS; exec cat'], echo=False)\n"
              "child.expect('IT RUNS')\nprint('READY', flush=True)\nchild.interact(output_filter=bytes.upper)\n"
              "print('left', len(child.buffer))\n")
    outer = pexpect.spawn(sys.executable, ["-c", script], timeout=20, echo=False)
    outer.expect("READY")
    while outer.getecho() or not _is_raw(outer):
        time.sleep(0.005)  # until it listens
    outer.send("x" * 500000 + "y")
    outer.expect("Y")
    assert outer.before.count(b"X") == 500000
    outer.send("\x1d")
    outer.expect("left 0")
    outer.expect(pexpect.EOF)


def _is_raw(child):
    import termios

    return not termios.tcgetattr(child.child_fd)[3] & termios.ICANON

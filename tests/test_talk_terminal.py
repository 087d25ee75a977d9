"""`spile talk` at a terminal: what stands on the screen, what is said, and what becomes of the terminal."""
import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import tty

import pytest

from screen import Screen


@pytest.fixture
def sit(build, tmp_path):
    """Sits down at a terminal at which spile talk runs."""
    screens = []

    def sit(*words, columns=80, expect=None, program=None, **environment):
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "NO_COLOR": "1", "LC_ALL": "C", "HOME": str(tmp_path),
                       **{name: os.environ[name] for name in os.environ if name.endswith("SAN_OPTIONS")}, **environment}
        screen = Screen(program or [build / "cli" / "spile", "talk", *words], environment, columns)
        screens.append(screen)
        if program is None and expect is None:
            screen.wait_raw("\\? tells all keys")
            screen.wait("")
        return screen
    if not has_line_editor(build):
        pytest.skip("built without libedit")
    yield sit
    for screen in screens:
        screen.close()


def has_line_editor(build):
    return b"type with --raw, or build it" not in (build / "cli" / "spile").read_bytes()


@pytest.fixture
def door():
    """A device whose other side is ours: its path, and what to read and write."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave), master
    os.close(master)
    os.close(slave)


def history(tmp_path):
    return (tmp_path / ".local" / "state" / "spile" / "talk_history").read_text().splitlines()


def test_lines(sit):
    screen = sit("pipe: bc -q")
    screen.type("1+1\r")
    screen.wait("1+1", "2", "")
    screen.type("2+2\x1b[D\x1b[D9\r")  # to the left, to the left
    screen.wait("29+2", "31", "")
    screen.type("\x1b[A\x1b[A\r")
    screen.wait("1+1", "2", "")
    screen.type("nonsense\x03")
    screen.wait("2", "")
    screen.type("3\x04*3\r\x04")  # an end in a line is none
    screen.wait_raw("has ended")
    assert screen.wait_end() == 0
    assert "3*3" in screen.show() and "9" in screen.show()


def test_text_is_utf8_in_any_locale(sit, door):
    path, other = door
    screen = sit(path, "--encoding", "latin-1")
    screen.type("Grün\x1b[D\x1b[D\x7f\x7fTü\r")
    screen.wait("Tüün", "")
    assert os.read(other, 100) == "Tüün\n".encode("latin-1")


@pytest.mark.parametrize("typed, columns", [("hello", 80), ("a line that takes more than one row", 20), ("x" * 40, 20),
                                            ("ä" * 39, 20), ("", 80)])
def test_what_comes_does_not_spoil_the_line(sit, door, typed, columns):
    path, other = door
    screen = sit(path, columns=columns)
    rows = [typed[i:i + columns] for i in range(0, len(typed), columns)] or [""]
    rows += [""] if typed and len(typed) % columns == 0 else []
    screen.type(typed)
    screen.wait(*rows)
    for i in range(3):
        os.write(other, b"news %d\r\n" % i)
        screen.wait(*(f"news {j}" for j in range(i + 1)), *rows)
    screen.type("\x01<\x05>\r")  # at its beginning and its end
    assert os.read(other, 1000) == f"<{typed}>\n".encode()
    os.write(other, b"heard\r\n")
    screen.wait("heard", "")
    text = f"<{typed}>"
    rows = [text[i:i + columns] for i in range(0, len(text), columns)]
    assert screen.show()[-len(rows) - 2:-2] == rows


def test_an_unfinished_line_is_a_prompt(sit, door):
    path, other = door
    screen = sit(path)
    os.write(other, b"\x1b[1mname\x1b[0m> ")
    screen.wait("name>")
    screen.type("abc")
    screen.wait("name> abc")
    os.write(other, b"(wait) ")
    screen.wait("name> (wait) abc")
    screen.type("\r")
    assert os.read(other, 10) == b"abc\n"
    os.write(other, b"done\r\nname> ")
    screen.wait("name> (wait) abc", "done", "name>")
    os.write(other, b"and on\r\n")
    screen.wait("done", "name> and on", "")


def test_a_password_is_not_shown_nor_kept(sit, tmp_path):
    transcript = tmp_path / "transcript"
    screen = sit("--transcript", str(transcript), "pty: python3 -c " + shlex.quote(
        "import getpass\nprint(input('user: '))\ntry: getpass.getpass('word: ')\nexcept KeyboardInterrupt: pass\n"
        "print(len(getpass.getpass('again: ')))\nprint(input('more: ')); input()"))
    screen.wait("user:")
    screen.type("me\r")
    screen.wait("me", "word:")
    screen.type("x\x03")
    screen.wait_raw("secret was not said")
    screen.wait("word: again:")
    screen.type("much\x15qwxrtä\x7f\x7f\x7f\x7fertz\r")
    screen.wait("6", "more:")
    screen.type("end\r")
    screen.wait("end", "")
    screen.type("\x1dsxyzzy\r")  # said to be secret, where the terminal shows it
    screen.wait_raw("would show it")
    assert b"ertz" not in screen.raw and b"xyzzy" not in screen.raw
    assert history(tmp_path) == ["me", "end"]
    screen.type("\r")
    assert screen.wait_end() == 0
    assert "end" in transcript.read_text() and not any(word in transcript.read_text() for word in ("ertz", "xyzzy"))


def test_history(sit, tmp_path):
    screen = sit("pipe: cat")
    shown = []
    for line in ("one", "one", " hidden", "two"):
        screen.type(line + "\r")
        shown += [line, line]
        screen.wait(*shown, "")
    screen.type("\x1dssecret\r")
    screen.wait(*shown, "secret", "")
    screen.type("\x1dq")
    assert screen.wait_end() == 0
    assert history(tmp_path) == ["one", "two"]
    path = tmp_path / ".local" / "state" / "spile" / "talk_history"
    assert path.stat().st_mode & 0o777 == 0o600
    screen = sit("pipe: cat", "--no-history")
    screen.type("\x1b[A\x10three\r")
    screen.wait("three", "three", "")
    screen = sit("pipe: cat")
    screen.type("\x1b[A\x1b[A+\r")
    screen.wait("one+", "one+", "")
    assert history(tmp_path) == ["one", "two", "one+"]
    path.write_text("".join(f"{i}\n" for i in range(2500)))
    screen = sit("pipe: cat", "--history", str(path))
    assert path.read_text().splitlines() == [str(i) for i in range(1500, 2500)]
    screen = sit("pipe: cat", XDG_STATE_HOME=f"{tmp_path}/state")
    screen.type("kept\r")
    screen.wait("kept", "kept", "")
    assert (tmp_path / "state" / "spile" / "talk_history").read_text() == "kept\n"
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    screen = sit("pipe: cat", "--history", "/proc/none")
    screen.type("x\r")
    screen.wait_raw("lines are not kept in '/proc/none'")


def test_keys_of_a_terminal(sit):
    screen = sit("pty: python3 -u -c " + shlex.quote(
        "import signal, sys\nsignal.signal(signal.SIGINT, lambda *_: print('interrupted'))\n"
        "signal.signal(signal.SIGTSTP, lambda *_: print('stopped'))\n"
        "print('ready'); print('read', sys.stdin.readlines()); print(sys.stdin.readline())"))
    screen.wait("ready", "")
    for key, said in (("\x03", "interrupted"), ("\x1a", "stopped"), ("\x04", "read \\[\\]")):
        screen.type(key)
        screen.wait_raw(said + "\r\n")
    screen.type("on\r")
    assert screen.wait_end() == 0
    for key in "\x03\x1c":
        screen = sit("pipe: cat")
        screen.type(key)
        assert screen.wait_end() == 130


def test_echo(sit, door):
    """What a program's terminal, or the program itself, shows again is left out; of anything else only where that is said."""
    path, other = door
    screen = sit("--echo", "keep", "pty: sed -u s/x/y/")
    screen.type("x\r")
    screen.wait("x", "x", "y", "")
    screen = sit("--echo", "drop", path)
    screen.type("AT\r")
    assert os.read(other, 10) == b"AT\n"
    os.write(other, b"AT\r\nOK\r\nAT\r\n")
    screen.wait("AT", "OK", "AT", "")
    screen = sit("pty: python3 -c " + shlex.quote(
        "import os, tty\ntty.setraw(0)\nos.write(1, b'ready\\r\\n')\nos.read(0, 9)\nos.write(1, b'one\\r\\ntwo\\r\\n')\n"
        "os.read(0, 9)\nos.write(1, b'no echo\\r\\nthree\\r\\n')\nos.read(0, 9)"))
    screen.wait("ready", "")
    screen.type("one\r")
    screen.wait("one", "two", "")
    screen.type("three\r")
    screen.wait("one", "two", "three", "no echo", "three", "")


def test_what_never_ends_is_no_prompt(sit, door):
    path, other = door
    screen = sit(path)
    os.write(other, b"x" * 3000 + b"end")
    screen.wait_raw("xend")


def test_what_is_typed_faster_than_it_goes_waits(sit):
    screen = sit("--raw", "pipe: sleep 1000", "--eol", "lf")
    os.set_blocking(screen.master, False)
    taken = 0
    while taken < 1 << 20 and select.select([], [screen.master], [], 1)[1]:
        taken += os.write(screen.master, b"x" * 1024)
    assert taken < 1 << 20
    screen.process.terminate()
    assert screen.wait_end() == -signal.SIGTERM


def test_menu(sit, door):
    path, other = door
    screen = sit(path)
    screen.type("\x1d")
    screen.wait_raw("-- q ends")
    screen.type("?")
    screen.wait_raw("sends \\^] itself")
    screen.type("ab\x1d\x1d")
    assert os.read(other, 10) == b"\x1d"
    screen.type("\x1dx")
    screen.wait_raw("x means nothing here")
    screen.type("\x1db")
    screen.wait_raw("a break was sent")
    screen.type("\x1di")
    screen.wait_raw("0 bytes came, 1 went")
    screen.type("\x1dt")
    screen.wait("-- timestamps are on", "ab")
    os.write(other, b"ping\n")
    screen.wait_raw(r"\[\d\d:\d\d:\d\d\.\d\d\d\] ping\r\n")
    screen.type("\x1dl")
    screen.wait_raw("only --raw has")
    screen.type("c\r")
    assert os.read(other, 10) == b"abc\n"
    screen.type("\x1de")  # nothing tells a device's end: a second's silence does
    assert screen.wait_end() == 0


def test_another_escape(sit):
    screen = sit("--escape", "^A", "pipe: cat", expect="")
    screen.wait_raw("\\^A q ends")
    screen.type("\x1dx\x01q")
    assert screen.wait_end() == 0
    screen = sit("--escape", "none", "pipe: cat", expect="")
    screen.wait_raw("there is no escape key")
    screen.type("x\x1dq\r")  # ^] is no key that edits
    screen.wait("xq", "xq", "")
    screen.type("\x04")
    assert screen.wait_end() == 0


def test_raw(sit, door):
    path, other = door
    screen = sit("--raw", path)
    screen.type("a")
    assert os.read(other, 10) == b"a"
    screen.type("\x03\x04\x1a\r")
    assert os.read(other, 10) == b"\x03\x04\x1a\r"
    os.write(other, b"one\rtwo\nthree\x1b[7m")
    screen.wait_raw("^[^\\0]*one\rtwo\nthree\x1b\\[7m")
    screen.type("\x1d\x1d\x1dlä")
    received = b""
    while not received.endswith("ä".encode()):
        received += os.read(other, 10)
    assert received == b"\x1d\xc3\xa4"
    for part in "ä".encode():
        os.write(other, b"?")
        screen.wait_raw("\\?$")
        screen.raw = b""
        screen.type(bytes([part]))
    received = b""
    while len(received) < 2:
        received += os.read(other, 10)
    assert received == "ä".encode()
    screen.wait_raw("ä$")
    screen.type("\x1dq")
    assert screen.wait_end() == 0
    screen = sit("--raw", "--eol", "crlf", "--ends", "any", "--timestamps", path)
    screen.type("\r")
    assert os.read(other, 10) == b"\r\n"
    os.write(other, b"one\rtwo\n")
    screen.wait_raw(r"\[[\d:.]*\] one\r\n\[[\d:.]*\] two\r\n")


def test_raw_program(sit):
    screen = sit("--raw", "pty: sh -c 'stty size; echo $TERM; stty -echo raw; dd bs=1 count=1 2>&-'", expect="")
    screen.wait_raw("24 80\r\nxterm\r\n")
    screen.type("z")
    screen.wait_raw("\nz")
    assert screen.wait_end() == 0
    screen = sit("--raw", "--env", "TERM=vt52", "pty: sh -c 'echo $TERM'", expect="")
    screen.wait_raw("vt52\r\n")


def test_resize(sit):
    screen = sit("pty: python3 -u -c " + shlex.quote(
        "import os, signal\nsignal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size()))\n"
        "print(os.get_terminal_size())\nwhile True: signal.pause()"))
    screen.wait("os.terminal_size(columns=80, lines=24)", "")
    screen.type("abc")
    screen.resize(100, 30)
    screen.wait("os.terminal_size(columns=100, lines=30)", "abc")


def test_colours(sit):
    for words, environment, is_coloured in (([], {"NO_COLOR": ""}, True), ([], {}, False), (["--color", "always"], {}, True),
                                            (["--color=never"], {"NO_COLOR": ""}, False), ([], {"NO_COLOR": "", "TERM": "dumb"}, False)):
        screen = sit(*words, "pipe: cat", **environment)
        screen.type("x\r")
        screen.wait_raw("\nx\r\n|Jx\r\n")
        assert (b"\x1b[36m" in screen.raw) == is_coloured
        screen.close()


@pytest.mark.parametrize("kind", ["dumb", ""])
def test_a_terminal_that_can_do_nothing(sit, door, kind):
    """What was being typed can't be taken away there: it stays, and is shown once more."""
    path, other = door
    screen = sit(path, TERM=kind)
    os.write(other, b"news 0\r\n")
    screen.wait("news 0", "")
    os.write(other, b"news 1\r\n")
    screen.wait("news 0", "news 1", "")
    screen.type("abc")
    screen.wait("news 1", "abc")
    os.write(other, b"more\r\n")
    screen.wait("news 1", "abc", "more", "abc")
    screen.type("\r")
    assert os.read(other, 10) == b"abc\n"
    assert b"\x1b" not in screen.raw


@pytest.mark.parametrize("words", [["pipe: cat"], ["--raw", "pipe: cat"]])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_a_signal_leaves_the_terminal_as_it_was(sit, words, number):
    screen = sit(*words)
    assert termios.tcgetattr(screen.slave) != screen.before
    screen.process.send_signal(number)
    screen.process.wait(timeout=60)
    if number == signal.SIGKILL:  # the guard does it, soon
        done = threading.Event()
        while termios.tcgetattr(screen.slave) != screen.before:
            done.wait(0.01)
    assert screen.wait_end() == -number


def test_a_terminal_that_another_has_set_is_left_to_it(sit):
    screen = sit("pipe: cat")
    guard = os.pidfd_open(guard_of(screen.process))
    modes = termios.tcgetattr(screen.slave)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(screen.slave, termios.TCSANOW, modes)
    modes = termios.tcgetattr(screen.slave)
    screen.process.kill()
    select.select([guard], [], [])
    os.close(guard)
    assert termios.tcgetattr(screen.slave) == modes


def guard_of(process):
    """The process that sets the terminal back; it has its name once it has let go of all else."""
    wait = threading.Event()
    while True:
        for line in subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout.splitlines():
            if line.split()[1] == "spile-guard":
                return int(line.split()[0])
        wait.wait(0.01)


def test_a_guard_that_was_killed_is_not_missed(sit):
    screen = sit("pipe: cat")
    guard = guard_of(screen.process)
    ended = os.pidfd_open(guard)
    os.kill(guard, signal.SIGKILL)
    select.select([ended], [], [])
    os.close(ended)
    screen.process.send_signal(signal.SIGCONT)  # it is told of the terminal's modes again
    screen.type("on\r")
    screen.wait("on", "on", "")
    screen.type("\x1dq")
    assert screen.wait_end() == 0


def test_stop_and_continue(sit, build):
    """Under a shell with job control, as users have it."""
    bash = sit(program=["bash", "--norc", "--noprofile", "-i"], PS1="bash> ", PS0="")
    bash.wait("bash>")
    bash.type(f"{build}/cli/spile talk --no-history 'pipe: cat'\r")
    bash.wait_raw("tells all keys")
    bash.type("half")
    bash.wait_raw("half")
    for stop in ("\x1a", "\x1dz"):
        bash.type(stop)
        bash.wait_raw("Stopped(?s:.*)bash> $")
        bash.raw = b""
        bash.type("stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo | sort | tr '\\n' ,\r")
        bash.wait_raw("echo,icanon,")
        bash.type("fg\r")
        bash.wait_raw("fg\r\n.*\r\n(?s:.*)half$")
        bash.raw = b""
    bash.type(" and half\r")
    bash.wait_raw("half and half\r\n")
    bash.type("\x1dq")
    bash.wait_raw("bash> $")


@pytest.mark.parametrize("words, status, message", [
    (["-"], 125, "is where the lines to say come from"),
    (["--escape", "^^^", "pipe: cat"], 125, "'^^^' is no key"),
    (["--color", "blue", "pipe: cat"], 125, "auto, always or never"),
    (["/dev/tty"], 125, "is the terminal at which you type"),
    (["/proc/self/fd/0"], 125, "is the terminal at which you type"),
    (["pipe: /no/such/program"], 125, "was not found"),
    (["-t", "50ms", "pipe: cat"], 124, "did not end in time"),
])
def test_refused(sit, words, status, message):
    screen = sit(*words, expect="")
    assert screen.wait_end() == status
    assert message in "\n".join(screen.show())


def test_ones_own_terminal_is_refused_where_it_controls_nobody(sit, build):
    screen = sit(program=["setsid", "--wait", build / "cli" / "spile", "talk", "/proc/self/fd/0"])
    assert screen.wait_end() == 125
    assert "is the terminal at which you type" in "\n".join(screen.show())


def test_raw_in_a_pipeline(build):
    done = subprocess.run([build / "cli" / "spile", "talk", "--raw", "pipe: cat"], input=b"", capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (125, b"") and b"--raw: standard input and output are no terminal" in done.stderr

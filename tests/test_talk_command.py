"""`spile ask` and `spile talk` in scripts: what is said, what is printed, and what they exit with."""
import json
import os
import pty
import shutil
import socket
import subprocess
import threading
import tty

import pytest


@pytest.fixture
def spile(build):
    def run(*words, given=b"", timeout=60):
        return subprocess.run([build / "cli" / "spile", *words], input=given, capture_output=True, timeout=timeout)
    return run


@pytest.fixture
def device():
    """A service with a device: a pty with a raw slave under a path, that answers each line in capitals."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    heard = []

    def serve():
        with open(master, "r+b", buffering=0, closefd=False) as stream:
            rest = b""
            while True:
                try:
                    block = stream.read(100)
                except OSError:
                    return
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    heard.append(line)
                    if line == b"quit":
                        return
                    stream.write(line.upper() + b"\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield os.ttyname(slave), heard
    os.write(slave, b"quit\n")
    thread.join()
    os.close(slave)
    os.close(master)


def check(done, stdout, status=0, stderr=b""):
    assert (done.stdout, done.returncode) == (stdout, status), done.stderr
    assert stderr in done.stderr
    assert bool(done.stderr) == bool(stderr)


def test_ask_device(spile, device):
    path, heard = device
    check(spile("ask", path, "hello", "again", "--baud", "9600"), b"HELLO\nAGAIN\n")
    check(spile("ask", path, "--lines=1", "--", "-x"), b"-X\n")
    assert heard == [b"hello", b"again", b"-x"]


def test_ask_program(spile):
    check(spile("ask", "pipe: bc -q", "6*7"), b"42\n")
    check(spile("ask", "pty:", "6*7", "--", "bc", "-q"), b"42\n")
    check(spile("ask", "-p", ">>> ", "pty: python3 -i", "print(1); 2", "3"), b"1\n2\n3\n")


@pytest.mark.parametrize("words, stdout, status, stderr", [
    (["--error", "ERR*", "pipe: sed -u s/q/ERROR/", "q"], b"ERROR\n", 1, b"with an error: ERROR"),
    (["pipe: true", "q"], b"", 3, b""),
    (["-t", "50ms", "pipe: sleep 100", "q"], b"", 124, b"in time"),
    (["-t", "50ms", "-n", "2", "pipe: cat", "q"], b"q\n", 124, b"in time"),
    (["-n", "0", "pipe: cat", "q"], b"", 0, b""),
    (["-e", "OK", "--skip-empty", "pipe: sh -c 'read x; printf \"a\\r\\n\\r\\nOK\\r\\n\"'", "q"], b"a\n", 0, b""),
    (["--silence", "100ms", "pipe: sh -c 'read x; echo a; echo b; sleep 100'", "q"], b"a\nb\n", 0, b""),
    (["--encoding", "latin-1", "pipe: cat", "ä"], "ä\n".encode(), 0, b""),
    (["--encoding", "latin-1", "--errors", "strict", "pipe: cat", "€"], b"", 125, b"can't be written in latin-1"),
    (["--eol", "crlf", "--ends", "lf", "pipe: cat", "q"], b"q\r\n", 0, b""),
    (["/no/such/device", "q"], b"", 125, b"there is no"),
    (["--wait=50ms", "/no/such/device", "q"], b"", 124, b"there is no"),
    (["/dev", "q"], b"", 125, b"is a directory"),
    (["pipe: cat"], b"", 125, b"no line"),
    ([], b"", 125, b"endpoint is missing"),
    (["--timeuot", "1", "pipe: cat", "q"], b"", 125, b"'--timeout'"),
    (["--parity", "mark", "/dev/tty", "q"], b"", 125, b"none, even or odd"),
    (["--bits", "9", "/dev/tty", "q"], b"", 125, b"from 5 to 8"),
    (["-n", "0", "-e", "OK", "pipe: cat", "q"], b"", 125, b"awaits no reply"),
    (["pty:", "q", "--"], b"", 125, b"no program"),
])
def test_ask_status(spile, words, stdout, status, stderr):
    done = spile("ask", *words)
    assert (done.stdout, done.returncode) == (stdout, status), done.stderr
    assert stderr in done.stderr
    assert done.returncode == 0 or done.stderr.startswith(b"spile: ")


def test_talk_in_a_pipeline(spile):
    check(spile("talk", "pipe: cat", given=b"1+1\n2+2"), b"1+1\n2+2")  # a last line without an end is given none
    check(spile("talk", "pipe: bc -q", given=b"1+1\n2+2\n"), b"2\n4\n")
    much = b"".join(b"%d some text\n" % i for i in range(300000))
    check(spile("talk", "pipe: cat", given=much), much)
    check(spile("talk", "--encoding", "UTF-16LE", "pipe: cat", given="ä€𝄞\n".encode() * 50000), "ä€𝄞\n".encode() * 50000)
    check(spile("talk", "pipe: cat", given=bytes(range(256)).replace(b"\r", b"")), "".join(
        chr(i) for i in range(128) if i != 13).encode() + "\N{REPLACEMENT CHARACTER}".encode() * 128)


def test_talk_with_a_terminal(spile):
    done = spile("talk", "pty: python3 -i", given=b"print('one')\nprint('two')\n")
    assert done.returncode == 0
    assert b"one\n" in done.stdout and b"two\n" in done.stdout
    check(spile("talk", "-p", ">>> ", "pty: python3 -i", given=b"print('one')\nprint('two')\n"), b"one\ntwo\n")


def test_talk_with_a_device(spile, device):
    path, _ = device
    check(spile("talk", "--silence", "200ms", path, given=b"hello\nagain\n"), b"HELLO\nAGAIN\n")


@pytest.mark.parametrize("words, given, status, stderr", [
    (["-t", "100ms", "pipe: sleep 100"], b"", 124, b"did not end in time"),
    pytest.param(["pipe: head -n 1"], b"a\n" * 1000000, 3, b"", id="end"),
    (["/etc"], b"", 125, b"is a directory"),
    (["--wait=50ms", "/no/such/device"], b"", 124, b"there is no"),
    (["pipe: cat", "more"], b"", 125, b"one word too many"),
    (["-n", "1", "pipe: cat"], b"", 125, b"no option '-n'"),
])
def test_talk_status(spile, words, given, status, stderr):
    done = spile("talk", *words, given=given)
    assert done.returncode == status, done.stderr
    assert stderr in done.stderr


PROMPTING = "pipe: sh -c 'printf \">\"; while read l; do echo $l; printf \">\"; done'"


def test_talk_with_a_prompt(build):
    """Each line is said when it is there, whatever bytes it has, and the end of the other side is seen while none is."""
    echo = ["pipe:", "--", "python3", "-uc",
            "import sys; print(end='>')\nfor l in iter(sys.stdin.readline, 'quit\\n'): print(ascii(l), end='\\n>')\nprint('bye')"]
    with subprocess.Popen([build / "cli" / "spile", "talk", "-p", ">", *echo], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          bufsize=0) as talk:
        for line, reply in ((b"one\n", b"'one\\n'\n"), (b"a\0b\n", b"'a\\x00b\\n'\n"), (b"\n", b"'\\n'\n"), (b"\0\n", b"'\\x00\\n'\n")):
            talk.stdin.write(line)
            assert talk.stdout.readline() == reply
        talk.stdin.write(b"half")
        talk.stdin.write(b" and half\nquit\n")
        assert talk.stdout.readline() == b"'half and half\\n'\n"
        assert talk.stdout.read() == b"bye\n"
        assert talk.wait(timeout=60) == 3
    with subprocess.Popen([build / "cli" / "spile", "talk", "-p", ">", "pipe: printf '>'"], stdin=subprocess.PIPE) as talk:
        assert talk.wait(timeout=60) == 3  # nothing more is given, and nothing waits for it


@pytest.mark.parametrize("words", [["talk", "pipe: cat"], ["talk", "--prompt", ">", PROMPTING], ["ask", "pipe: cat", "x"]])
def test_own_streams_that_fail(build, words):
    """What can't be read or printed is never taken for an end."""
    command = [build / "cli" / "spile", *words]
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(command, input=b"x\n", stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (ran.returncode, ran.stderr) == (125, b"spile: standard output can't be written: No space left on device\n")
    if words[0] == "talk":
        directory = os.open("/", os.O_RDONLY)
        ran = subprocess.run(command, stdin=directory, capture_output=True, timeout=60)
        os.close(directory)
        assert (ran.returncode, ran.stderr) == (125, b"spile: standard input can't be read: Is a directory\n")


def test_fifo_pair(spile, tmp_path):
    os.mkfifo(tmp_path / "in")
    os.mkfifo(tmp_path / "out")
    service = subprocess.Popen(["sh", "-c", "while read x; do echo \"re $x\"; done <out >in"], cwd=tmp_path)
    check(spile("ask", f"fifo:{tmp_path}/in,{tmp_path}/out", "one", "two"), b"re one\nre two\n")
    assert service.wait(timeout=60) == 0
    check(spile("ask", str(tmp_path / "in"), "x"), b"", 125, b"fifo:IN,OUT")


def test_socket(spile, tmp_path):
    if not shutil.which("socat"):
        pytest.skip("not installed: socat")
    service = subprocess.Popen(["socat", f"UNIX-LISTEN:{tmp_path}/socket", "EXEC:cat"])
    check(spile("ask", "--wait=30s", f"{tmp_path}/socket", "hello"), b"hello\n")
    assert service.wait(timeout=60) == 0


@pytest.mark.parametrize("name", ["talk", "ask"])
def test_help(spile, name):
    done = spile(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith(b"usage: spile " + name.encode())
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert len(done.stdout.splitlines()) <= 24


def test_nothing_is_left(spile, tmp_path):
    done = spile("talk", "-t", "200ms", f"pipe: sh -c 'setsid sleep 1000 & echo $! >{tmp_path}/pid; wait'")
    assert done.returncode == 124
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_transcript(spile, tmp_path):
    """Both ways, as text and as JSON, by both commands; a secret is not in it; a full disk is told and costs nothing else."""
    log = tmp_path / "log"
    check(spile("ask", "--transcript", log, "pipe: cat", "one", "two"), b"one\ntwo\n")
    check(spile("talk", "--transcript", log, "pipe: cat", given=b"three\n"), b"three\n")
    check(spile("ask", "--secret", "--transcript", log, "pipe: cat", "hush"), b"hush\n")
    times, entries = zip(*(line.split(" ", 1) for line in log.read_text().splitlines()))
    assert list(times) == sorted(times) and all(time.endswith("Z") for time in times)
    said = [entry for entry in entries if entry[0] in "<>"]
    assert said == [r"> one\n", r"< one\n", r"> two\n", r"< two\n", r"> three\n", r"< three\n", r"> ***\n", r"< ***\n"]
    assert entries[0] == "- opened: pipe: cat" and entries[-1] == "- closed"
    json_log = tmp_path / "json"
    check(spile("ask", "--transcript-json", json_log, "pipe: cat", "ä\"\\"), "ä\"\\\n".encode())
    objects = [json.loads(line) for line in json_log.read_text().splitlines()]
    assert [(o.get("way"), o.get("text"), o.get("event")) for o in objects][:3] == [
        (None, None, "opened"), ("out", "ä\"\\\n", None), ("in", "ä\"\\\n", None)]
    check(spile("ask", "--transcript=/dev/full", "pipe: cat", "x"), b"x\n", 0, b"lacks 6 entries: No space left on device")
    check(spile("ask", "--transcript=/no/dir/x", "pipe: cat", "x"), b"", 125, b"'/no/dir/x' can't be written: No such file")


def test_devices_without_poll(spile):
    done = spile("ask", "/dev/full", "x")
    assert done.returncode == 125 and b"No space left on device" in done.stderr
    check(spile("ask", "-n", "0", "/dev/null", "x"), b"")
    done = spile("ask", "-t", "100ms", "--line-limit", "1k", "/dev/zero", "x")
    assert done.returncode in (124, 125) and len(done.stderr) < 1000


@pytest.fixture
def instrument(tmp_path):
    """Takes messages of one command each, and answers questions."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "instrument"))
    listener.listen()
    heard = []

    def serve():
        with listener.accept()[0] as peer:
            while message := peer.recv(1000):
                heard.append(message)
                if message.count(b"\n") == 1 and message.endswith(b"?\n"):
                    peer.send(b"+1.5")

    thread = threading.Thread(target=serve)
    thread.start()
    yield str(tmp_path / "instrument"), heard
    thread.join()
    listener.close()


@pytest.mark.parametrize("words, given", [(["ask", "-n", "1", "*IDN?", "MEAS?"], b""), (["talk"], b"*RST\n*IDN?\nINIT\nMEAS?\n")])
def test_messages(spile, instrument, words, given):
    path, heard = instrument
    check(spile(words[0], "--message", path, *words[1:], given=given), b"+1.5\n+1.5\n")
    assert b"".join(heard) == (given or b"*IDN?\nMEAS?\n")
    assert all(message.count(b"\n") == 1 for message in heard)


def test_reconnect(build, tmp_path):
    """A service that goes and comes back: what it says before and after is printed, and both are told."""
    path = tmp_path / "socket"

    def listen():
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        return listener

    listener = listen()
    command = [build / "cli" / "spile", "talk", "--reconnect", path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as talk:
        with listener, listener.accept()[0] as peer:
            peer.sendall(b"one\nha")
            assert talk.stdout.read(6) == b"one\nha"
            listener.close()  # before the talk knows: it would be connected to nobody for a moment
        assert b"is gone" in talk.stderr.readline()
        with listen() as listener, listener.accept()[0] as peer:
            assert b"is there again" in talk.stderr.readline()
            peer.sendall(b"two\n")
            assert talk.stdout.read(4) == b"two\n"
            talk.stdin.write(b"bye\n")
            talk.stdin.close()
            assert peer.recv(100) == b"bye\n"
        assert talk.wait(timeout=60) == 0
    assert spile_fails(build, "talk", "--reconnect", "fd:0")


def spile_fails(build, *words):
    ran = subprocess.run([build / "cli" / "spile", *words], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    return ran.returncode == 125 and b"can't be opened again" in ran.stderr

"""Pipes for processes that Python starts itself."""
import asyncio
import contextlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest

spile = pytest.importorskip("spile")

DATA = bytes(range(256)) * 5000


def written_by_thread():
    reader, writer = os.pipe()
    threading.Thread(target=lambda: [os.write(writer, DATA), os.close(writer)]).start()
    return reader


SOURCES = {
    "bytes": lambda _: DATA,
    "bytearray": lambda _: bytearray(DATA),
    "memoryview": lambda _: memoryview(DATA),
    "str": lambda _: DATA.decode("latin-1"),
    "path": lambda path: path,
    "file": lambda path: open(path, "rb"),
    "raw": lambda path: open(path, "rb", 0),
    "memory file": lambda _: io.BytesIO(DATA),
    "descriptor": lambda _: written_by_thread(),
    "chunks": lambda _: (DATA[i : i + 999] for i in range(0, len(DATA), 999)),
    "list": lambda _: [DATA[:10], DATA[10:20].decode("latin-1"), DATA[20:]],
}


@pytest.mark.parametrize("kind", SOURCES)
def test_sources(kind, tmp_path):
    (tmp_path / "source").write_bytes(DATA)
    source = SOURCES[kind](tmp_path / "source")
    with spile.Pipe.input(source, name="x.bin", encoding="latin-1") as pipe:
        assert pipe.path.endswith("/x.bin") and os.fspath(pipe) == str(pipe) == pipe.path
        done = subprocess.run(["cat", pipe], stdout=subprocess.PIPE, check=True)
    assert done.stdout == DATA


def test_targets(tmp_path):
    write = ["sh", "-c", 'cat "$1" >"$2"', "sh"]
    memory, chunks = io.BytesIO(), []
    reader, writer = os.pipe()
    with open(tmp_path / "file", "wb") as file:
        for target in (memory, file, chunks.append, tmp_path / "path", str(tmp_path / "text"), writer):
            with spile.Pipe.input(DATA[:60000]) as source, spile.Pipe.output(target) as result:
                subprocess.run([*write, source, result], check=True)
    assert memory.getvalue() == b"".join(chunks) == os.read(reader, 65536) == DATA[:60000]
    for name in ("file", "path", "text"):
        assert (tmp_path / name).read_bytes() == DATA[:60000]
    os.close(reader)
    os.close(writer)
    with spile.Pipe.output() as result:
        subprocess.run(["cp", "/bin/true", result], check=True)
        with open("/bin/true", "rb") as file:
            assert result.read() == result.read() == file.read()
        assert result.transferred == os.path.getsize("/bin/true") and result.opens == 1 and result.ended


@pytest.mark.parametrize("script", [
    'exec 3<"$1" 4<"$2" 5>"$3" 6>"$4"; cat <&4 >&5; cat <&3 >&6',
    'exec 6>"$4" 5>"$3" 4<"$2" 3<"$1"; cat <&3 >&6; cat <&4 >&5',
    '(cat <"$2" >"$3") & cat <"$1" >"$4"; wait',
])
def test_orders(script):
    """With os.mkfifo and open each of them hangs."""
    with spile.Pipe.input(DATA) as a, spile.Pipe.input(DATA) as b, spile.Pipe.output() as c, spile.Pipe.output() as d:
        process = subprocess.Popen(["sh", "-c", script, "sh", a, b, c, d])
        for pipe in (a, b, c, d):
            pipe.watch(process)
        assert c.read() == d.read() == DATA
        assert process.wait() == 0


def test_reading_while_the_process_runs():
    with spile.Pipe.output() as result:
        with subprocess.Popen(["sh", "-c", 'echo 1 >"$1"; echo 2 >"$1"', "sh", result]) as process:
            assert result.watch(process).read(60) == b"1\n2\n"
        assert result.watch(process).read() == b"1\n2\n"  # one that was waited for, too
    with spile.Pipe.output() as result:
        process = subprocess.Popen(["sh", "-c", 'read x; echo "$x" >"$1"', "sh", result], stdin=subprocess.PIPE)
        result.watch(process.pid)
        with pytest.raises(TimeoutError, match="'pipe' has not ended in time: no process has opened it"):
            result.wait(0.01)
        process.communicate(b"late\n")
        assert result.read(60) == b"late\n"



def test_other_ways_to_start_processes():
    with spile.Pipe.input(DATA) as source:
        process = multiprocessing.get_context("spawn").Process(target=os.stat, args=(source.path,))
        with pytest.raises(ValueError, match="was not started yet"):
            source.watch(process)
        process.start()
        source.watch(process).wait(60)
        process.join()
        assert process.exitcode == 0

    async def main():
        with spile.Pipe.output() as result:
            process = await asyncio.create_subprocess_exec("cp", "/bin/true", result.path)
            await process.wait()
            return result.watch(process).read()

    assert len(asyncio.run(main())) == os.path.getsize("/bin/true")


def test_an_input_is_read_again_from_its_start():
    with spile.Pipe.input(b"text") as pipe:
        assert subprocess.check_output(["cat", pipe, pipe]) == b"texttext"
    with pytest.raises(spile.StreamError, match="opened again"):
        with spile.Pipe.input([b"text"]) as pipe:
            subprocess.run(["cat", pipe, pipe], stderr=subprocess.DEVNULL)


def test_never_opened(tmp_path):
    with spile.Pipe.input(b"text") as pipe:
        subprocess.run(["true"])
    assert not os.path.exists(pipe.path)
    with pytest.raises(spile.OutputMissingError, match=r"'o.txt'.*pipe.watch\(process\)"):
        with spile.Pipe.output(name="o.txt"):
            subprocess.run(["true"])
    with pytest.raises(spile.OutputMissingError) as raised:
        with spile.Pipe.output() as pipe, subprocess.Popen(["true"]) as process:
            pipe.watch(process).wait()
    assert "watch" not in str(raised.value)
    (tmp_path / "kept").write_bytes(b"old")
    with spile.Pipe.output(tmp_path / "kept", optional=True):
        pass
    assert (tmp_path / "kept").read_bytes() == b"old"


def test_a_failure_leaves_the_file(tmp_path):
    (tmp_path / "kept").write_bytes(b"old")
    with pytest.raises(spile.LimitError, match="limit of 3 bytes"):
        with spile.Pipe.output(tmp_path / "kept", limit=3) as pipe:
            subprocess.run(["sh", "-c", 'echo text >"$1"', "sh", pipe])
    with pytest.raises(ZeroDivisionError):
        with spile.Pipe.output(tmp_path / "kept") as pipe:
            subprocess.run(["sh", "-c", 'echo text >"$1"; echo more >"$1"', "sh", pipe], check=True)
            1 / 0
    assert (tmp_path / "kept").read_bytes() == b"old" and os.listdir(tmp_path) == ["kept"]


def test_what_callbacks_raise_is_raised():
    def chunks():
        yield b"text"
        raise LookupError("source")

    def refuse(chunk):
        raise LookupError("target")

    with pytest.raises(LookupError, match="source"):
        with spile.Pipe.input(chunks()) as pipe:
            subprocess.run(["cat", pipe], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.raises(LookupError, match="target"):
        with spile.Pipe.output(refuse) as pipe:
            subprocess.run(["sh", "-c", 'echo text >"$1"', "sh", pipe])


def test_closing_from_a_callback_and_while_another_waits():
    pipes = []
    for end in (spile.Pipe.cancel, spile.Pipe.close):
        # Whether the block already waits when it is closed is open.
        with (pytest.raises if end is spile.Pipe.cancel else contextlib.suppress)(spile.CallCancelledError):
            with spile.Pipe.output(lambda chunk: end(pipes[-1])) as pipe:
                pipes.append(pipe)
                subprocess.run(["sh", "-c", 'echo text >"$1"', "sh", pipe])
    pipe = spile.Pipe.output().watch(os.getpid())
    raised = []
    started = threading.Event()

    def wait():
        started.set()
        try:
            pipe.wait()
        except (spile.CallCancelledError, ValueError) as error:
            raised.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    started.wait()
    pipe.close()
    waiter.join(60)
    assert len(raised) == 1
    for use in (pipe.finish, pipe.wait, pipe.read, lambda: pipe.opens):
        with pytest.raises(ValueError, match="closed"):
            use()
    pipe.close()
    pipe.cancel()


def test_misuse(tmp_path):
    for name in ("", "a/b", ".."):
        with pytest.raises(spile.UsageError, match="no name for a pipe"):
            spile.Pipe.input(b"", name=name)
    with pytest.raises(FileNotFoundError, match="none"):
        spile.Pipe.input(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="none"):
        spile.Pipe.output(tmp_path / "none" / "x")
    for source in (5.5, None, {}, io.StringIO()):
        with pytest.raises(TypeError):
            spile.Pipe.input(source)
    with pytest.raises(TypeError, match="callable"):
        spile.Pipe.output(spile.CHUNKS)
    with pytest.raises(TypeError, match="Pipe.input"):
        spile.Pipe()


def test_nothing_grows(python):
    python("""
import gc, os, spile, threading

def both():
    with spile.Pipe.input([b"text"]) as source, spile.Pipe.output() as result:
        with open(source, "rb") as file, open(result, "wb") as to:
            to.write(file.read())
        assert result.read() == b"text"

def state():
    gc.collect()
    for thread in threading.enumerate()[1:]:
        thread.join(60)  # of the sources: they end with their pipes
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

both()
before = state()
for _ in range(50):
    both()
spile.Pipe.input(b"forgotten")
assert state() == before, (state(), before)
""")


def test_a_source_that_waits_does_not_keep_the_pipe():
    release = threading.Event()

    def chunks():
        yield b"text"
        release.wait()

    with pytest.raises(KeyError):
        with spile.Pipe.input(chunks()) as pipe:
            with open(pipe, "rb") as file:
                assert file.read(4) == b"text"
            raise KeyError
    release.set()


def test_ctrl_c(python, ready):
    script = f"""
import os, signal, spile, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with spile.Pipe.output() as pipe:
        process = subprocess.Popen(["sh", "-c", 'exec 3>"$1"; echo; exec sleep 1000', "sh", pipe], stdout=subprocess.PIPE)
        process.stdout.readline()
        open({str(ready.path)!r}, "w").close()  # not before there is a process to kill
        pipe.watch(process).wait()
except KeyboardInterrupt:
    process.kill()
    print("interrupted", os.path.exists(pipe.path))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ready.wait()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("interrupted False\n", "")


def test_an_interpreter_that_ends_and_a_fork(python):
    shown = python("""
import os, spile
kept = spile.Pipe.input(b"text"), spile.Pipe.output(print)
pid = os.fork()
if pid == 0:
    try:
        kept[0].wait()
    except OSError:
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), open(kept[0]).read(), kept[0].path)
""").stdout.split()
    assert shown[:2] == ["7", "text"]
    assert not os.path.exists(os.path.dirname(os.path.dirname(shown[2])))

"""What goes wrong around a call: Ctrl-C, fork, threads, subinterpreters; and that nothing grows."""
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from conftest import PACKAGE
from python_support import WAITING, not_sanitized, open_descriptors

spile = pytest.importorskip("spile")

COPY = "cat {<in} >{out}"


# Each waits for a program that waits; the handler of SIGINT is Python's own.
INTERRUPTED = {
    "run": "spile.run(WAITING, values=values)",
    "start": "with spile.start(WAITING, values=values) as call: call.wait()",
    "chunks": "with spile.start(WAITING + ' {+>x}', values=values, outputs={'x': spile.CHUNKS}) as call: list(call.output('x'))",
    "map": "list(spile.function(WAITING + ' {+<x}').map([b'', b''], jobs=1, **values))",
    "asyncio": "asyncio.run(spile.run_async(WAITING, values=values))",
    "function": "spile.function(WAITING)(**values)",
}


@pytest.mark.parametrize("way", INTERRUPTED)
def test_ctrl_c_ends_the_call_at_once(way, ready):
    script = f"""
import asyncio, os, signal, spile, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
WAITING, values = {WAITING!r}, {{"ready": {str(ready.path)!r}}}
try:
    {INTERRUPTED[way]}
except KeyboardInterrupt:
    print("interrupted", spile.run("echo 1").stdout)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ready.wait()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("interrupted b'1\\n'\n", "", 0)


def test_a_signal_handler_that_returns_lets_the_call_go_on(ready):
    script = f"""
import os, signal, spile
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
print(spile.run('''sh -c 'echo 1 >"$1"; read x <"$1"; echo "$x"' sh {{ready}}''', values={{"ready": {str(ready.path)!r}}}).stdout)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    ready.wait()
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == "handled\n"  # while the program still runs
    ready.path.write_bytes(b"go\n")
    assert process.stdout.read() == "b'go\\n'\n" and process.wait(60) == 0
    process.stdout.close()


def test_an_interrupt_inside_a_callback():
    def interrupted():
        yield b"1"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spile.run(COPY, files={"in": interrupted()})


def test_the_gil_is_free_meanwhile(ready):
    """The program ends only when another thread lets it: a call that held the GIL would never end."""
    def let_go():
        ready.wait()
        ready.path.write_bytes(b"go\n")

    thread = threading.Thread(target=let_go)
    thread.start()
    out = spile.run("""sh -c 'echo 1 >"$1"; read x <"$1"; echo "$x"' sh {ready}""", values={"ready": ready.path})
    thread.join()
    assert out.stdout == b"go\n"


def test_calls_inside_a_call():
    def chunks():
        yield spile.run("echo inner").stdout

    assert spile.run(COPY, files={"in": chunks()})["out"] == b"inner\n"


def test_fork_with_warm_pools():
    assert spile.run("echo 1").stdout == b"1\n"
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if spile.run("echo 2").stdout == b"2\n" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spile.run("echo 3").stdout == b"3\n"


@not_sanitized("a sanitizer's allocator is locked for good after a fork among threads")
def test_fork_while_threads_run_calls():
    stop = threading.Event()
    seen = []

    def work():
        while not stop.is_set():
            seen.append(spile.run("echo 1").stdout)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                try:
                    os._exit(0 if spile.run("echo 2").stdout == b"2\n" else 1)
                finally:
                    os._exit(2)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {b"1\n"}


def test_a_host_that_ignores_its_children(python):
    assert python("import signal, spile; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
                  "print(spile.run('echo 1').stdout)").stdout == "b'1\\n'\n"


def test_a_subinterpreter_is_refused(python):
    done = python("import _xxsubinterpreters as sub; sub.run_string(sub.create(), 'import spile')", check=False)
    assert "cannot be used in a subinterpreter" in done.stderr and done.returncode == 1
    assert python("import spile; import _xxsubinterpreters as sub\n"
                  "try: sub.run_string(sub.create(), 'import spile')\n"
                  "except sub.RunFailedError: print(spile.run('echo 1').stdout)").stdout == "b'1\\n'\n"


def test_a_loop_is_stepped_by_one_thread(ready):
    with spile.start(WAITING, values={"ready": ready.path}) as call:
        ready.wait()
        with pytest.raises(RuntimeError, match="stepped already"):
            call._driver.loop.step(0)
        with pytest.raises(RuntimeError, match="stepped"):
            call._prepared.call.finish()
        with pytest.raises(RuntimeError, match="only once"):
            call._prepared.call.attach(call._driver.loop, None)
        with pytest.raises(OSError):
            call._prepared.call.value("x", "y")
        call.cancel()


def test_an_unstarted_call_is_dropped():
    plan = spile.Plan(COPY)
    options = spile._call.Options().raw()
    raw = spile._spile.Call(plan._raw, None, options, None)
    raw.input_callback("in", lambda view, me=raw: None)  # a ring through the call itself
    raw.cancel()
    raw.finish()
    assert raw.result is None and not raw.ended
    del raw
    gc.collect()


# ------------------------------------------------------------------------------------------------------ leaks

EVERY_WAY = r'''
import asyncio, gc, io, os, pickle, sys, threading
import spile

COPY = spile.Plan("cat {<in} >{out}")
FAIL = spile.Plan("sh -c 'echo half >out; echo no >&2; exit 3' {+>out}")
UPPER = spile.function("tr {set} A-Z <{text} >{result}")

def boom(*_):
    raise ZeroDivisionError

def refused(exceptions, function, *args, **how):
    try:
        function(*args, **how)
    except exceptions:
        return
    raise AssertionError("not refused")

def small():
    assert spile.run(COPY, files={"in": b"x"})["out"] == b"x"

def every_way():
    out = spile.run(COPY, files={"in": (b"%d" % n for n in range(5))}, trace=lambda event: None)
    bytes(out.buffer("out")), repr(out), out.programs, out.info, pickle.loads(pickle.dumps(out))
    view = out.buffer("out")
    del out
    bytes(view)
    spile.run(COPY, files={"in": io.BytesIO(b"1")}, outputs={"out": io.BytesIO()})
    spile.run(COPY, files={"in": bytearray(b"1")}, outputs={"out": lambda chunk: None})
    spile.run("cat", stdin=b"1", env={"A": "1", "B": None}, cwd="/")
    refused(spile.ProgramError, spile.run, FAIL)
    repr(spile.run(FAIL, check=False).error)
    refused(spile.TemplateError, spile.run, "{")
    refused(spile.PlanError, spile.Plan, "cp {<a} {>b}", "cp {<c} {>b}")
    refused(spile.UsageError, spile.Plan, "cat {<a}", optional=["x"])
    refused(spile.UsageError, spile.run, COPY, files={"../in": b""})
    refused(spile.UsageError, spile.run, COPY, files={"in": b""}, values={"x": ""})
    refused(spile.MissingInputError, spile.run, COPY)
    refused(spile.ProgramNotFoundError, spile.run, "no-such-program")
    refused(TypeError, spile.run, COPY, files={"in": 3.5})
    refused(TypeError, spile._spile.Call, None, None, (), None)
    refused(TypeError, spile._spile.Call, COPY._raw, 5, (), None)
    refused(TypeError, spile._spile.Call, COPY._raw, None, (1,), None)
    refused(TypeError, spile._spile.Plan, [("vector", [b"a", 5], None, False)], ())
    refused(TypeError, spile._spile.Plan, [("parts", ([[(1, "a")]], [], [], [], False), None, False)], ())
    refused(TypeError, spile._spile.Plan, [("template", "a", (1,), False)], ())
    refused(ValueError, spile.run, "echo a\0b")
    refused(BufferError, spile.run, COPY, files={"in": memoryview(b"12345678")[::2]})
    refused(ZeroDivisionError, spile.run, COPY, files={"in": (boom() for _ in "x")})
    refused(ZeroDivisionError, spile.run, COPY, files={"in": b"1"}, outputs={"out": boom})
    refused(ZeroDivisionError, spile.run, COPY, files={"in": b"1"}, trace=boom)
    parts = spile.Program.from_parts("printf", "%s", ("a", spile.Value("v")), spile.Value("w", many=True),
                                     variables={"V": "1"}, stdout=spile.File("out", spile.Role.WRITE))
    spile.run(parts, values={"v": "1", "w": ["2", "3"]})
    plan = spile.Plan("as {<a.s} -o {>a.o} {flag}")
    plan.uses, plan.files, plan.programs, plan.values, repr(plan), pickle.loads(pickle.dumps(plan))
    spile.quote("a b")
    with spile.start(COPY, files={"in": b"1"}, outputs={"out": spile.CHUNKS}) as call:
        b"".join(call.output("out"))
    with spile.start("sleep 1000") as call:
        call.cancel()
    list(UPPER.map([b"1", b"2", b"3"], jobs=2, set="a-z"))
    UPPER.map([b"1", b"2", b"3"], set="a-z").close()
    pickle.loads(pickle.dumps(UPPER))(b"1", set="a-z")

async def asynchronous():
    async def chunks():
        yield b"1"
    await spile.run_async(COPY, files={"in": chunks()})
    async with spile.start_async(COPY, files={"in": b"1"}, outputs={"out": spile.CHUNKS}) as call:
        async for _ in call.output("out"):
            pass
    task = asyncio.create_task(spile.run_async("sleep 1000"))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
'''

TEN_THOUSAND = EVERY_WAY + r'''
CALLS, ROUNDS = 9000, 30
for _ in range(300): small()
for _ in range(5): every_way(); asyncio.run(asynchronous())
gc.collect()
before = descriptors(), memory(), threading.active_count()
for _ in range(CALLS): small()
for _ in range(ROUNDS): every_way(); asyncio.run(asynchronous())
gc.collect()
after = descriptors(), memory(), threading.active_count()
assert after[0] <= before[0] + 8, ("descriptors", before, after)  # idle cells come and go
assert after[1] <= before[1] + (2 << 20), ("memory", before, after)
assert after[2] == before[2] == 1, ("threads", before, after)
'''

# A debug build counts every reference. One round more or less of any call above shows; caches are filled beforehand.
COUNTED = EVERY_WAY + r'''
def grown(work, rounds):
    gc.collect()
    before = sys.gettotalrefcount()
    for _ in range(rounds): work()
    gc.collect()
    return (sys.gettotalrefcount() - before) / rounds

def asynchronously():
    asyncio.run(asynchronous())

for work in small, every_way, asynchronously:
    grown(work, 10)
    growth = min(grown(work, 10) for _ in range(3))
    assert growth < 1, (work.__name__, growth)
'''


@not_sanitized("a sanitizer keeps what was freed")
def test_ten_thousand_calls_leave_nothing(python):
    python(TEN_THOUSAND)


@pytest.fixture(scope="module")
def debug_package(tmp_path_factory):
    """The package with the extension built for the debug interpreter."""
    extension = PACKAGE / "_spile_debug.so"
    if not extension.exists():
        pytest.skip("no extension for the debug interpreter: python3-dbg was not there when this was built")
    folder = tmp_path_factory.mktemp("debug") / "spile"
    folder.mkdir()
    for source in (PACKAGE / "spile").glob("*.py"):
        (folder / source.name).write_bytes(source.read_bytes())
    (folder / "_spile.abi3.so").symlink_to(extension)
    return folder.parent


def test_references_are_counted(python, debug_package):
    environment = {**os.environ, "PYTHONPATH": str(debug_package), "SPILE_CELL": str(PACKAGE.parent / "src" / "spile-cell")}
    python(COUNTED, executable="/usr/bin/python3-dbg", env=environment)


def test_descriptors_of_a_failed_start_are_closed():
    spile.run("echo 1")
    before = len(open_descriptors())
    for _ in range(50):
        with pytest.raises(spile.MissingInputError):
            spile.run(COPY)
        with pytest.raises(spile.UsageError):
            spile.run(COPY, files={"/in": b""})
    gc.collect()
    assert len(open_descriptors()) <= before + 8


# The underscored names that the stable ABI promises; the last ones are what PY_SSIZE_T_CLEAN makes of public ones.
STABLE = {
    "_Py_Dealloc", "_Py_NoneStruct", "_Py_TrueStruct", "_Py_FalseStruct",
    "_PyArg_ParseTuple_SizeT", "_PyObject_CallFunction_SizeT", "_PyObject_CallMethod_SizeT", "_Py_BuildValue_SizeT",
}


def test_the_extension_needs_only_the_stable_abi():
    names = subprocess.run(["nm", "-D", "--undefined-only", PACKAGE / "spile" / "_spile.abi3.so"],
                           capture_output=True, text=True, check=True).stdout
    private = [line.split()[-1] for line in names.splitlines() if line.split()[-1].startswith("_Py")]
    assert set(private) <= STABLE, private
    exported = subprocess.run(["nm", "-D", "--defined-only", PACKAGE / "spile" / "_spile.abi3.so"],
                              capture_output=True, text=True, check=True).stdout
    assert [line.split()[-1] for line in exported.splitlines()] == ["PyInit__spile"]


def test_a_cell_is_used_again_as_it_is(tmp_path):
    """To mount, or to enter a namespace, for every small call would cost more than the call."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed (tools/setup test)")

    def renewals(calls):
        script = f"import spile\nfor _ in range({calls}): spile.run({COPY!r}, files={{'in': b'x'}}, context=context)"
        trace = tmp_path / "trace"
        ran = subprocess.run(["strace", "-f", "-qq", "-o", trace, "-e", "trace=mount,unshare,fsopen", sys.executable, "-c",
                              "import spile; context = spile.Context()\n" + script], capture_output=True, text=True, timeout=60)
        if "ptrace" in ran.stderr:
            pytest.skip(f"strace may not be used here: {ran.stderr.strip()}")
        assert (ran.returncode, ran.stderr) == (0, "")
        return sum(" resumed>" not in line for line in trace.read_text().splitlines())  # the second half of a call

    assert renewals(10) == renewals(30)


def test_a_killed_host_whose_child_holds_all_that_it_had():
    """One that was forked behind the library's back has the sockets still: the host's end is seen all the same."""
    script = """
import ctypes, os, spile
context = spile.Context(idle_cells=1)
spile.run("true", context=context)
child = ctypes.CDLL(None).syscall(57)  # fork, of x86-64: nobody is told
if child == 0:
    ctypes.CDLL(None).pause()
print(child, flush=True)
spile.run("sleep 1000", context=context)
"""
    if os.uname().machine != "x86_64" or spile.doctor().containment == "none":
        pytest.skip("another number, or no supervisor")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        end = time.monotonic() + 20
        while any(words.startswith(b"spile-cell") and words.endswith(b"\0%d\0" % process.pid) for words in command_lines()):
            assert time.monotonic() < end
            time.sleep(0.002)
    finally:
        os.kill(child, signal.SIGKILL)


def command_lines():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                yield file.read()
        except OSError:
            pass

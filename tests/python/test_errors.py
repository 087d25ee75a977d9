"""Each kind of failure: its class, what it carries, how it reads."""
import io
import os
import pickle
import signal
import traceback

import pytest

from python_support import WAITING

spile = pytest.importorskip("spile")

KINDS = {
    "usage": (spile.UsageError, ValueError),
    "template": (spile.TemplateError, ValueError),
    "plan": (spile.PlanError, ValueError),
    "missing": (spile.MissingInputError, LookupError),
    "not_found": (spile.ProgramNotFoundError, FileNotFoundError),
    "not_executable": (spile.NotExecutableError, PermissionError),
    "program": (spile.ProgramError, spile.CallError),
    "output_missing": (spile.OutputMissingError, spile.CallError),
    "input_changed": (spile.InputChangedError, spile.CallError),
    "input": (spile.InputError, OSError),
    "output": (spile.OutputError, OSError),
    "limit": (spile.LimitError, spile.CallError),
    "timeout": (spile.CallTimeoutError, TimeoutError),
}


def bad_file(tmp_path):
    path = tmp_path / "text"
    path.write_text("no program")
    path.chmod(0o644)
    return str(path)


CALLS = {
    "usage": lambda tmp: spile.run("cat {<a}", files={"../a": b""}),
    "template": lambda tmp: spile.run("cat {<ä} {<a"),
    "plan": lambda tmp: spile.run("cp {<a} {>b}", "cp {<c} {>b}"),
    "missing": lambda tmp: spile.run("cat {<a}"),
    "not_found": lambda tmp: spile.run("no-such-program"),
    "not_executable": lambda tmp: spile.run([bad_file(tmp)]),
    "program": lambda tmp: spile.run("sh -c 'echo half >out; echo what is wrong >&2; exit 3' {+>out} {+>other}"),
    "output_missing": lambda tmp: spile.run("sh -c 'echo half >out' {+>out} {+>other}"),
    "input_changed": lambda tmp: spile.run("sh -c 'chmod u+w a && echo b >>a' {+<a}", files={"a": b"a"}),
    "input": lambda tmp: spile.run("cat {<a}", files={"a": tmp / "absent"}),
    "output": lambda tmp: spile.run("cat {<a} >{b}", files={"a": b"x"}, outputs={"b": os.open("/dev/full", os.O_WRONLY)}),
    "limit": lambda tmp: spile.run("cat {<a} >{b}", files={"a": bytes(8 << 20)}, limits=spile.Limits(memory=4 << 20)),
    "timeout": lambda tmp: spile.run("sleep 1000", timeout=0.05),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(kind, tmp_path):
    with pytest.raises(spile.CallError) as caught:
        CALLS[kind](tmp_path)
    error = caught.value
    assert error.kind == kind, error
    assert type(error) is KINDS[kind][0] and isinstance(error, KINDS[kind])
    assert isinstance(error, (spile.Error, Exception)) and str(error) and not str(error).endswith("\n")
    assert (error.result is None) == (kind in ("usage", "template", "plan"))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and again.kind == kind and again.program == error.program
    if isinstance(error, OSError) and error.errno is not None:
        assert again.errno == error.errno
    if error.result is not None:
        assert dict(again.result) == dict(error.result) and again.result.error.kind == kind


def test_every_class_has_its_kind():
    found = {kind: cls for kind, (cls, _) in KINDS.items()}
    found |= {"cancelled": spile.CallCancelledError, "standstill": spile.StandstillError, "system": spile.CallSystemError,
              "stream": spile.StreamError, "promise": spile.PromiseError}
    assert set(found.values()) == set(spile.CallError.__subclasses__())


def test_a_failed_program_carries_all_there_is(tmp_path):
    with pytest.raises(spile.ProgramError) as caught:
        CALLS["program"](tmp_path)
    error = caught.value
    assert error.program == 0 and error.exit_status == 3 and error.signal is None and error.argv[0] == "sh"
    assert error.stderr == b"what is wrong\n" and error.stdout == b""
    assert dict(error.result) == {"out": b"half\n"} and error.result.info["out"].is_partial
    assert error.result.exit_status == 3 and error.result.programs[0].exit_status == 3


def test_the_end_of_a_traceback(tmp_path):
    with pytest.raises(spile.ProgramError) as caught:
        CALLS["program"](tmp_path)
    last = "".join(traceback.format_exception_only(caught.value)).splitlines()
    assert last[0].startswith("spile.ProgramError: 'sh'") and "3" in last[0] and "what is wrong" in last[1]


def test_an_unmarked_file_is_pointed_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.html").write_text("x")
    with pytest.raises(spile.ProgramError, match="'t.html' exists here but is not marked: write {<t.html}"):
        spile.run("cat t.html")


def test_a_signal():
    with pytest.raises(spile.ProgramError) as caught:
        spile.run("sh -c 'kill -9 $$'")
    assert caught.value.signal == signal.SIGKILL and caught.value.exit_status is None
    assert caught.value.result.exit_status == 128 + 9


def test_the_place_in_a_template_counts_characters():
    with pytest.raises(spile.TemplateError) as caught:
        CALLS["template"](None)
    assert "cat {<ä} {<a"[caught.value.offset :].startswith("{<a") and "^" in str(caught.value)


@pytest.mark.parametrize("files, says", [
    ({"../a": b""}, "climb"), ({"/a": b""}, "climb"), ({"b": b"", "a": b""}, "made by a program"), ({"t/": b"", "a": b""}, "tree"),
])
def test_misuse_says_what_to_do(files, says):
    with pytest.raises(spile.UsageError, match=says):
        spile.run("cp {<a} {>b}", files=files)


def test_errno(tmp_path):
    with pytest.raises(OSError) as caught:
        CALLS["output"](tmp_path)
    assert caught.value.errno == 28
    with pytest.raises(FileNotFoundError) as caught:
        CALLS["not_found"](tmp_path)
    assert caught.value.errno == 2
    with pytest.raises(TimeoutError):
        CALLS["timeout"](tmp_path)


def test_unchecked_calls_return_their_failure(tmp_path):
    out = spile.run("sh -c 'echo half >out; exit 3' {+>out}", check=False)
    assert not out.ok and isinstance(out.error, spile.ProgramError) and out.error.result is out and out["out"] == b"half\n"
    assert "program" in repr(out)
    assert isinstance(spile.run("sleep 1000", timeout=0.05, check=False).error, TimeoutError)
    for kind in ("template", "plan", "missing", "usage"):
        with pytest.raises(spile.CallError):
            spile.run(*{"template": ("{",), "plan": ("cp {<a} {>b}", "cp {<c} {>b}"), "missing": ("cat {<a}",),
                        "usage": ("cat {<a}",)}[kind], files={"../x": b""} if kind == "usage" else {}, check=False)


class Boom(Exception):
    pass


class Broken(io.RawIOBase):
    def readable(self):
        return True

    def readinto(self, view):
        raise Boom("reading")

    def write(self, data):
        raise Boom("writing")


def explode(*_):
    raise Boom("called")


@pytest.mark.parametrize("how", [
    {"files": {"in": Broken()}},
    {"files": {"in": (explode() for _ in "x")}},
    {"files": {"in": b"1"}, "outputs": {"out": Broken()}},
    {"files": {"in": b"1"}, "outputs": {"out": explode}},
    {"files": {"in": b"1"}, "trace": explode},
])
def test_what_a_callback_raises_is_raised(how):
    with pytest.raises(Boom) as caught:
        spile.run("cat {<in} >{out}", **how)
    where = traceback.extract_tb(caught.value.__traceback__)[-1].name
    assert where in ("explode", "readinto", "write")
    assert spile.run("echo 1").stdout == b"1\n"


def test_a_reader_that_lies():
    class Liar(io.RawIOBase):
        def readinto(self, view):
            return len(view) + 1

    with pytest.raises(ValueError, match="returned"):
        spile.run("cat {<in}", files={"in": Liar()})


def test_a_view_kept_from_a_callback_is_dead():
    kept = []

    class Keeper(io.RawIOBase):
        def readinto(self, view):
            kept.append(view)
            return 0

    spile.run("cat {<in}", files={"in": Keeper()})
    with pytest.raises(ValueError, match="released"):
        kept[0][0]


def test_a_text_file_is_refused_when_it_is_read():
    class Text:
        def read(self, size):
            return "text"

    with pytest.raises(TypeError, match="binary mode"):
        spile.run("cat {<in}", files={"in": Text()})


def test_a_nonblocking_file_object_without_data_is_an_error():
    ends = os.pipe2(os.O_NONBLOCK)
    with open(ends[0], "rb") as file, pytest.raises(BlockingIOError):
        spile.run("cat {<in}", files={"in": file})
    os.close(ends[1])


def test_nothing_is_delivered_by_a_failed_call(tmp_path):
    seen = []
    with pytest.raises(spile.ProgramError):
        spile.run("sh -c 'echo 1 >a; echo 2 >b; exit 1' {+>a} {+>b}", outputs={"a": seen.append, "b": tmp_path / "b"})
    assert seen == [] and not (tmp_path / "b").exists()


def test_a_cancelled_call(ready):
    with spile.start(WAITING, values={"ready": ready.path}) as call:
        ready.wait()
        call.cancel()
        with pytest.raises(spile.CallCancelledError) as caught:
            call.wait()
    assert caught.value.kind == "cancelled" and caught.value.result.programs[0].signal == signal.SIGTERM

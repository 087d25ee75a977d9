"""spile.run: what goes in, what comes out, what the result says."""
import array
import io
import mmap
import os
import pathlib
import pickle
import socket
import threading

import pytest

spile = pytest.importorskip("spile")

COPY = "cat {<in} >{out}"


def test_two_programs_and_their_result():
    out = spile.run("sort {<words} >{sorted}", "wc -l {<sorted} >{count}", files={"words": b"b\na\n"}, outputs=["sorted"])
    assert dict(out) == {"sorted": b"a\nb\n", "count": b"2 sorted\n"}
    assert out.ok and out.error is None and out.exit_status == 0 and len(out) == 2 and "nothing" not in out
    assert out["sorted"] is out["sorted"]
    with pytest.raises(KeyError, match="nothing"):
        out["nothing"]
    sort, count = out.programs
    assert sort.argv == ("sort", "words") and sort.accepted and sort.exit_status == 0 and sort.signal is None
    assert 0 < sort.start < sort.end <= count.start < count.end <= out.wall < 60
    assert sort.max_rss > 100_000 and sort.user + sort.system >= 0
    assert out.info["count"] == spile.OutputInfo(9, 1, False, out.info["count"].mode)
    assert out.containment in ("namespace", "reaper", "none")
    assert repr(out).startswith("<spile.Result {sorted: 4 bytes, count: 9 bytes}, 0.")


class OwnPath:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return self.path


def inputs(tmp_path):
    path = tmp_path / "host"
    path.write_bytes(b"hello")
    mapped = mmap.mmap(-1, 5)
    mapped.write(b"hello")
    ends = os.pipe()
    os.write(ends[1], b"hello")
    os.close(ends[1])
    ours, theirs = socket.socketpair()
    theirs.sendall(b"hello")
    theirs.close()
    half_read = open(path, "rb")
    return {
        "bytes": b"hello",
        "bytearray": bytearray(b"hello"),
        "memoryview": memoryview(b"xhellox")[1:-1],
        "array": array.array("B", b"hello"),
        "mmap": mapped,
        "str": "hello",
        "path": path,
        "own path": OwnPath(str(path)),
        "buffered file": half_read,
        "raw file": open(path, "rb", buffering=0),
        "BytesIO": io.BytesIO(b"hello"),
        "socket file": ours.makefile("rb"),
        "descriptor": ends[0],
        "list": [b"he", "ll", bytearray(b""), memoryview(b"o")],
        "generator": (bytes([char]) for char in b"hello"),
        "wide items": [array.array("H", b"hell"), b"o"],
    }


@pytest.mark.parametrize("kind", [
    "bytes", "bytearray", "memoryview", "array", "mmap", "str", "path", "own path", "buffered file", "raw file",
    "BytesIO", "socket file", "descriptor", "list", "generator", "wide items",
])
def test_every_kind_of_input(kind, tmp_path):
    assert spile.run(COPY, files={"in": inputs(tmp_path)[kind]})["out"] == b"hello"


def test_a_file_object_is_read_from_where_it_stands(tmp_path):
    (tmp_path / "host").write_bytes(b"header|hello")
    with open(tmp_path / "host", "rb") as file:
        assert file.read(7) == b"header|"
        assert spile.run(COPY, files={"in": file})["out"] == b"hello"
        assert file.tell() == 12


def test_large_inputs_of_each_way():
    data = os.urandom(3_000_001)
    assert spile.run(COPY, files={"in": data})["out"] == data
    assert spile.run(COPY, files={"in": io.BytesIO(data)})["out"] == data
    assert spile.run(COPY, files={"in": (data[i : i + 100_001] for i in range(0, len(data), 100_001))})["out"] == data


def test_str_is_encoded():
    assert spile.run(COPY, files={"in": "grün"})["out"] == "grün".encode()
    assert spile.run(COPY, files={"in": ["gr", "ün"]}, encoding="latin-1")["out"] == b"gr\xfcn"


@pytest.mark.parametrize("wrong", [3.5, None, {"a": b"b"}, io.StringIO("text"), [1, 2], True])
def test_no_input(wrong):
    with pytest.raises(TypeError, match="'in'"):
        spile.run(COPY, files={"in": wrong})


def test_a_strided_view_is_refused():
    with pytest.raises(BufferError):
        spile.run(COPY, files={"in": memoryview(b"hello")[::2]})


def test_every_kind_of_output(tmp_path):
    path, other = tmp_path / "path", str(tmp_path / "other")
    chunks, buffered, raw = [], io.BytesIO(), open(tmp_path / "raw", "wb", buffering=0)
    ends = os.pipe()
    names = ["memory", "path", "text", "file", "raw", "callable", "descriptor", "plain"]
    out = spile.run("tee " + " ".join(f"{{>{name}}}" for name in names), stdin=b"hello", stdout=spile.NULL, outputs={
        "memory": bytes, "path": path, "text": other, "file": buffered, "raw": raw, "callable": chunks.append,
        "descriptor": ends[1], "plain": None,
    })
    os.close(ends[1])
    raw.close()
    assert dict(out) == {"memory": b"hello", "plain": b"hello"}
    assert path.read_bytes() == pathlib.Path(other).read_bytes() == (tmp_path / "raw").read_bytes() == b"hello"
    assert b"".join(chunks) == buffered.getvalue() == os.read(ends[0], 10) == b"hello"
    assert all(type(chunk) is bytes for chunk in chunks)
    assert set(out.info) == set(names)
    os.close(ends[0])


def test_empty_outputs_are_in_the_mapping_only_where_they_came_to_memory():
    seen = []
    out = spile.run("touch {>a} {>b}", outputs={"b": seen.append})
    assert dict(out) == {"a": b""} and bytes(out.buffer("a")) == b"" and seen == []


def test_large_outputs_come_in_chunks():
    data = os.urandom(1_000_001)
    chunks, file = [], io.BytesIO()
    out = spile.run(COPY, "cat {<in} >{second}", files={"in": data}, outputs={"out": chunks.append, "second": file})
    assert b"".join(chunks) == data == file.getvalue() and len(chunks) > 1 and len(out) == 0


def test_patterns_and_trees():
    seen = {}
    out = spile.run("sh -c 'mkdir -p d/e; echo 1 >a.o; echo 2 >d/b.o; echo 3 >d/e/c' {+>*.o} {+>d/}")
    assert dict(out) == {"a.o": b"1\n", "d/b.o": b"2\n", "d/e/c": b"3\n"}
    spile.run("sh -c 'echo 1 >a.o; echo 2 >b.o' {+>*.o}", outputs={"*.o": lambda name, data: seen.setdefault(name, data)})
    assert seen == {"a.o": b"1\n", "b.o": b"2\n"}


def test_an_empty_match_sent_elsewhere_is_not_in_the_mapping():
    assert dict(spile.run("touch {>x} a.o", outputs={"*.o": lambda name, data: None})) == {"x": b""}


def test_a_tree_from_a_path(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"A")
    assert spile.run("cat {<tree/}/sub/a", files={"tree/": tmp_path}).stdout == b"A"


def test_asked_for_outputs():
    out = spile.run("sh -c 'echo 1 >kept; echo 2 >other'", outputs=["kept"])
    assert dict(out) == {"kept": b"1\n"}
    with pytest.raises(TypeError, match="list of names"):
        spile.run(COPY, files={"in": b""}, outputs="out")


@pytest.mark.parametrize("wrong", [3.5, io.StringIO(), True])
def test_no_output(wrong):
    with pytest.raises(TypeError, match="'out'"):
        spile.run(COPY, files={"in": b""}, outputs={"out": wrong})


def test_buffers_do_not_copy_and_outlive_the_result():
    data = os.urandom(2_000_000)
    view = spile.run(COPY, files={"in": data}).buffer("out")
    assert view.readonly and view.nbytes == len(data) and view == data
    with pytest.raises(TypeError):
        view[0] = 1
    with pytest.raises(KeyError):
        spile.run(COPY, files={"in": data}).buffer("in")


def test_values():
    out = spile.run("printf %s- {one} {many...} {+>x}", values={"one": 1.5, "many": ["a b", b"c", pathlib.Path("d"), 4]},
                    outputs={}, check=False)
    assert out.stdout == b"1.5-a b-c-d-4-"
    assert spile.run("printf %s {many...} end", values={"many": []}).stdout == b"end"


@pytest.mark.parametrize("values, kind, says", [
    ({"other": "x"}, spile.UsageError, "there are: 'one'"),
    ({"one": ["x"]}, TypeError, "{one...}"),
    ({"one": None}, TypeError, "NoneType"),
    ({"one": "a\0b"}, ValueError, "null"),
])
def test_wrong_values(values, kind, says):
    with pytest.raises(kind, match=says):
        spile.run("echo {one}", values=values)


def test_a_list_value_is_a_list():
    with pytest.raises(TypeError, match="give a list"):
        spile.run("echo {many...}", values={"many": "text"})


def test_standard_streams():
    out = spile.run("sh -c 'cat; echo err >&2'", "cat", stdin={0: b"one", 1: "two"})
    assert out.stdout == b"onetwo" and out.stderr == b"err\n"
    assert out.programs[0].stderr == b"err\n" and not out.programs[0].stderr_truncated
    assert spile.run("echo x", stdout=spile.NULL).stdout == b""
    assert spile.run(spile.Program("echo x", stdout=spile.NULL), "echo y").stdout == b"y\n"
    with pytest.raises(spile.UsageError, match="program 4"):
        spile.run("cat", stdin={4: b""})


def test_environment_and_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    show = "sh -c 'echo $KEPT $MORE; pwd'"
    out = spile.run(show, env={"MORE": "2"}, cwd=tmp_path)
    assert out.stdout.decode() == f"1 2\n{tmp_path}\n"
    assert spile.run(show, env={"KEPT": None}, cwd="/").stdout == b"\n/\n"
    assert spile.run(show, env={"PATH": "/usr/bin:/bin"}, inherit_env=False, cwd="/").stdout == b"\n/\n"
    program = spile.Program(show, env={"MORE": "3"}, cwd="/")
    assert spile.run(program, env={"MORE": "2"}, cwd=tmp_path).stdout == b"1 3\n/\n"
    with pytest.raises(ValueError, match="no name"):
        spile.run(show, env={"A=B": "1"})


def test_accepted_statuses():
    different = spile.Program("cmp -s {<a} {<b}", ok_status=(0, 1))
    assert spile.run(different, files={"a": b"1", "b": b"2"}).programs[0].exit_status == 1
    assert spile.run(spile.Program("sh -c 'exit 3'", ok_status=3)).ok


def test_vectors_and_quote():
    name = "it's {odd} $name"
    assert spile.run(["printf", "%s", "{{literal}}", name.replace("{", "{{").replace("}", "}}")]).stdout == (
        b"{literal}" + name.encode())
    assert spile.run("printf %s " + spile.quote(name)).stdout == name.encode()
    assert spile.run([pathlib.Path("cat"), "{<in}"], files={"in": b"1"}).stdout == b"1"
    for wrong in (b"cat", 5, [b"cat"]):
        with pytest.raises(TypeError):
            spile.run(wrong)


def test_programs_made_without_text():
    odd = spile.File("o {d} d.txt")
    program = spile.Program.from_parts(
        "sh", "-c", 'cat "$1" side; echo "$2 $#"; echo $V', "x", odd, ("--v=", spile.Value("v")), spile.Value("w", many=True),
        side=[spile.File("side")], variables={"V": ("v:", odd)}, stdout=spile.File("out", spile.Role.WRITE))
    out = spile.run(program, files={"o {d} d.txt": b"1\n", "side": b"2\n"}, values={"v": "a", "w": ["b", "c"]})
    assert out["out"] == b"1\n2\n--v=a 4\nv:o {d} d.txt\n"
    both = spile.Program.from_parts("sh", "-c", "echo out; echo err >&2", merge_stderr=True, piped=True)
    upper = spile.Program.from_parts("tr", "a-z", "A-Z")
    assert spile.run(both, upper).stdout == b"OUT\nERR\n"
    assert pickle.loads(pickle.dumps(program)) == program and hash(program) == hash(pickle.loads(pickle.dumps(program)))
    with pytest.raises(ValueError, match="two ways"):
        spile.Program.from_parts("x", spile.File("a"), spile.File("a", spile.Role.WRITE))
    with pytest.raises(TypeError, match="part of a word"):
        spile.Program.from_parts("x", 5)


def test_a_program_shows_and_compares():
    program = spile.Program(["a", "b"], env={"A": "1", "B": None}, cwd="/", ok_status=[0, 1], stderr=spile.NULL)
    assert program.env == {"A": "1", "B": None} and program != spile.Program(["a", "b"])
    assert pickle.loads(pickle.dumps(program)) == program
    assert repr(spile.Program("a {<b}", ok_status=2)) == "spile.Program('a {<b}', ok_status=(2,))"


def test_a_plan_is_checked_seen_and_kept():
    plan = spile.Plan("as {<a.s} -o {>a.o} {flag}", "ld {<a.o} -o {>prog} --x", optional=["prog"])
    assert plan.inputs == ("a.s",) and plan.outputs == ("prog",)
    assert [(file.name, file.flow.name, file.is_optional) for file in plan.files] == [
        ("a.s", "INPUT", False), ("a.o", "INTERMEDIATE", False), ("prog", "OUTPUT", True)]
    assert plan.values == (spile.ValueInfo("flag", False),)
    assert plan.programs[1].name == "ld" and plan.programs[1].plain_words == ("-o", "--x")
    assert [(use.program, use.role.name, use.producer) for use in plan.uses] == [
        (0, "READ", None), (0, "WRITE", None), (1, "READ", 0), (1, "WRITE", None)]
    again = pickle.loads(pickle.dumps(plan))
    assert again.files == plan.files and repr(again) == repr(plan)
    with pytest.raises(spile.UsageError, match="'other'"):
        spile.Plan("cat {<a}", optional=["other"])
    with pytest.raises(TypeError, match="stands alone"):
        spile.run(plan, "cat")


def test_a_plan_is_run_by_many_threads():
    plan = spile.Plan(COPY)
    results = {}

    def work(number):
        for turn in range(20):
            data = b"%d %d" % (number, turn)
            results[number, turn] = spile.run(plan, files={"in": data})["out"] == data

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160 and all(results.values())


def test_events():
    events = []
    spile.run(COPY, files={"in": b"123"}, trace=events.append)
    kinds = [event.kind for event in events if event.kind != "notice"]
    assert kinds == ["input_ready", "started", "exited", "output_ready", "ended"] or set(kinds) >= {"started", "ended"}
    assert all(isinstance(event, spile.Event) for event in events)
    assert events[0].time <= events[-1].time and [e.bytes for e in events if e.kind == "input_ready"] == [3]


def test_contexts():
    with spile.Context("none", idle_cells=1) as context:
        assert spile.run(COPY, files={"in": b"1"}, context=context).containment == "none"
    with pytest.raises(ValueError, match="closed"):
        spile.run(COPY, files={"in": b"1"}, context=context)
    with pytest.raises(ValueError, match="namespace"):
        spile.Context("best")
    with spile.Context("namespace", cell_path="/nonexistent/spile-cell") as context, pytest.raises(OSError) as caught:
        spile.run(COPY, files={"in": b"1"}, context=context)
    assert isinstance(caught.value, spile.CallSystemError)
    context = spile.Context()
    context.prepare(2)
    assert spile.run(COPY, files={"in": b"1"}, context=context)["out"] == b"1"
    context.close()
    context.close()


def test_results_are_pickled_whole():
    out = spile.run("sh -c 'cat {<in} >{>out}; echo 1; echo 2 >&2'".replace("{<in}", "in").replace("{>out}", "out")
                    + " {+<in} {+>out}", files={"in": b"data"})
    again = pickle.loads(pickle.dumps(out))
    assert dict(again) == dict(out) == {"out": b"data"} and again.programs == out.programs and again.info == out.info
    assert again.stdout == b"1\n" and again.stderr == b"2\n" and again.wall == out.wall and again.ok
    assert bytes(again.buffer("out")) == b"data"


def test_wrong_arguments():
    with pytest.raises(ValueError, match="timeout"):
        spile.run(COPY, files={"in": b""}, timeout=-1)
    with pytest.raises(TypeError):
        spile.run(COPY, files={"in": b""}, jobs="many")
    with pytest.raises(TypeError, match="spile.start"):
        spile.run(COPY, files={"in": b""}, outputs={"out": spile.CHUNKS})

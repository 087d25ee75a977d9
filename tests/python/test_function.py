"""spile.function: signature, arguments, map, pickling."""
import concurrent.futures
import inspect
import multiprocessing
import os
import pickle
import signal
import threading

import pytest

spile = pytest.importorskip("spile")

UPPER = spile.function("tr a-z A-Z <{text} >{result}", name="upper")
SPLIT = spile.function("sh -c 'head -c 1 in.txt >first.txt; tail -c +2 in.txt >2.rest' {+<in.txt} {+>first.txt} {+>2.rest}")


def test_inputs_in_order_and_values_by_keyword():
    paste = spile.function("paste -d {mark} {<b} {<a} >{out}")
    assert paste.inputs == ("b", "a") and paste.outputs == ("out",)
    assert paste(b"1\n", b"2\n", mark="-") == b"1-2\n"
    assert str(inspect.signature(paste)) == "(b, a, /, *, mark) -> bytes"
    assert repr(paste) == "<spile.function (b, a, mark=) -> out: paste -d {mark} {<b} {<a} >{out}>"
    assert "paste" in paste.__doc__ and "b, a" in paste.__doc__ and paste.__name__ == "paste"


def test_several_outputs_are_a_named_tuple():
    out = SPLIT(b"hello")
    assert out == (b"h", b"ello") and out.first_txt == b"h" and out.n2_rest == b"ello"
    assert type(SPLIT(b"x")) is type(out)
    assert pickle.loads(pickle.dumps(out)) == out and type(pickle.loads(pickle.dumps(out))) is type(out)
    assert spile.function("touch {>a-b} {>a_b} {>class}")()._fields == ("a_b", "a_b_2", "class_")


def test_other_shapes_of_outputs():
    assert spile.function("wc -c <{text}")(b"12") == b"2\n"
    objects = spile.function("sh -c 'echo 1 >a.o; echo 2 >b.o' {+>*.o} {+>x}", outputs=["*.o"])
    with pytest.raises(spile.OutputMissingError):
        objects()
    objects = spile.function("sh -c 'echo 1 >a.o; echo 2 >b.o; echo x >x' {+>*.o} {+>x}", outputs=["*.o"])
    assert objects() == {"a.o": b"1\n", "b.o": b"2\n"} and inspect.signature(objects).return_annotation is dict
    maybe = spile.function(spile.Plan("true {+>x}", optional=["x"]))
    assert maybe() is None
    asked = spile.function("cp {<a} {>b}", "cp {<b} {>c}", outputs=["c", "b"])
    assert asked(b"1") == (b"1", b"1")


def test_an_input_that_need_not_be_given():
    append = spile.function("echo line >>{log}")
    assert append() == b"line\n" and append(b"first\n") == b"first\nline\n" and append(None) == b"line\n"
    assert str(inspect.signature(append)) == "(log=None, /) -> bytes"


@pytest.mark.parametrize("call, says", [
    (lambda f: f(), "misses input 'a'"),
    (lambda f: f(b"", b"", m="1"), "takes 1 inputs"),
    (lambda f: f(b""), "misses the value 'm'"),
    (lambda f: f(b"", m="1", n="2"), "no value 'n'; it has: m"),
    (lambda f: f.map(m="1"), "an iterable for each input"),
])
def test_a_call_that_does_not_fit_is_a_type_error(call, says):
    with pytest.raises(TypeError, match=says):
        call(spile.function("grep {m} {<a}"))


def test_options():
    slow = spile.function("sleep {seconds}", timeout=0.05)
    with pytest.raises(TimeoutError):
        slow(seconds=1000)
    assert slow.with_options(timeout=None)(seconds=0) == b""
    with pytest.raises(TypeError, match="'speed'"):
        spile.function("true", speed=1)
    with pytest.raises(TypeError, match="list of names"):
        spile.function("true", outputs="x")
    with pytest.raises(spile.TemplateError):
        spile.function("{")


def test_results_and_started_calls():
    assert UPPER.run(b"a")["result"] == b"A"
    with UPPER.start(b"a") as call:
        assert call.wait()["result"] == b"A"


def test_it_is_pickled():
    again = pickle.loads(pickle.dumps(UPPER))
    assert again(b"a") == b"A" and repr(again) == repr(UPPER) and again.__name__ == "upper"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_pools_carry_it(method):
    UPPER(b"warm")  # the parent's pool of cells and loops is not the child's
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        assert list(pool.map(UPPER, [b"a", b"b", b"c"])) == [b"A", b"B", b"C"]
        assert pool.submit(SPLIT, b"xyz").result().first_txt == b"x"
        with pytest.raises(spile.ProgramError) as caught:
            pool.submit(spile.function("sh -c 'echo no >&2; exit 4'")).result()
    assert caught.value.exit_status == 4 and caught.value.stderr == b"no\n"


def test_thread_pools_carry_it():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(UPPER, [b"a%d" % n for n in range(50)])) == [b"A%d" % n for n in range(50)]


def test_map_in_order():
    seen = []
    items = [b"a%d" % n for n in range(40)]
    before = threading.active_count()
    results = UPPER.map(items, jobs=4, progress=lambda done, total: seen.append((done, total)))
    assert next(results) == b"A0" and threading.active_count() == before
    assert list(results) == [b"A%d" % n for n in range(1, 40)] and seen == [(n, 40) for n in range(1, 41)]


def test_map_as_completed(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    wait = spile.function("""sh -c 'if [ "$(cat "$1")" = slow ]; then cat "$2"; fi' sh {<text} {gate}""")
    results = wait.map([b"slow", b"fast", b"fast"], jobs=2, ordered=False, gate=gate)
    assert sorted(next(results)[0] for _ in range(2)) == [1, 2]  # those that don't wait for the gate come first
    gate.write_bytes(b"open")
    assert list(results) == [(0, b"open")]


def test_map_reads_only_as_far_as_needed():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield b"x"

    results = UPPER.map(items(), jobs=2, progress=lambda done, total: taken.append(total))
    assert next(results) == b"X" and len([n for n in taken if n is not None]) <= 6 and None in taken
    results.close()


def test_map_takes_an_iterable_for_each_input():
    join = spile.function("cat {<a} {<b}")
    assert list(join.map([b"1", b"2"], iter([b"a", b"b", b"c"]))) == [b"1a", b"2b"]


def test_map_and_failures():
    check = spile.function("grep -q yes {<text}")
    results = check.map([b"yes", b"no", b"yes"], jobs=3)
    assert next(results) == b""
    with pytest.raises(spile.ProgramError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)

    def broken():
        yield b"yes"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(check.map(broken(), jobs=2))
    with pytest.raises(TypeError):
        list(check.map([3.5]))
    with pytest.raises(ValueError, match="jobs"):
        check.map([b""], jobs=0)


def test_closing_a_map_ends_its_calls(ready):
    # The quick one ends when the slow one says that it runs.
    both = spile.function("""sh -c 'if [ -s text ]; then echo 1 >"$1"; exec sleep 1000; else read x <"$1"; fi' sh {ready} {+<text}""")
    results = both.map([b"slow", b""], jobs=2, ordered=False, ready=ready.path)
    assert next(results) == (1, b"")
    running = list(inspect.getgeneratorlocals(results)["self"].running.values())
    results.close()
    assert [prepared.call.result.programs()[0][5] for prepared in running] == [signal.SIGTERM]

"""Limits, promises and the doctor through the package."""
import pickle

import pytest

spile = pytest.importorskip("spile")

PROMISES = ["contained", "private", "files", "program_memory", "processes", "no_swap", "standstill", "private_path"]


def test_doctor():
    found = spile.doctor()
    assert list(found.promises) == PROMISES
    assert found.containment in ("namespace", "reaper", "none") and "kernel" in found.machine
    for name, finding in (found.promises | found.machine).items():
        assert finding.name == name and finding.text and isinstance(finding.holds, bool)
    with spile.Context("none") as context:
        plain = spile.doctor(context)
        assert plain.containment == "none" and not plain.promises["contained"].holds and plain.promises["contained"].cure
    with pytest.raises(ValueError):
        spile.doctor(context)
    with pytest.raises(TypeError):
        spile.doctor("none")


def test_promises_that_are_demanded():
    found = spile.doctor()
    held = [name for name in PROMISES if found.promises[name].holds]
    assert spile.run("echo x", require=held).stdout == b"x\n"
    with spile.Context("none") as context:
        with pytest.raises(spile.PromiseError, match="the promise 'contained' can't be kept here"):
            spile.run("echo x", require="contained", context=context)
        with pytest.raises(spile.PromiseError) as caught:
            spile.run("echo x", require=["no_swap", "contained"], context=context, check=False)
        assert caught.value.kind == "promise" and pickle.loads(pickle.dumps(caught.value)).kind == "promise"
    with pytest.raises(ValueError, match="no such promise: 'flies'; there are contained"):
        spile.run("echo x", require="flies")
    echo = spile.function("cat <{x} >{y}", require="contained") if "contained" in held else None
    assert echo is None or echo(b"1") == b"1"


@pytest.mark.parametrize("limits, template, says", [
    ({"open_files": 10}, "python3 -c 'import os\nwhile 1: os.open(\"/dev/null\", 0)'", "limit of 10 open files"),
    ({"program_memory": 40 << 20}, "python3 -c 'bytearray(200 << 20)'", "41943040 bytes"),
    ({"output": 100}, "head -c 101 /dev/zero >{x}", "over the limit of 100 bytes an output"),
    ({"output": 100}, "head -c 101 /dev/zero >{x|}", "over the limit of 100 bytes an output"),
    ({"cpu": 0.5}, "sh -c 'while :; do :; done'", "used more CPU time than its limit of 1 s"),
])
def test_limits_that_are_reached(limits, template, says):
    with pytest.raises(spile.LimitError, match=says) as caught:
        spile.run(template, limits=spile.Limits(**limits))
    assert caught.value.kind == "limit" and caught.value.result.exit_status == 123
    assert caught.value.limit == pickle.loads(pickle.dumps(caught.value)).limit == list(limits)[0]


def test_the_limit_of_processes():
    run = lambda: spile.run("sh -c 'for i in 1 2 3 4 5; do sleep 1000 & done; wait'", limits=spile.Limits(processes=4))
    if spile.doctor().promises["processes"].holds:
        with pytest.raises(spile.LimitError, match="4 processes and threads"):
            run()
    else:
        with pytest.raises(spile.PromiseError, match="the promise 'processes'"):
            run()


@pytest.mark.parametrize("name", ["memory", "output", "program_memory", "processes", "open_files"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "1", 1 << 70, float("nan")])
def test_limits_that_make_no_sense(name, value):
    with pytest.raises(ValueError, match=rf"limits\.{name} is .*: give a whole number above 0, or None for no limit"):
        spile.run("true", limits=spile.Limits(**{name: value}))


@pytest.mark.parametrize("value", [-1, float("nan")])
def test_times_that_make_no_sense(value):
    with pytest.raises(ValueError, match="limits.cpu is"):
        spile.run("true", limits=spile.Limits(cpu=value))
    with pytest.raises(ValueError, match="timeout is"):
        spile.run("true", timeout=value)


def test_a_private_path():
    if not spile.doctor().promises["private_path"].holds:
        pytest.skip("no namespaces here")
    said = [spile.run("sh -c 'pwd -P; cat in; env'", files={"in": b"x\n"}, private_path="/mnt", env={"A": "b"},
                   inherit_env=False).stdout for _ in range(3)]
    assert set(said) == {b"/mnt\nx\nA=b\nPWD=/mnt\n"}
    with pytest.raises(spile.UsageError, match="no directory that can be covered"):
        spile.run("true", private_path="/nowhere")

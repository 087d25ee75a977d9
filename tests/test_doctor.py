"""`spile doctor`, and promises demanded of `spile run`; limits through the command. What a machine refuses is tested in
test_fallbacks.py."""
import json
import os
import re
import subprocess

import pytest
from run_host import host  # noqa: F401 (a fixture)

PROMISES = ["contained", "private", "files", "program_memory", "processes", "no_swap", "standstill", "private_path"]
FACILITIES = {"cells", "mounts", "kernel", "user_namespaces", "process_namespaces", "clone3", "pidfd", "memfd", "inotify",
              "shared_memory", "control_groups", "waits", "swap_free"}


def diagnose(host, *words):
    ran = host.run("--json", *words, command="doctor")
    assert ran.err == b"", ran
    return json.loads(ran.out)


def test_json(host):
    found = diagnose(host)
    assert found["version"] == 1 and found["containment"] in ("namespace", "reaper", "none")
    assert [promise["name"] for promise in found["promises"]] == PROMISES
    assert {thing["name"] for thing in found["machine"]} == FACILITIES
    for finding in found["promises"] + found["machine"]:
        assert set(finding) == {"name", "holds", "text", "cure"} and finding["text"] and isinstance(finding["holds"], bool)
        assert finding["holds"] or finding["cure"] or finding["name"] in ("cells", "mounts", "clone3")


def test_for_a_person(host):
    found = diagnose(host)
    text = host.ok(command="doctor").decode()
    assert re.match(r"spile [0-9.]+\ncontainment " + found["containment"], text)
    for finding in found["promises"] + found["machine"]:
        assert re.search(rf"^  {'yes' if finding['holds'] else 'no '} {finding['name']} ", text, re.M), finding["name"]
    assert all(len(line) <= 100 and line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("containment", ["namespace", "reaper", "none"])
def test_other_containments(host, containment):
    found = diagnose(host, "--containment", containment)
    held = {promise["name"]: promise["holds"] for promise in found["promises"]}
    if containment != "namespace":
        assert found["containment"] == containment
        assert not held["contained"] and not held["private"] and not held["files"] and not held["private_path"]
        assert not found["machine"][1]["holds"]


def test_required(host):
    for promise in diagnose(host, "--containment=none")["promises"]:
        ran = host.run("--containment", "none", "--require", promise["name"], command="doctor")
        assert ran.status == (0 if promise["holds"] else 125)
        assert ran.err.decode().startswith("spile: " if not promise["holds"] else "")
    for promise in diagnose(host)["promises"]:
        ran = host.run("--require", promise["name"], "echo ran")
        if promise["holds"]:
            assert (ran.status, ran.out, ran.err) == (0, b"ran\n", b"")
        else:
            assert ran.status == 125 and ran.out == b""
            assert ran.err.decode().startswith(f"spile: the promise '{promise['name']}' can't be kept here")
    host.refused("--require", "contained,flies", "true", says="there is no promise 'flies': did you mean 'files'?")
    host.refused("--require", "x", "true", says="there is no promise 'x': see spile doctor")


def test_a_machine_that_swaps(host):
    """What it says of its swap is believed, where files can't be kept out of it."""
    host.write("swaps", b"Filename Type Size Used Priority\n/dev/sda2 partition 8388604 0 -2\n")
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    words = [*unshare, "sh", "-c", 'mount --bind swaps /proc/swaps || exit 77; exec "$@"', "sh", host.spile]
    run = lambda *more: subprocess.run([*words, *more], cwd=host.directory, env=host.env, capture_output=True, timeout=60)
    ran = run("doctor", "--json", "--containment", "reaper")
    if ran.returncode == 77 or ran.stderr.startswith(b"unshare:"):
        pytest.skip("nothing can be mounted over /proc/swaps here")
    found = json.loads(ran.stdout)
    promise, = [promise for promise in found["promises"] if promise["name"] == "no_swap"]
    assert not promise["holds"] and "this machine swaps" in promise["text"] and "swapoff" in promise["cure"]
    thing, = [thing for thing in found["machine"] if thing["name"] == "swap_free"]
    assert not thing["holds"] and thing["text"] == "this machine swaps" and "swapoff" in thing["cure"]
    assert run("doctor", "--containment", "reaper", "--require", "no_swap").returncode == 125


def test_wrong_use(host):
    host.refused("x", command="doctor", says="'x' is one word too many")
    host.refused("--", "x", command="doctor", says="'x' is one word too many")
    host.refused("--jsn", command="doctor", says="did you mean '--json'")
    host.refused("--containment=x", command="doctor", says="there is no containment 'x'")
    assert b"usage: spile doctor" in host.ok("--help", command="doctor")


# ------------------------------------------------------------------------------------------------------- limits


def test_limits_that_are_reached(host):
    ran = host.run("--open-files", "10", "python3 -c 'import os\nwhile 1: os.write(1, b\"%d \" % os.open(\"/dev/null\", 0))'")
    assert ran.status == 123 and b"spile: 'python3' failed at its limit of 10 open files" in ran.err
    assert ran.out.split()[-1] == b"9", ran.out  # what the program says is not what shows that it is held
    ran = host.run("--program-memory", "40M", "python3 -c 'bytearray(200 << 20)'")
    assert ran.status == 123 and b"41943040 bytes" in ran.err, ran
    if {p["name"]: p["holds"] for p in diagnose(host)["promises"]}["processes"]:
        ran = host.run("--processes", "4", "sh -c 'for i in 1 2 3 4 5; do sleep 1000 & done; wait'")
        assert ran.status == 123 and b"4 processes and threads" in ran.err, ran
    ran = host.run("--max-output", "1k", "head -c 1025 /dev/zero >{x}")
    assert ran.status == 123 and b"output 'x' is 1025 bytes long or longer, over the limit of 1024 bytes" in ran.err
    assert host.names() == []
    report = json.loads(host.run("--json", "--max-output", "1k", "head -c 1025 /dev/zero >{x}").err)
    assert report["outcome"]["kind"] == "limit" and report["exit_status"] == 123
    for words, limit in ((["--max-output", "1k", "head -c 1025 /dev/zero >{x}"], "max_output"), (["--timeout", "0.1", "sleep 1000"], "timeout"),
                         (["--cpu", "1", "sh -c 'while :; do :; done'"], "cpu"), (["--memory", "1M", "head -c 2000000 /dev/zero >{x}"], "memory"),
                         (["--open-files", "10", "python3 -c 'import os\nwhile 1: os.open(\"/dev/null\", 0)'"], "open_files"),
                         (["--program-memory", "40M", "python3 -c 'bytearray(200 << 20)'"], "program_memory")):
        report = json.loads(host.run("--json=report", *words).err and host.read("report"))
        assert report["outcome"]["limit"] == limit, report["outcome"]


@pytest.mark.parametrize("option, values", [
    ("--program-memory", ["0", "-1", "1e9", "x", "", "99999999999T"]), ("--processes", ["0", "-1", "1.5", "x", "99999999999"]),
    ("--open-files", ["0", "-4", "many"]), ("--max-output", ["0", "-1"]), ("--memory", ["0", "-1"]),
    ("--cpu", ["0", "-1"]), ("--timeout", ["0", "-1"])])
def test_limits_that_make_no_sense(host, option, values):
    for value in values:
        ran = host.run(f"{option}={value}", "true")
        assert ran.status == 125 and ran.err.startswith(f"spile: {option}: '{value}' is no ".encode()), ran
        assert len(ran.err.splitlines()) == 1


def test_open_files_that_are_too_few(host):
    host.refused("--open-files", "3", "true", says="with 3 open files no program starts")


# ------------------------------------------------------------------------------------------------- the same each time


def test_the_same_bytes_each_time(host):
    """What writes its path and its environment into its output gives the same bytes from anywhere, with any environment,
    at its first place and at its second, and beside another call."""
    if not {p["name"]: p["holds"] for p in diagnose(host)["promises"]}["private_path"]:
        pytest.skip("no namespaces here")
    words = ["--private-path", "/mnt", "--env", "-", "--env", "PATH", "--env", "LC_ALL=C",
             "sh -c 'pwd -P; env | sort; readlink /proc/self/cwd' >{said}"]
    host.ok(*words)
    first = host.read("said")
    assert first == b"/mnt\nLC_ALL=C\nPATH=" + host.env["PATH"].encode() + b"\nPWD=/mnt\n/mnt\n"
    other = host.directory / "other"
    other.mkdir()
    for more in ([], ["sleep 0"]):
        host.ok(*words, *more, "said=other/said", env=host.env | {"HOME": "/nowhere", "LANG": "de", "TMPDIR": str(other)})
        assert host.read("other/said") == first
    host.refused("--private-path", "mnt", "true", says="the private path 'mnt' is no directory that can be covered")
    host.refused("--private-path", "/mnt", "--cwd", ".", "true", says="leave out one of '/mnt' and")


def test_no_core_dump(host):
    """Whatever the kernel does with core dumps, it is not asked to."""
    ran = host.run("--cwd", ".", "--", "sh", "-c", "ulimit -c; kill -SEGV $$")
    assert ran.status == 139 and ran.out == b"0\n", ran
    assert not [name for name in os.listdir(host.directory) if "core" in name]

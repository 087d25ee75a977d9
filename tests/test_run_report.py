"""What is told when all is over: the report, hints, signals.

Nothing here sleeps: programs say that they are there through a FIFO. Each test has a directory of its own.
"""
import json
import os
import resource
import signal
import subprocess

import pytest
from run_host import Host, host  # noqa: F401 (a fixture)


# ------------------------------------------------------------------------------------------------------- the report


def test_report_on_standard_error_is_alone_there(host):
    host.write("in", b"data")
    ran = host.run("--json", "sh -c 'echo noise >&2; echo out; cp \"$1\" \"$2\"' sh {<in} {>copy}", "false")
    report = json.loads(ran.err)
    assert ran.status == report["exit_status"] == 1
    assert report["outcome"] == {"ok": False, "kind": "program", "limit": None, "message": "'false' failed with exit status 1",
                                 "errno": None, "program": 1, "hints": []}
    assert ran.out in (b"out\n", b"")


def test_report_of_success(host):
    host.write("in", b"data")
    host.write("more.h", b"12")
    ran = host.run("--json=report", "sh -c 'echo noise >&2; cp \"$1\" \"$2\"' sh {<in} {>mid}", "sort {<mid} >{out}",
                   "-i", "h=more.h", "-o", "mid=-")
    assert (ran.status, ran.out, ran.err) == (0, b"data", b"noise\n")
    report = json.loads(host.read("report"))
    assert report["version"] == 1
    assert report["spile"] == subprocess.run([host.spile, "--version"], stdout=subprocess.PIPE, check=True,
                                             text=True).stdout.split()[1]
    assert report["outcome"]["ok"] is True and report["outcome"]["kind"] is None
    assert report["containment"] in ("namespace", "reaper", "none")
    assert report["wall_seconds"] > 0
    first, second = report["programs"]
    assert (first["index"], first["status"], first["signal"], first["accepted"]) == (0, 0, None, True)
    assert first["stderr_tail"] == "noise\n" and first["stderr_truncated"] is False
    assert first["argv"][:2] == ["sh", "-c"] and first["argv"][3:] == ["sh", "in", "mid"]
    assert second["text"] == "sort {<mid} >{out}"
    assert 0 <= first["start_seconds"] <= first["end_seconds"] <= second["start_seconds"] <= report["wall_seconds"]
    assert first["max_rss_bytes"] > 0 and first["user_seconds"] >= 0 and first["system_seconds"] >= 0
    files = {f["name"]: f for f in report["files"]}
    assert files["in"] == {"name": "in", "flow": "input", "kind": "seekable", "producer": None, "bytes": 4,
                           "from": "in", "to": None}
    assert (files["mid"]["flow"], files["mid"]["to"], files["mid"]["producer"]) == ("intermediate", "-", 0)
    assert (files["out"]["flow"], files["out"]["to"], files["out"]["bytes"]) == ("output", "out", 5)
    assert (files["h"]["flow"], files["h"]["from"], files["h"]["bytes"]) == ("input", "more.h", 2)


def test_report_on_standard_output_is_alone_there(host):
    ran = host.run("--json=-", "echo chatter")
    assert (ran.status, ran.err) == (0, b"chatter\n")
    assert json.loads(ran.out)["outcome"]["ok"] is True


def test_report_of_errors_before_the_start(host):
    for words, kind in [(["cat {<x}"], "missing"), (["cat {<x"], "template"), (["--bad"], "usage"),
                        (["a {>x}", "b {>x}"], "plan"), (["no-such-program"], "not_found"), ([], "usage")]:
        ran = host.run("--json", *words)
        report = json.loads(ran.err)
        assert (report["outcome"]["ok"], report["outcome"]["kind"]) == (False, kind), words
        assert report["exit_status"] == ran.status != 0
        assert report["outcome"]["message"]


def test_report_stays_valid_with_other_bytes(host):
    word = b"\xff\xc3\xa9\xed\xa0\x80\xc0\xaf\xf0\x9f\x98\x80\xe2\x82".decode("utf-8", "surrogateescape")
    ran = host.run("--json", f"printf {word}")
    argv = json.loads(ran.err.decode("utf-8"))["programs"][0]["argv"]
    assert argv == ["printf", "\ufffdé\ufffd\ufffd\ufffd\ufffd\ufffd\U0001f600\ufffd\ufffd"]
    ran = host.run("--json", "sh -c \"printf '\\\\377\\\\000x' >&2; exit 1\"")
    assert json.loads(ran.err)["programs"][0]["stderr_tail"] == "\ufffd\0x"


def test_report_wrongly_placed(host):
    host.write("in")
    host.refused("--json=none/report", "true", says="--json: 'none/report' can't be written: No such file")
    host.refused("--json=", "true", says="the file's name is empty")
    host.refused("--json=-", "cat {<in} >{out}", "out=-", says="the report and an output both go to standard output")
    ran = host.run("--json", "--trace", "true")
    assert json.loads(ran.err)["outcome"]["message"].startswith("--trace and --json both go to standard error")


# ---------------------------------------------------------------------------------------------------------- hints


def test_unmarked_words_that_name_files(host):
    host.write("t.html")
    host.write("sub/inc.h")
    host.write("x=y")
    (host.directory / "dir").mkdir()
    up = host.directory / "dir"
    ran = host.run("ls t.html --file=sub/inc.h -Wt.html none dir ./t.html")
    assert ran.status == 2
    hints = [line for line in ran.err.decode().splitlines() if "not marked" in line]
    assert hints == [
        "spile: 't.html' exists here but is not marked: write {<t.html}",
        "spile: 'sub/inc.h' exists here but is not marked: write {<sub/inc.h}",
        "spile: './t.html' exists here but is not marked: write {<t.html}",
    ]
    below = Host(host.spile, host.directory, up)
    below.env = host.env
    ran = below.run("cat ../t.html")
    assert b"'../t.html' exists here but is not marked: write {<t.html} and t.html=../t.html\n" in ran.err
    # Where the programs run in a directory of the host, or when all went well, there is nothing to hint at.
    assert b"not marked" not in host.run("--cwd=.", "sh -c 'exit 1' t.html").err
    assert host.ok("echo t.html") == b"t.html\n"
    assert b"not marked" not in host.run("sh -c 'exit 1' /etc/passwd").err


def test_program_that_stands_here(host):
    host.write("tool", b"#!/bin/sh\necho ran\n", 0o755)
    ran = host.refused("tool", status=127, says="'tool' was not found")
    assert b"spile: 'tool' exists here: write ./tool\n" in ran.err
    assert host.ok("./tool") == b"ran\n"


# --------------------------------------------------------------------------------------------------------- signals


def hold(host, *words, **options):
    """Starts a call whose program says through a FIFO that it is there, and stays until it is ended. Whoever holds the
    other end of the FIFO sees its end once every process of the call is gone."""
    fifo = host.directory / "ready"
    os.mkfifo(fifo)
    template = f"sh -c 'exec 9>\"$1\"; echo ready >&9; echo new >\"$2\"; cat \"$3\"' sh {fifo} {{>out}} {fifo}.stay"
    os.mkfifo(f"{fifo}.stay")
    process = host.start(template, *words, **options)
    reader = open(fifo, "rb", buffering=0)
    assert reader.readline() == b"ready\n"
    return process, reader


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_call(host, number):
    host.write("out", b"old")
    process, reader = hold(host)
    while process.poll() is None:
        process.send_signal(number)  # who presses the key again and again gets the message all the same
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (out, err) == (b"", f"spile: ended by {number.name}: no output was written\n".encode())
    assert reader.read() == b"", "a process of the call is still there"
    reader.close()
    assert host.read("out") == b"old"
    assert host.names() == ["out", "ready", "ready.stay"]


def test_signal_is_in_the_report(host):
    process, reader = hold(host, "--json")
    process.terminate()
    err = process.communicate(timeout=60)[1]
    reader.close()
    report = json.loads(err)
    assert (report["outcome"]["kind"], report["exit_status"]) == ("cancelled", 143)


def test_kill_leaves_nothing(host):
    process, reader = hold(host)
    process.kill()
    process.communicate(timeout=60)
    assert reader.read() == b"", "a process of the call is still there"
    reader.close()


def test_ignored_signal_stays_ignored(host):
    process, reader = hold(host, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with open(host.directory / "ready.stay", "wb"):
        pass
    process.communicate(timeout=60)
    reader.close()
    assert process.returncode == 0
    assert host.read("out") == b"new\n"


def test_few_descriptors_are_told(host):
    host.write("in", b"x")
    ran = host.run("cp {<in} {>out}", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4)))
    assert ran.status != 0 and ran.err.startswith(b"spile: "), ran
    assert host.names() == ["in"]

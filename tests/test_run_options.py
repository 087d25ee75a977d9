"""Every option, and every wrong use of one.

Nothing here sleeps: programs say that they are there through a FIFO. Each test has a directory of its own.
"""
import json
import os
import re
import signal
import subprocess

import pytest
from run_host import ASSEMBLY, host  # noqa: F401 (a fixture)


# ----------------------------------------------------------------------------------------------------------- options


def test_values(host):
    assert host.ok("echo {a}-{b} {list...} end", "-v", "a=1 2", "-vb=$x", "-v", "list=p q", "--value", "list=r") == \
        b"1 2-$x p q r end\n"
    assert host.ok("echo {list...} end", "-v", "list...") == b"end\n"
    assert host.ok("echo {a}", "-v", "a=x=y") == b"x=y\n"
    assert host.ok("echo +{a}+", "-v", "a=") == b"++\n"


def test_values_wrongly_given(host):
    host.refused("echo {size}", says="the value 'size' is not given: write -v size=TEXT")
    host.refused("echo {size}", "-v", "sizee=1", says="no template has a value 'sizee': did you mean 'size'?")
    host.refused("echo x", "-v", "size=1", says="no template has a value 'size': mark it {size} where it belongs")
    host.refused("echo {a}", "-v", "a=1", "-v", "a=2", says="the value 'a' is given twice, and it is no list")
    host.refused("echo {a}", "-v", "a", says="'a' lacks '=': write NAME=TEXT")
    host.refused("echo {a}", "-v", "=a", says="'=a' lacks a name")
    host.refused("echo {a}", "-v", "a...", says="'a' is one value, not a list")
    host.write("f")
    host.refused("cat {<f}", "-v", "f=1", says="'f' is a file, not a value: write f=PATH without -v")


def test_vector(host):
    host.write("a b", b"data")
    assert host.ok("x=a b", "--", "cat", "{<x}", "-") == b"data"
    assert host.ok("--", "printf", "%s\n", "a  b", "$x", "*", ">y", "{{z}}", "--json") == \
        b"a  b\n$x\n*\n>y\n{z}\n--json\n"
    host.refused("--", says="no program stands behind '--'")


def test_template_file(host):
    host.write("in", b"c\na\nb\n")
    host.write("steps", b"# a comment \\\n\n  # another \\\nsort \\\n  {<in} \\\n -o {>sorted}\r\nhead -n 1 {<sorted} >{first}")
    host.ok("-f", "steps")
    assert host.read("first") == b"a\n"
    (host.directory / "first").unlink()
    host.ok("-f", "-", data=host.read("steps"))
    assert host.read("first") == b"a\n"
    host.ok("--file=steps", "first=other", "tac {<sorted} >{down}")
    assert (host.read("other"), host.read("down")) == (b"a\n", b"c\nb\na\n")


def test_template_file_errors_name_the_line(host):
    host.write("steps", b"true\n\n# x\ncat \\\n {<x\n")
    host.refused("-f", "steps", says="steps:4: ")
    host.write("steps", b"true\n\nsh -c 'exit 4'\n")
    host.refused("-f", "steps", status=4, says="steps:3: 'sh' failed with exit status 4")
    host.write("steps", b"true\nno-such-program\n")
    host.refused("-f", "steps", status=127, says="steps:2: 'no-such-program' was not found")
    host.write("steps", b"true \\")
    host.refused("-f", "steps", says="steps:1: the last line ends in a backslash, and nothing follows")
    host.write("steps", b"true\n\0\n")
    host.refused("-f", "steps", says="steps:2: a NUL byte stands in this line")
    host.write("steps", b"a {>x}\nb {>x}\n")
    host.refused("-f", "steps", says="steps:2: ")
    host.write("steps", b"# nothing\n")
    host.refused("-f", "steps", says="there is no program to run")
    host.refused("-f", "none", says="-f: 'none' can't be opened: No such file or directory")
    host.refused("-f", ".", says="'.' can't be read: Is a directory")


def test_ok_status(host):
    host.write("a", b"1\n")
    host.write("b", b"2\n")
    assert host.run("diff {<a} {<b} >{patch}").status == 1
    host.ok("--ok-status", "0,1", "diff {<a} {<b} >{patch}")
    host.ok("--ok-status=diff:0,1", "diff {<a} {<b} >{patch}")
    host.ok("--ok-status=2:0-1", "true", "/usr/bin/diff {<a} {<b} >{patch}")
    host.ok("--ok-status=diff:1", "/usr/bin/diff {<a} {<b} >{patch}")
    host.refused("--ok-status=diff:1", "diff {<a} {<a} >{patch}", status=123, says="diff")
    # Of two programs joined by a bar, only the one that is meant.
    host.ok("--ok-status=grep:0,1", "grep z {<a} | sort")
    host.refused("--ok-status=sort:0,1", "grep z {<a} | sort", status=1, says="'grep' failed")
    # What is said of one program replaces what is said of all.
    host.refused("--ok-status=0,1", "--ok-status=sh:0", "sh -c 'exit 1'", status=1, says="'sh' failed")
    host.refused("--ok-status=sh:0", "--ok-status=0,1", "sh -c 'exit 1'", status=1, says="'sh' failed")


def test_ok_status_wrongly_given(host):
    for text in ["", "x", "1,", "256", "3-1", ":0", "sh:", "-1"]:
        host.refused(f"--ok-status={text}", "true", says="names no exit statuses: write 0,1 or 0-3")
    host.refused("--ok-status=nobody:1", "true", says="no program is called 'nobody': give its first word, or its "
                 "number from 1 to 1")
    host.refused("--ok-status=2:1", "true", says="no program is called '2'")


def test_optional(host):
    ran = host.refused("true {>x}", status=123, says="'true' ended well without writing 'x'")
    assert b"--optional NAME" in ran.err
    host.ok("--optional", "x", "true {>x}")
    assert host.names() == []
    host.refused("--optional", "y", "true {>x}", says="--optional: no program writes 'y'")


def test_environment(host):
    host.env["KEPT"] = "kept"
    show = "sh -c 'echo $KEPT,$NEW'"
    assert host.ok(show) == b"kept,\n"
    assert host.ok("--env", "NEW=a=b", show) == b"kept,a=b\n"
    assert host.ok("--env=-KEPT", show) == b",\n"
    assert host.ok("--env=-", "--env", "NEW=1", "--env", "PATH", show) == b",1\n"
    assert host.ok("--env", "KEPT", "--env=-", "--env=PATH", "--env=NONE", "env").split() == \
        [b"KEPT=kept", b"PATH=" + host.env["PATH"].encode()]
    host.refused("--env==x", show, says="'=x' lacks a name")
    host.refused("--env=-A=b", show, says="'-A=b' both removes and sets")
    host.refused("--env=", show, says="'' lacks a name")


def test_cwd(host):
    host.write("sub/file", b"here\n")
    host.write("in", b"in\n")
    out = host.ok("--cwd", "sub", "cat file {<in}")
    assert out == b"here\n" + b"in\n"
    host.refused("--cwd", "none", "true", says="--cwd: 'none': No such file or directory")
    host.refused("--cwd", "in", "true", says="Not a directory")


def test_jobs(host):
    ran = host.run("--jobs", "1", "--trace", "true", "true", "true")
    assert re.findall("started|exited", ran.err.decode()) == ["started", "exited"] * 3
    # These two wait for one another.
    for name in "ab":
        os.mkfifo(host.directory / name)
    assert host.ok("--jobs=2", "--cwd=.", "sh -c 'echo 1 >a; cat b'", "sh -c 'cat a; echo 2 >b'") == b"1\n2\n"
    for text in ["0", "-1", "x", "99999999999"]:
        host.refused("--jobs", text, "true", says=f"--jobs: '{text}' is no number of programs: write 1 or more")


def test_keep_going(host):
    ran = host.run("--keep-going", "--jobs=1", "false", "echo ran")
    assert (ran.status, ran.out) == (1, b"ran\n")
    ran = host.run("--jobs=1", "false", "echo ran")
    assert (ran.status, ran.out) == (1, b"")


@pytest.mark.parametrize("text", ["50ms", "0.05", "0.05s", "50000us", "0.0009m"])
def test_timeout(host, text):
    ran = host.refused("--timeout", text, "sh -c 'while :; do :; done'", status=124, says="the call did not end within")
    assert b"'sh'" in ran.err


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1.", ".5", "1d", "1 s", "1e3", "99999999999999999999", "184467440737095516170"])
def test_times_that_are_none(host, text):
    host.refused(f"--timeout={text}", "true", says=f"--timeout: '{text}' is no time: write 10, 1.5s, 200ms, 2m or 1h")
    host.refused(f"--cpu={text}", "true", says=f"--cpu: '{text}' is no time")


def test_cpu(host):
    ran = host.run("--cpu", "1", "sh -c 'while :; do :; done'")
    assert ran.status in (123, 128 + signal.SIGXCPU, 128 + signal.SIGKILL), ran


def test_memory(host):
    host.ok("--memory", "4M", "head -c 1000000 /dev/zero >{x}")
    ran = host.run("--memory", "1M", "--json", "head -c 10000000 /dev/zero >{y}")
    if json.loads(ran.err)["containment"] == "namespace": # elsewhere files are in a directory that all share
        assert ran.status == 123 and "memory limit of 1048576 bytes" in json.loads(ran.err)["outcome"]["message"], ran
        assert host.names() == ["x"]
    for text in ["", "x", "0", "-1", "1q", "1.5.5", "99999999999T"]:
        host.refused(f"--memory={text}", "true", says=f"--memory: '{text}' is no size: write 4096, 64k, 100M or 2G")
        host.refused(f"--max-output={text}", "true", says=f"--max-output: '{text}' is no size")
    host.ok("--memory", "0.5GiB", "--max-output", "64kb", "true")


# ---------------------------------------------------------------------------------------------- dry run, dot, trace


def test_dry_run(host):
    host.write("a.s", ASSEMBLY)
    out = host.ok("-n", "as {<a.s} -o {>a.o}", "ld {<a.o} -o {>prog}", "nm {<a.o} | sort >{list}", "list=-",
                  "-i", "x=a.s", "-o", "a.o=kept.o").decode()
    assert out == """\
program 1, group 1: as {<a.s} -o {>a.o}
    reads a.s from 'a.s'
    writes a.o to program 2, program 3, 'kept.o'
program 2, group 2: ld {<a.o} -o {>prog}
    reads a.o from program 1
    writes prog to 'prog'
program 3, group 3: nm {<a.o}
    reads a.o from program 1
    standard output to program 4 by a bar
program 4, group 3: sort >{list}
    writes list [standard output] to standard output
every program finds x from 'a.s'
"""
    assert host.names() == ["a.s"]


def test_dry_run_of_the_rest(host):
    host.write("x")
    host.write("a.c")
    host.write("b.c")
    out = host.ok("--dry-run", "sed -i s/a/b/ {<>x}", "cat {<*.c} >>{log}", "true {+>opt}", "--optional", "opt",
                  "-o", "none=n").decode()
    assert "    changes x from 'x' to 'x'\n" in out
    assert "    reads *.c from 'a.c', 'b.c'\n" in out
    assert "    appends to log [standard output] from nothing (starts empty) to 'log'\n" in out
    assert "    writes opt [side file, optional] to 'opt'\n" in out
    assert "asked for besides: none to 'n'\n" in out


def test_dry_run_starts_nothing_and_marks_what_is_missing(host):
    ran = host.run("-n", "cat {<x} >{y}", "touch ran", "--cwd=.")
    assert ran.status == 125
    assert b"reads x from MISSING (there is no file 'x' here" in ran.out
    assert ran.err == b"spile: there is no file 'x' here: say where it is by x=PATH\n"
    assert host.names() == []


def parse_dot(text):
    return subprocess.run(["dot", "-Tplain"], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def test_dot(host):
    host.write("a \"q\" \\.s", ASSEMBLY)
    ran = host.run("--dot", "as {<a.s} -o {>a.o}", "ld {<a.o} {<b.o} -o {>prog}", "nm {<a.o} | sort >{list}",
                   'printf "a\\n" \'"\' é', "a.s=a \"q\" \\.s", "-i", "x=a \"q\" \\.s")
    assert ran.status == 125 and b"b.o" in ran.err
    text = ran.out.decode()
    assert "p1 -> p2" in text and "p1 -> p3" in text and 'p3 -> p4 [label="|"]' in text
    assert "subgraph cluster_3" in text
    try:
        parsed = parse_dot(ran.out)
    except FileNotFoundError:
        pytest.skip("dot is missing: apt-get install graphviz")
    assert (parsed.returncode, parsed.stderr) == (0, b"")
    assert parsed.stdout.count(b"\nnode ") == 5 + 3 + 2


def test_dot_of_bytes_that_are_no_text(host):
    ran = host.run("--dot", b"echo \xff\x01".decode("utf-8", "surrogateescape"))
    assert ran.status == 0
    assert ran.out.decode().count("�") == 1


def test_trace(host):
    host.write("in", b"data")
    ran = host.run("--trace", "cp {<in} {>out}")
    assert ran.status == 0
    lines = ran.err.decode().splitlines()
    assert all(re.fullmatch(r"spile: +\d+\.\d{6} .*", line) for line in lines), lines
    times = [float(line.split()[1]) for line in lines]
    assert times == sorted(times)
    for part in ["input 'in' is there: 4 bytes", "program 1 'cp' started as process", "program 1 'cp' exited with 0",
                 "output 'out' is there: 4 bytes", "output 'out' delivered: 4 bytes"]:
        assert sum(part in line for line in lines) == 1, part
    assert "program 1 'sh' ended by SIGKILL" in host.run("--trace", "sh -c 'kill -9 $$'").err.decode()


# ----------------------------------------------------------------------------------------------- usage, help, typos


def test_help_fits_a_screen(host):
    for words in (["run", "--help"], ["run", "-h"], ["ask", "--help"], ["talk", "--help"], ["doctor", "--help"], ["--help"], ["-h"],
                  ["help"]):
        out = subprocess.run([host.spile, *words], stdout=subprocess.PIPE, check=True, env=host.env).stdout.decode()
        lines = out.splitlines()
        assert 5 < len(lines) <= 24 and max(map(len, lines)) <= 80, words
    options = subprocess.run([host.spile, "run", "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    for name in ["-i", "-o", "-v", "-f", "-n", "--dot", "--timeout", "--cpu", "--memory", "--max-output", "--jobs",
                 "--env", "--cwd", "--ok-status", "--optional", "--force", "--keep-going", "--json", "--trace"]:
        assert name in options, name


def test_help_without_manual_pages(host):
    env = dict(host.env, PATH="/nonexistent")
    ran = host.run("run", command="help", env=env)
    assert (ran.status, ran.out) == (0, host.run("--help").out)
    host.write("man", b"#!/bin/sh\n[ $1 = -w ] || echo page $1\n", 0o755)
    env["PATH"] = f"{host.directory}:/usr/bin:/bin"
    assert host.run("run", command="help", env=env).out == b"page spile-run\n"
    assert host.run("spile", command="help", env=env).out == b"page spile\n"
    assert host.run("rum", command="help", env=env).status == 125


def test_version(host):
    ran = host.run(command="--version")
    assert ran.status == 0 and re.fullmatch(rb"spile \d+\.\d+\.\d+\n", ran.out)


@pytest.mark.parametrize("words, says", [
    (["--timout", "1", "true"], "there is no option '--timout': did you mean '--timeout'?"),
    (["--dryrun", "true"], "there is no option '--dryrun': did you mean '--dry-run'?"),
    (["--zzzzzz", "true"], "there is no option '--zzzzzz': see spile run --help"),
    (["-z", "true"], "there is no option '-z': see spile run --help"),
    (["true", "--timeout"], "--timeout lacks its value"),
    (["true", "-f"], "-f lacks its value"),
    (["--force=yes", "true"], "--force takes no value"),
    (["cat", "{"], "not quoted for your shell"),
    (["{<x}"], "'x'"),
    (["echo a > b"], ">"),
    (["echo $HOME"], "$"),
])
def test_wrong_usage(host, words, says):
    host.refused(*words, says=says)


@pytest.mark.parametrize("words, says", [
    ([], "a command is missing: see spile --help"),
    (["rnu"], "there is no command 'rnu': did you mean 'spile run'?"),
    (["cat {<x}"], "there is no command 'cat {<x}': to run a template write spile run 'cat {<x}'"),
    (["zzzzzz"], "there is no command 'zzzzzz': see spile --help"),
    (["help", "a", "b"], "help takes one command"),
])
def test_wrong_command(host, words, says):
    ran = subprocess.run([host.spile, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.decode().startswith("spile: " + says)) == (125, b"", True), ran


def test_options_anywhere_joined_and_spelt_out(host):
    host.write("a", b"x")
    assert b"program 1" in host.ok("cat {<a} >{b}", "-nob=c")
    assert host.ok("cp {<a} {>b}", "--output=b=-", "--input", "a=a", "--timeout=10") == b"x"

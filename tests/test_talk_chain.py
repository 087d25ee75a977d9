"""Dialogues of `spile talk`: steps from the command line and from a file, branches, secrets, and what they exit with."""
import json
import random
import subprocess

import pytest

LOGIN = """
import getpass, sys
for _ in range(2):
    sys.stdout.write("login: ")
    sys.stdout.flush()
    name = sys.stdin.readline().strip()
    if name == "quit":
        sys.exit(5)
    if (name, getpass.getpass("Password: ")) == ("ada", "lovelace"):
        print("welcome, " + name)
        sys.stdout.write("$ ")
        sys.stdout.flush()
        print("said " + sys.stdin.readline().strip())
        sys.exit(0)
    print("Login incorrect")
"""


@pytest.fixture
def talk(build, tmp_path):
    """Runs a dialogue with a login, or with another endpoint."""
    (tmp_path / "login.py").write_text(LOGIN)

    def run(*words, endpoint=None, given=b"", script=None, env=None):
        if script is not None:
            (tmp_path / "script").write_text(script)
            words = ["--script", tmp_path / "script", *words]
        return subprocess.run([build / "cli" / "spile", "talk", endpoint or f"pty: python3 {tmp_path}/login.py", *words],
                              input=given, capture_output=True, timeout=60, env=env)

    return run


def check(done, stdout, status=0, stderr=b""):
    assert (done.stdout, done.returncode) == (stdout, status), done.stderr
    assert stderr in done.stderr and bool(done.stderr) == bool(stderr)


def test_steps_in_order(talk):
    check(talk("--expect", "(?i)LOGIN: *$", "--send", "ada", "--expect-text", "Password: ", "--send", "lovelace", "--expect", r"\$ $",
               "--send", "uptime"), b"login: Password: \nwelcome, ada\n$ said uptime\n")


def test_expressions_are_of_lines(talk):
    """^ and $ stand at each line's ends, however it is said; what has come by the end is printed."""
    lines = "pipe: printf 'a\\nb/c\\nd\\n'"
    check(talk("--expect", "^b/c$", endpoint=lines), b"a\nb/c")
    check(talk("--fail", "^b/c$", "--expect", "d", endpoint=lines), b"a\nb/c\nd\n", 1)
    check(talk(script="expect /^b\\/c$/ exit 2", endpoint=lines), b"a\nb/c\nd\n", 2)


def test_secrets(talk, tmp_path):
    (tmp_path / "secret").write_text("lovelace\nnot this\n")
    log = tmp_path / "log"
    steps = ("--expect", "login: $", "--send", "ada", "--expect", "Password: $", "--send-secret-file", tmp_path / "secret",
             "--expect", "welcome, ada$")
    check(talk(*steps, "--transcript-json", log), b"login: Password: \nwelcome, ada")
    assert "lovelace" not in log.read_text() and len(log.read_text().splitlines()) > 3
    assert all(json.loads(line) for line in log.read_text().splitlines())
    check(talk("--send-secret-env", "PW", "--expect", "none", endpoint="pipe: sh -c 'read x; echo $x ${PW-none}'",
               env={"PATH": "/usr/bin:/bin", "PW": "known"}), b"known none")
    check(talk("--send-secret-env", "NO_SUCH_VARIABLE"), b"", 125, b"no variable 'NO_SUCH_VARIABLE'")
    check(talk("--send-secret-file", "/no/such/file"), b"", 125, b"can't be read")


def test_unhappy_replies(talk):
    wrong = ("--expect", "login: $", "--send", "ada", "--expect", "Password: $", "--send", "wrong")
    done = talk(*wrong, "--fail", "incorrect", "--expect", "welcome")
    assert done.returncode == 1 and done.stdout.startswith(b"login: Password: \nLogin incorrect") and not done.stderr
    check(talk(script="expect /login: $/ within 30s\nexpect /never/ within 0.1s\nexit 1"), b"login: ", 124,
          b"did not send 'never' in time (")
    check(talk("--expect", "login: $", "--send", "quit", "--expect", "Password"), b"login: ", 3, b"ended before 'Password' came")
    check(talk("--expect", "a("), b"", 125, b"no regular expression: missing closing")
    check(talk("--fail", "a"), b"", 125, b"--fail goes with")
    check(talk("--go-on"), b"", 125, b"--go-on goes with")
    check(talk("--expect-text", ""), b"", 125, b"no text")
    check(talk("--send", "a\nb"), b"", 125, b"one line")


def test_a_script_with_branches(talk):
    script = """
    # twice, for the first password is wrong
    again:
    expect /login: $/ within 20s
    or end exit 9
    send ada
    expect "Password: "
    send %s
    expect "welcome, "
    or /Login\\sincorrect\\s+/ goto again
    exit 0
    """
    done = talk(script=script % "lovelace")
    assert done.returncode == 0 and done.stdout.startswith(b"login: Password: \nwelcome, ") and not done.stderr
    check(talk(script=script % "wrong"), b"login: Password: \nLogin incorrect\n" * 2, 9)
    check(talk(script="expect timeout within 0.1s goto late\nexit 1\nlate:\nexpect \"login: \"\nsend \"quit\"\nexpect end exit 4"),
          b"login: ", 4)


@pytest.mark.parametrize("script, says", [
    ("", b"says nothing to do"), ("expect", b"line 1: '' is no pattern"), ("\nexpect /a", b"line 2: the closing / is missing"),
    ('expect "a', b"the closing \" is missing"), ("expect /a/ then", b"'then ' is none of these"), ("or /a/", b"'or' follows 'expect'"),
    ("expect /a/ goto nowhere", b"no place 'nowhere'"), ("goto nowhere", b"no place"), ("expect /a/ exit 256", b"none of these"),
    ("expect /a/ within soon", b"'soon' is no time"), ("expect /(/", b"line 1: pattern 0, '('"), ("a b:", b"is none of these"),
    ("?:", b"no name for a place"), ("say it", b"'say' is none of these"), ('send "a" b', b"too much"), ("exit 1 2", b"too much"),
    ("expect /a/\nor end\nor end", b"for the second time"), ("a:\nsend x\na:\ngoto a", b"line 3: there is a place 'a' already"),
    ("send a\0b\n", b"line 1: a NUL byte")])
def test_scripts_that_are_wrong(talk, script, says):
    done = talk(script=script)
    assert done.returncode == 125 and says in done.stderr and done.stderr.count(b"\n") == 1 and not done.stdout, done.stderr


def test_going_on(talk):
    check(talk("--send", "one", "--expect", "one\n", "--go-on", endpoint="pipe: cat", given=b"two\nthree\n"), b"one\ntwo\nthree\n")
    check(talk("--send", "one", endpoint="pipe: cat"), b"one\n")


def test_any_script_is_run_or_refused(talk):
    """Random lines of what scripts are made of: a status, in time, and never a crash."""
    random.seed(7)
    words = ["expect", "or", "send", "/a/", '"b"', "timeout", "end", "goto", "x", "x:", "exit", "3", "next", "within", "0.05s", "#", "/", '"']
    for _ in range(60):
        lines = ["expect end within 0.05s exit 1"] if random.random() < 0.5 else []
        lines += [" ".join(random.choices(words, k=random.randint(1, 5))) for _ in range(random.randint(1, 6))]
        if any(line.startswith("goto") or "goto x" in line for line in lines):
            lines = [line for line in lines if "goto" not in line] + ["exit 0"]  # no endless loops
        done = talk("-t", "0.05s", script="\n".join(lines), endpoint="pipe: printf ab", given=b"")
        assert done.returncode in (0, 1, 3, 124, 125), (lines, done)

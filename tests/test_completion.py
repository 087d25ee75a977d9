"""Completions: the command knows what may come next, and each shell shows that and nothing else."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

from screen import Screen

SOURCE = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = SOURCE / "completions"
COMMANDS = ["run", "ask", "talk", "doctor"]
TEMPLATE = "sort {options...} <{in} >{out}"


@pytest.fixture
def place(tmp_path, tmp_path_factory, spile, monkeypatch):
    """A directory with some files, in which the command is found."""
    (tmp_path / "words.txt").write_text("drawn\n")
    (tmp_path / "two words").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("fish")))  # else it makes one in /tmp, which stays
    monkeypatch.setenv("PATH", f"{pathlib.Path(spile).parent}:{os.environ['PATH']}")
    return tmp_path


def lines(words, **options):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **options)
    assert (done.returncode, done.stderr) == (0, ""), (words, done)
    return done.stdout.splitlines()


def asked(*words):
    return sorted(lines(["spile", "complete", *words]))


# What readline breaks words at, outside of quotes.
def broken(line):
    return [word for word in re.findall(r"'[^']*'|[=:]|[^\s=:']+", line)] + ([""] if line.endswith(" ") else [])


def bash(line, *_):
    found = lines(["bash", "--norc", SOURCE / "tests" / "completion.bash", SCRIPTS / "spile.bash", line, *broken(line)])
    whole = shlex.split(line)[-1] if not line.endswith(" ") else ""
    kept = whole[:len(whole) - len(broken(line)[-1])] + (broken(line)[-1] if broken(line)[-1] in "=:" else "")
    return sorted(kept + (shlex.split(word) or [""])[0] for word in found)


def zsh(line, *_):
    """Its function, with a compadd that shows what it is given."""
    script = """
        words=("${(@z)LINE}"); [[ $LINE == *' ' ]] && words+=('')
        CURRENT=$#words PREFIX=$words[-1]
        compadd() { print -rl -- "${(@P)@[-1]}" }
        source $SCRIPT
    """
    return sorted(word for word in lines(["zsh", "-fc", script], env=os.environ | {"LINE": line, "SCRIPT": str(SCRIPTS / "_spile")})
                  if word)


def fish(line, *_):
    script = "source $SCRIPT; complete --do-complete $LINE"
    return sorted(word.split("\t")[0] for word in
                  lines(["fish", "--no-config", "-c", script], env=os.environ | {"LINE": line, "SCRIPT": str(SCRIPTS / "spile.fish")}))


@pytest.fixture(params=[bash, zsh, fish], ids=lambda shell: shell.__name__)
def shell(request):
    if not shutil.which(request.param.__name__):
        pytest.skip(f"not installed: {request.param.__name__} (tools/setup test)")
    return request.param


# ------------------------------------------------------------------------------------------------ what the command knows


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_the_help_and_of_the_manual_is_known_and_no_other(place, command):
    known = {word.rstrip("=") for word in asked(command, "--")}
    shown = options_in("\n".join(lines(["spile", command, "--help"])))
    assert shown <= known, "the help knows more"
    pages = ["ask", "talk"] if command == "talk" else [command]
    manual = set().union(*(options_in((SOURCE / "man" / f"spile-{page}.1.scd").read_text()) for page in pages))
    assert known - {"--help"} <= manual, "the manual page lacks some"


@pytest.mark.parametrize("command", ["ask", "talk", "doctor"])
def test_the_values_that_are_offered_are_those_that_an_option_takes(place, command):
    for option in {word for word in asked(command, "--") if not word.endswith("=")}:
        offered = asked(command, option, "")
        refused = subprocess.run(["spile", command, option, "?", "--help"], capture_output=True, text=True)
        listed = re.search(r"is none of these: (.*)", refused.stderr)
        if listed:
            assert sorted(offered) == sorted(re.split(", | or ", listed[1])), option
        for value in offered:
            if not (place / value).exists():
                assert subprocess.run(["spile", command, option, value, "--help"], capture_output=True).returncode == 0, (option, value)


@pytest.mark.parametrize("words, expected", [
    ([], ["--help", "--version", "ask", "doctor", "help", "run", "talk"]),
    (["he"], ["help"]),
    (["help", ""], ["ask", "doctor", "run", "spile", "talk"]),
    (["run", TEMPLATE, ""], ["in=", "out="]),
    (["run", TEMPLATE, "in="], ["in=sub/", "in=two words", "in=words.txt"]),
    (["run", TEMPLATE, "in=sub/"], ["in=sub/deep"]),
    (["run", TEMPLATE, "in=~/su"], ["in=~/sub/"]),
    (["run", TEMPLATE, "in=.h"], ["in=.hidden"]),
    (["run", TEMPLATE, "-o", "o"], ["out="]),
    (["run", TEMPLATE, "-v", ""], ["options="]),
    (["run", TEMPLATE, "--optional", "ou"], ["out"]),
    (["run", "true {", ""], []),
    (["run", "--json=w"], ["--json=words.txt"]),
    (["run", "--cwd", ""], ["sub/"]),
    (["run", "--cwd=", ], ["--cwd=sub/"]),
    (["run", "-nf", "w"], ["words.txt"]),
    (["run", "--timeout", ""], []),
    (["run", "--no-such-thing", ""], []),
    (["run", "--", "w"], ["words.txt"]),
    (["doctor", "--require", "contained,priv"], ["contained,private", "contained,private_path"]),
    (["doctor", "--require=no"], ["--require=no_swap"]),
    (["doctor", ""], []),
    (["ask", "p"], ["pipe:", "pty:"]),
    (["talk", "fifo:su"], ["fifo:sub/"]),
    (["talk", "--script", "w"], ["words.txt"]),
    (["talk", "fifo:in,w"], ["fifo:in,words.txt"]),
    (["talk", "words.txt", ""], []),
    (["no such command", ""], []),
])
def test_what_may_come_next(place, words, expected):
    assert asked(*words) == expected


def test_nothing_is_started_and_nothing_of_the_files_is_read(place):
    os.mkfifo(place / "templates")
    assert asked("run", "-f", "templates", "touch {>made}", "ma") == ["made="]
    assert not (place / "made").exists()


# ------------------------------------------------------------------------------------------------ the shells


@pytest.mark.parametrize("line, words", [
    ("spile ", [""]),
    ("spile run --", ["run", "--"]),
    ("spile ask --", ["ask", "--"]),
    ("spile talk --", ["talk", "--"]),
    ("spile doctor --", ["doctor", "--"]),
    ("spile ask --parity ", ["ask", "--parity", ""]),
    (f"spile run '{TEMPLATE}' ", ["run", TEMPLATE, ""]),
    (f"spile run '{TEMPLATE}' in=", ["run", TEMPLATE, "in="]),
    (f"spile run '{TEMPLATE}' in=w", ["run", TEMPLATE, "in=w"]),
    (f"spile run '{TEMPLATE}' in=sub/", ["run", TEMPLATE, "in=sub/"]),
    ("spile  run  --json=wo", ["run", "--json=wo"]),
    ("spile talk pt", ["talk", "pt"]),
    ("spile talk fifo:s", ["talk", "fifo:s"]),
    ("spile doctor --require contained,pr", ["doctor", "--require", "contained,pr"]),
])
def test_a_shell_shows_what_the_command_knows(place, shell, line, words):
    found = asked(*words)
    assert shell(line) == found and found


# How each is started with nothing but the completion under test.
INTERACTIVE = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f". {SCRIPTS}/spile.bash"),
    "zsh": (["zsh", "-f", "-i"], f"fpath=({SCRIPTS} $fpath); autoload -U compinit; compinit -D -u"),
    "fish": (["fish", "--no-config", "-i"], f"source {SCRIPTS}/spile.fish"),
}


def test_the_tabulator_key(place, shell):
    words, setup = INTERACTIVE[shell.__name__]
    environment = os.environ | {"TERM": "dumb", "PS1": "$ ", "LC_ALL": "C.UTF-8"}
    screen = Screen(words, environment, columns=200)
    try:
        screen.type(setup + "; echo is' 'ready\n")
        screen.wait_raw("is ready")
        screen.type("spile ask --hel\t\n")
        screen.wait_raw("Endpoints: PATH")
        screen.type("spile run 'cat <{in} >{out}' in=wor\t out=-\n")
        screen.wait_raw("\ndrawn")
    finally:
        screen.close()


def test_they_are_installed_where_the_shells_look(installed):
    for path in ("bash-completion/completions/spile", "zsh/site-functions/_spile", "fish/vendor_completions.d/spile.fish"):
        assert list(installed.rglob(f"share/{path}")), path

"""What the README shows must work: its C compiles against an installed spile and runs, its commands run on real files."""
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import zipfile

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent
README = (SOURCE / "README.md").read_text()
CASE = SOURCE / "tests" / "cases" / "shared" / "g-cc65" / "inputs"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"not installed: {program}")


def only(paths):
    found = list(paths)
    assert len(found) == 1, found
    return found[0]


def test_c_example(installed, build, tmp_path):
    need("ca65", "pkg-config")
    if "address" in (build / "build.ninja").read_text().split("-fsanitize=")[-1][:20]:
        pytest.skip("a sanitized library needs a sanitized program")
    config = only(installed.rglob("spile.pc")).parent
    environment = os.environ | {"PKG_CONFIG_PATH": str(config), "PKG_CONFIG_SYSROOT_DIR": str(installed)}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "spile"], env=environment, capture_output=True, text=True,
                           check=True).stdout.split()
    (tmp_path / "example.c").write_text(only(blocks("c")) + """
int main(int argc, char **argv) {
    (void)argc;
    return assemble(argv[1], __builtin_strlen(argv[1]), stdout) >= 0 ? 0 : 1;
}
""")
    library = only(installed.rglob("libspile.so")).parent
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-std=c11", "example.c", "-o", "example", *flags,
                    f"-Wl,-rpath,{library}"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "example", " lda #1\n rts\n"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout[:4] == b"Uzna"  # the magic of its object files
    bad = subprocess.run([tmp_path / "example", " no such thing\n"], cwd=tmp_path, capture_output=True, text=True)
    assert bad.returncode == 1 and "ca65" in bad.stderr


def test_installed_command(installed, tmp_path):
    """The installed command finds its helper and needs no environment for it."""
    command = only(path for path in installed.rglob("bin/spile"))
    done = subprocess.run([command, "run", "--json=report", "tr a-z A-Z <{in} >{out}", "in=-", "out=-"], cwd=tmp_path,
                          input=b"quiet\n", capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"QUIET\n"), done.stderr
    assert b"spile-cell" not in done.stderr


def test_python_example(build, tmp_path):
    need("ca65", "ld65")
    environment = os.environ | {"PYTHONPATH": str(build / "python")}
    if subprocess.run(["/usr/bin/python3", "-c", "import spile"], env=environment, capture_output=True).returncode != 0:
        pytest.skip("no Python package in this build, or a sanitized one")
    config = (CASE / "mem.cfg").read_text()
    script = f"source, config = {(CASE / 'foo.s65').read_text()!r}, {config!r}\n" + only(blocks("python")) + "assert obj\n"
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", script], cwd=tmp_path, env=environment, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert "ca65" in done.stdout.split("Modules list", 1)[1]
    assert not os.listdir(tmp_path)


def examples():
    """Each command of the README's section for the shell, which has the last two blocks."""
    text = re.sub(r"\\\n\s*", "", "\n".join(blocks("sh")[-2:]))
    return [re.sub(r"\s+#.*", "", line) for line in text.splitlines() if line.startswith("spile run")]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "notes.md").write_text("# Notes\n")
    (tmp_path / "words.txt").write_text("b\na\nb\n")
    (tmp_path / "a.c").write_text('#include "a.h"\nint a(void) { return A; }\n')
    (tmp_path / "a.h").write_text("#define A 1\n")
    (tmp_path / "a.s").write_text(".globl _start\n_start: nop\n")
    (tmp_path / "log").write_text("".join(f"line {n} for $5 *\n" for n in range(9)))
    (tmp_path / "log.xz").write_bytes(lzma.compress(b"ERROR\nfine\nERROR\n"))
    (tmp_path / "in.ps").write_text("%!PS\nshowpage\n")
    with zipfile.ZipFile(tmp_path / "site.zip", "w") as site:
        site.writestr("site/index.html", "<p>\n")
    return tmp_path


@pytest.mark.parametrize("command", examples())
def test_shell_example(command, files, spile):
    need(*(word for word in re.findall(r"'(\w+) ", command) if word not in ("5",)))
    before = set(os.listdir(files))
    environment = os.environ | {"PATH": f"{pathlib.Path(spile).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], cwd=files, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " -n " in command or set(os.listdir(files)) != before or done.stdout


def rows():
    """The commands of the table of what others don't do, and what they are to say."""
    table = README.split("## What it does that others don't")[1].split("\n\n")[1]
    cells = [re.findall(r"`((?:[^`])*)`", line.replace("\\|", "|")) for line in table.splitlines()[2:]]
    assert all(len(row) == 2 for row in cells) and len(cells) > 5
    return cells


@pytest.mark.parametrize("command, says", rows(), ids=lambda text: text[:40])
def test_what_others_do_not(command, says, spile, tmp_path):
    need("ps")
    environment = os.environ | {"PATH": f"{pathlib.Path(spile).parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    if "--memory" in command and subprocess.run([spile, "run", "--require", "files", "true"], env=environment).returncode != 0:
        pytest.skip("here each file is limited by itself")
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    pattern = re.escape(says).replace("…\\ ", ".*").replace("\\ …", ".*")  # what it leaves out
    assert re.fullmatch(pattern, " ".join(done.stdout.split())), done


def test_first_screen(spile, tmp_path):
    need("ca65", "ld65")
    for name, source in {"main.s": "m.s65", "print.s": "foo.s65", "rom.cfg": "mem.cfg", "gfx.bin": "gfx.bin"}.items():
        shutil.copy(CASE / source, tmp_path / name)
    text = (tmp_path / "main.s").read_text().replace('.incbin "gfx.bin"', "nop")
    (tmp_path / "main.s").write_text(text)
    environment = os.environ | {"PATH": f"{pathlib.Path(spile).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", blocks("sh")[0]], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(os.listdir(tmp_path)) == {"main.s", "print.s", "rom.cfg", "gfx.bin", "game.bin", "game.map", "game.lbl"}


def test_demo_and_its_example(spile, build, tmp_path):
    need("ca65", "ld65", "sim65")
    environment = os.environ | {"SPILE": spile}
    done = subprocess.run([SOURCE / "examples" / "asm-link" / "build.sh", tmp_path], env=environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["primes.bin", "primes.lbl", "primes.map", "primes.txt"]
    primes = [n for n in range(2, 256) if all(n % d for d in range(2, n))]
    assert (tmp_path / "primes.txt").read_text().split() == [str(n) for n in primes]

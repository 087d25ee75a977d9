#!/usr/bin/python3
"""The slow reference: runs a case's commands one after the other on plain files in one plain directory.

A case's expected bytes are made by this and by nothing else: `reference.py CASE...` rewrites `expected/`,
`reference.py --check CASE...` only says whether they still come out. It must never start spile.
"""
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "TZ": "UTC",
    "SOURCE_DATE_EPOCH": "1700000000",
    "FORCE_SOURCE_DATE": "1",
}


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def statuses(case, count):
    """The exit status expected of each program."""
    return [int(line) for line in lines(case / "rc")] or [0] * count


def copy_inputs(case, directory):
    shutil.copytree(case / "inputs", directory, dirs_exist_ok=True)
    for path in [directory, *directory.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)  # whoever keeps the cases may keep them read-only


def run(case, directory):
    """Leaves in `directory` what the commands make of the inputs. Raises where one ends otherwise than expected."""
    copy_inputs(case, directory)
    commands = lines(case / "cmd")
    for command, status in zip(commands, statuses(case, len(commands)), strict=True):
        done = subprocess.run(shlex.split(command), cwd=directory, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                              capture_output=True)
        if done.returncode != status:
            raise RuntimeError(f"'{command}' ended with {done.returncode}, not {status}: {done.stderr!r}")


def outputs(case, directory):
    """The bytes of each output; a name that ends in '/' stands for every file under it."""
    found = {}
    for name in lines(case / "outputs"):
        paths = [directory / name] if not name.endswith("/") else sorted((directory / name).rglob("*"))
        for path in paths:
            if path.is_file():
                found[str(path.relative_to(directory))] = path.read_bytes()
    return found


def main():
    only_check = sys.argv[1:2] == ["--check"]
    failed = False
    for case in map(pathlib.Path, sys.argv[2 if only_check else 1:]):
        with tempfile.TemporaryDirectory() as directory:
            run(case, pathlib.Path(directory))
            made = outputs(case, pathlib.Path(directory))
        if only_check:
            if made != outputs(case, case / "expected"):
                print(f"{case}: other bytes than recorded")
                failed = True
            continue
        shutil.rmtree(case / "expected", ignore_errors=True)
        for name, data in made.items():
            path = case / "expected" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return failed


if __name__ == "__main__":
    sys.exit(main())

"""A program that changes a file in place and one that reads the version before it may run at the same time: each has its own."""
import os
import subprocess


def test_a_reader_keeps_its_version_while_another_changes_it(spile, tmp_path):
    (tmp_path / "text").write_text("old\n")
    changed = tmp_path / "changed"
    os.mkfifo(changed)
    done = subprocess.run(
        [spile, "run", "--jobs", "2", "--timeout", "60", "-v", f"fifo={changed}",
         # reads only once the other has changed its copy
         """sh -c 'read -r _ <"$3"; cat "$1" >"$2"' sh {<text} {>before} {fifo}""",
         """sh -c 'echo new >"$1"; echo done >"$2"' sh {<>text} {fifo}"""],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "before").read_text() == "old\n"
    assert (tmp_path / "text").read_text() == "new\n"

#!/usr/bin/python3
"""Much data through Python: by spile's package, and by what one writes by hand.

    [PYTHONPATH=BUILD/python] python_streams.py KIND FLOW BYTES

Does one KIND once, with bytes that bench/flow makes and looks at, and prints how many nanoseconds it took.
"""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time

CHUNK = 64 << 10


def through_a_thread(flow: str, size: int) -> None:
    """Reads one FIFO and writes another."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        ends = [f"{directory}/from", f"{directory}/to"]
        for path in ends:
            os.mkfifo(path)

        def relay() -> None:
            with open(ends[0], "rb", buffering=0) as source, open(ends[1], "wb", buffering=0) as target:
                while data := source.read(CHUNK):
                    while data:
                        data = data[target.write(data):]

        thread = threading.Thread(target=relay)
        thread.start()
        programs = [subprocess.Popen([flow, "write", ends[0], str(size)]),
                    subprocess.Popen([flow, "read", ends[1], str(size)])]
        for program in programs:
            assert program.wait() == 0
        thread.join()


def captured_by_subprocess(flow: str, size: int) -> int:
    return len(subprocess.run([flow, "write", "-", str(size)], stdout=subprocess.PIPE, check=True).stdout)


def captured_stream(flow: str, size: int) -> int:
    import spile

    return len(spile.run([flow, "write", "{>out|}", str(size)])["out"])


def captured_buffer(flow: str, size: int) -> int:
    import spile

    return len(spile.run([flow, "write", "{>out|}", str(size)]).buffer("out"))


def captured_standard_output(flow: str, size: int) -> int:
    import spile

    return len(spile.run([flow, "write", "-", str(size)]).stdout)


KINDS = {
    "python-threads": through_a_thread,
    "python-subprocess": captured_by_subprocess,
    "python-stream": captured_stream,
    "python-stream-buffer": captured_buffer,
    "python-standard-output": captured_standard_output,
}


def main() -> None:
    kind, flow, size = KINDS[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    if kind is not through_a_thread:
        kind(flow, 1)
    begin = time.perf_counter_ns()
    brought = kind(flow, size)
    took = time.perf_counter_ns() - begin
    assert brought in (None, size), brought
    print(sys.argv[1], took)


if __name__ == "__main__":
    main()

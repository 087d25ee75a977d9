#!/usr/bin/python3
"""A make-believe instrument, to talk with where there is none.

    meter.py PATH       on a terminal that the link PATH leads to, until it is ended
    meter.py            on standard input and output

It answers *IDN?, MEAS? (a voltage), SLOW? (a second later), and says ERR to everything else.
"""
import os
import pty
import sys
import time
import tty


def serve(read: int, write: int) -> None:
    volts = 12.0
    with open(read, closefd=False) as lines:
        for line in iter(lines.readline, ""):
            question = line.strip()
            if question == "SLOW?":
                time.sleep(1)
            volts += 0.5 if question == "MEAS?" else 0
            answers = {"*IDN?": "Barrels,Meter,4711,1.0", "MEAS?": f"{volts:.1f} V", "SLOW?": "late"}
            os.write(write, (answers.get(question, f"ERR unknown: {question}") + "\n").encode())


def main() -> None:
    if len(sys.argv) < 2:
        serve(0, 1)
        return
    device, terminal = pty.openpty()  # the terminal stays open here, so nobody who leaves ends it
    tty.setraw(terminal)
    os.symlink(os.ttyname(terminal), sys.argv[1])
    try:
        serve(device, device)
    finally:
        os.unlink(sys.argv[1])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass

"""A terminal with somebody at it: what a program prints on it stands on a screen, and keys can be typed."""
import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

PATIENCE = 20


class Screen:
    def __init__(self, words, environment, columns=80, rows=24):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column = [""], 0, 0
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self.raw, self.rest = b"", ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.process = subprocess.Popen(words, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=environment,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self):
        if self.master < 0:
            return
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
        self.master = -1

    def type(self, keys):
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def show(self):
        return [line.rstrip() for line in self.lines]

    def read_until(self, is_there, what):
        deadline = time.monotonic() + PATIENCE
        while not is_there():
            assert select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0], (what, self.show(), self.raw)
            self.take(os.read(self.master, 1 << 16))

    def wait(self, *lines):
        """Until the screen's last lines are these; what the cursor stands on counts, too."""
        self.read_until(lambda: self.show()[-len(lines):] == list(lines), lines)

    def wait_raw(self, pattern):
        self.read_until(lambda: re.search(pattern.encode(), self.raw), pattern)

    def wait_end(self):
        """What it exits with; the terminal must be as it was before."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.01)[0]:
                self.take(os.read(self.master, 1 << 16))
            assert time.monotonic() < deadline, self.show()
        while select.select([self.master], [], [], 0)[0]:
            self.take(os.read(self.master, 1 << 16))
        assert termios.tcgetattr(self.slave) == self.before
        return self.process.returncode

    def put(self, character):
        if self.column == self.columns:
            self.row, self.column = self.row + 1, 0
        while len(self.lines) <= self.row:
            self.lines.append("")
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[:self.column] + character + line[self.column + 1:]
        self.column += 1

    def control(self, number, letter):
        line = self.lines[self.row] if self.row < len(self.lines) else ""
        if letter == "A":
            self.row = max(0, self.row - number)
        elif letter == "C":
            self.column += number
        elif letter == "D":
            self.column -= number
        elif letter == "G":
            self.column = number - 1
        elif letter in "JK":
            self.lines[self.row:self.row + 1] = [line[:self.column]]
            if letter == "J":
                del self.lines[self.row + 1:]
        elif letter == "P":
            self.lines[self.row] = line[:self.column] + line[self.column + number:]
        elif letter == "@":
            self.lines[self.row] = (line[:self.column] + " " * number + line[self.column:])[:self.columns]
        else:
            assert letter in "mhl", letter

    def take(self, data):
        """What libedit uses of a terminal, and no more."""
        self.raw += data
        text, self.rest = self.rest + self.decoder.decode(data), ""
        broken = re.search(r"\x1b(\[[0-9;?]*)?\Z", text)
        if broken:
            self.rest, text = text[broken.start():], text[:broken.start()]
        for match in re.finditer(r"\x1b\[([0-9;?]*)([A-Za-z@])|(.)", text, re.DOTALL):
            number, letter, character = match.groups()
            if letter:
                self.control(int(number) if number.isdigit() else 1 if letter in "ACDGP@" else 0, letter)
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif character == "\b":
                self.column = min(self.column, self.columns) - 1
            elif character != "\a":
                self.put(character)

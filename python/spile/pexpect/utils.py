"""Commands, their words and where they are; waiting for descriptors."""
from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping
from typing import Any


def is_executable_file(path: str) -> bool:
    """Whether it is a regular file, or a link to one, that may be executed."""
    path = os.path.realpath(path)
    return os.path.isfile(path) and os.access(path, os.X_OK)


def which(filename: str, env: Mapping[str, str] | None = None) -> str | None:
    """The path of a command, looked for in PATH of `env`; None where there is none."""
    if os.path.dirname(filename) and is_executable_file(filename):
        return filename
    search = (os.environ if env is None else env).get("PATH") or os.defpath
    for directory in search.split(os.pathsep):
        path = os.path.join(directory, filename)
        if is_executable_file(path):
            return path
    return None


def split_command_line(command_line: str) -> list[str]:
    """The words of a command: quotes and backslashes as in pexpect, and nothing else of a shell."""
    words: list[str] = []
    word, quote = "", ""
    is_escaped = is_between = False
    for character in command_line:
        if is_escaped:
            word += character
            is_escaped = False
        elif quote:
            if character == quote:
                quote = ""
            else:
                word += character
        elif character == "\\":
            is_escaped, is_between = True, False
        elif character in "'\"":
            quote, is_between = character, False
        elif character.isspace():
            if not is_between:
                words.append(word)
                word = ""
            is_between = True
        else:
            word += character
            is_between = False
    if word:
        words.append(word)
    return words


def wait_readable(fd: int, timeout: float | None) -> bool:
    """Whether there is something to read, or an end, within so many seconds; None: as long as it takes. Signals are handled
    meanwhile and end nothing."""
    poller = select.poll()
    poller.register(fd, select.POLLIN | select.POLLPRI)
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if until is None else max(until - time.monotonic(), 0)
        if poller.poll(None if left is None else left * 1000):
            return True
        if left is not None and until is not None and time.monotonic() >= until:
            return False


def wait_exit(pid: int, timeout: float | None) -> bool:
    """Whether a child ends within so many seconds; it stays to be waited for."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        return wait_readable(fd, timeout)
    finally:
        os.close(fd)


def select_ignore_interrupts(iwtd: Any, owtd: Any, ewtd: Any, timeout: float | None = None) -> Any:
    """select, which signals do not interrupt any more."""
    return select.select(iwtd, owtd, ewtd, timeout)


def poll_ignore_interrupts(fds: list[int], timeout: float | None = None) -> list[int]:
    """Those that are readable within so many seconds."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN | select.POLLPRI)
    return [fd for fd, _ in poller.poll(None if timeout is None else timeout * 1000)]

#!/usr/bin/python3
"""What goes wrong with named pipes, each as a call that just works.

    traps.py                prints each trap and that it is none
"""
from __future__ import annotations

from collections.abc import Callable

import spile

BIG = bytes(range(256)) * 4096  # 1 MB: sixteen times a pipe's capacity


def open_order() -> bool:
    """Two inputs, opened in either order."""
    forward = spile.run("sh -c 'cat a b >out' {+<a} {+<b} {+>out}", files={"a": b"1", "b": b"2"})
    backward = spile.run("sh -c 'cat b a >out' {+<a} {+<b} {+>out}", files={"a": b"1", "b": b"2"})
    return forward["out"] == b"12" and backward["out"] == b"21"


def output_opened_first() -> bool:
    """The output is opened before the input."""
    return spile.run("""sh -c 'exec 3>out; cat in >&3' {+<in} {+>out}""", files={"in": b"1"})["out"] == b"1"


def large_input() -> bool:
    """An input above a pipe's capacity, of which the program reads little."""
    return spile.run("head -c 3 {<in}", files={"in": BIG}).stdout == BIG[:3]


def large_output() -> bool:
    """An output above a pipe's capacity, beside another one."""
    copies = spile.run("tee {>one} {>two}", stdin=BIG, stdout=spile.NULL)
    return copies["one"] == copies["two"] == BIG


def close_and_reopen() -> bool:
    """A file that is opened again after it was closed, for reading and for writing."""
    reopen = "sh -c 'head -c 1 in >out; cat in >>out' {+<in} {+>out}"
    return spile.run(reopen, files={"in": b"123"})["out"] == b"1123"


def seek() -> bool:
    """Programs that jump about in their files."""
    read = spile.run("tail -c 3 {<in}", files={"in": BIG}).stdout
    write = spile.run("dd if={<in} of={>out} bs=1 seek=4 status=none", files={"in": b"end"})["out"]
    return read == BIG[-3:] and write == b"\0\0\0\0end"


def read_and_written() -> bool:
    """One file that is read and written: marked so."""
    return spile.run("sed -i s/old/new/ {<>text}", files={"text": "old\n"})["text"] == b"new\n"


def fails_before_it_opens() -> bool:
    """A program that ends before it opened anything."""
    try:
        spile.run("sh -c 'echo syntax error >&2; exit 1' {+<in} {+>out}", files={"in": BIG})
    except spile.ProgramError as error:
        return error.stderr == b"syntax error\n"
    return False


TRAPS: tuple[Callable[[], bool], ...] = (
    open_order, output_opened_first, large_input, large_output, close_and_reopen, seek, read_and_written,
    fails_before_it_opens,
)

if __name__ == "__main__":
    for trap in TRAPS:
        print(f"{'works' if trap() else 'FAILS'}: {trap.__doc__}")

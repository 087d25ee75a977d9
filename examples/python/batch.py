#!/usr/bin/python3
"""Compresses each file it is given, several at a time, and says how much that saved.

    batch.py FILE...
"""
from __future__ import annotations

import sys
from pathlib import Path

import spile

compress = spile.function("gzip -9n <{plain} >{compressed}", name="compress")

if __name__ == "__main__":
    paths = [Path(name) for name in sys.argv[1:]]

    def progress(done: int, total: int | None) -> None:
        print(f"\r{done}/{total}", end="\n" if done == total else "", file=sys.stderr)

    for path, compressed in zip(paths, compress.map(paths, progress=progress)):
        print(f"{path}: {path.stat().st_size} -> {len(compressed)} bytes")

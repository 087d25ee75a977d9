"""Cells: made anew, kept warm, with limits, by each containment; bare, and in bubblewrap; from a host with much memory in use."""
from __future__ import annotations

import shutil

from table import Part, Round, Row, Setting, run_measuring


def measure(setting: Setting) -> tuple[list[Round], str]:
    rounds, turns = (3, 40) if setting.is_quick else (7, 150)
    measured = []
    for _ in range(rounds):
        medians: Round = {}
        for megabytes, mark in ((0, ""), (2048, "-2gb")):
            found = run_measuring([setting.program("cells"), setting.program("tiny"), shutil.which("bwrap") or "", turns,
                                   megabytes])
            medians |= {name + mark: median for name, median in found.items()}
        # What a machine refuses has no figure: not a number.
        measured.append({row.name: float("nan") for row in CELLS.rows} | medians)
    return measured, f"{rounds} rounds of {turns} turns"


CELLS = Part("Cells: a call of `tiny` without files", [
    Row("bare vfork + exec + wait of `tiny` (the unit)", "unit"),
    Row("a warm cell", "warm-namespace", "unit", "≤ 2.5"),
    Row("a warm cell, with limits of time and files", "warm-limits", "unit"),
    Row("a warm cell, with limits of memory, processes and open files", "warm-groups", "unit"),
    Row("a cold cell: context, call, context freed", "cold-namespace", "unit", "≤ 15"),
    Row("by fallback: a reaper, warm", "warm-reaper", "unit"),
    Row("by fallback: a reaper, cold", "cold-reaper", "unit"),
    Row("by fallback: none", "warm-none", "unit"),
    Row("`bwrap --die-with-parent --unshare-pid --tmpfs`", "bwrap", "unit"),
    Row("that against a warm cell", "bwrap", "warm-namespace", "≥ 5"),
    Row("a warm cell from a host with 2 GB resident, against a small one", "warm-namespace-2gb", "warm-namespace", "1"),
    Row("a cold cell from a host with 2 GB resident, against a small one", "cold-namespace-2gb", "cold-namespace", "1"),
], measure)

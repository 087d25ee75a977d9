"""A host for tests/chaos: threads that call hostile programs, one after the other, until it is killed. Prints "go" when the first
call begins, and a line for each call that ended."""
import os
import random
import sys
import threading

import spile

KINDS = ["bomb", "daemons", "filler", "files", "memory", "stopped", "zombies", "fifo", "ipc"]


def attack(build, context, found, seed):
    chance = random.Random(seed)
    held = {name for name, finding in found.promises.items() if finding.holds}
    possible = KINDS if "contained" in held else KINDS[:-1]  # objects without a process stay without a namespace of theirs
    while True:
        kinds = chance.sample(possible, chance.choice([1, 1, 2]))
        limits = spile.Limits(
            memory=chance.choice([None, 1 << 20, 4 << 20]),
            open_files=chance.choice([None, 16, 256]),
            processes=chance.choice([None, 12, 40]) if "processes" in held else None,
            program_memory=chance.choice([None, 24 << 20, 64 << 20]),
            cpu=chance.choice([None, 1]))
        programs = [f"{build}/tests/hostile {kind}" for kind in kinds]
        try:
            spile.run(*programs, limits=limits, timeout=chance.random() * 0.3 + 0.01, grace=chance.choice([0.01, 0.2]),
                      keep_terminal=chance.random() < 0.3, context=context)
        except spile.CallError:
            pass  # a limit, its time, or a supervisor that was killed
        os.write(1, b"\n")


def main():
    build, containment, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    context = spile.Context(containment)
    found = spile.doctor(context)
    os.write(1, b"go\n")
    for number in range(1, 3):
        threading.Thread(target=attack, args=(build, context, found, seed + number), daemon=True).start()
    attack(build, context, found, seed)


main()

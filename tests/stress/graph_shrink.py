"""Makes a graph that fails small: takes away what it fails without, until nothing more can go."""
from __future__ import annotations

import copy
import time

from graph_oracle import Invalid, LeftOpen, expect

TRIES = 6  # a race does not show every time
LONGEST_SECONDS = 120


def is_graph(graph):
    try:
        expect(graph)
    except (LeftOpen, Invalid, LookupError, ValueError, TypeError):
        return False
    return True


def shrink(graph, fails):
    """The smallest graph found that fails, and how it did. `fails` runs one and returns what was wrong."""
    deadline = time.monotonic() + LONGEST_SECONDS

    def still(candidate):
        for _ in range(TRIES):
            if wrong := fails(candidate):
                return wrong
        return []

    best = still(graph)
    is_smaller = bool(best)
    while is_smaller and time.monotonic() < deadline:
        is_smaller = False
        for candidate in smaller(graph):
            if time.monotonic() > deadline:
                break
            if is_graph(candidate) and (wrong := still(candidate)):
                graph, best, is_smaller = candidate, wrong, True
                break
    return graph, best


def smaller(graph):
    yield from (without_program(graph, i) for i in reversed(range(len(graph.programs))) if len(graph.programs) > 1)
    yield from (without_file(graph, name) for name in graph.files)
    for i in range(len(graph.programs)):
        for steps in all_steps(graph.programs[i].steps):
            yield with_steps(graph, i, steps)
    yield from simpler(graph)


def without_labels(steps, labels):
    left = []
    for step in steps:
        if step[0] == "fork":
            left.append((*step[:2], without_labels(step[2], labels)))
        elif not labels.intersection(word for word in step[1:] if isinstance(word, str)):
            left.append(step)
    return left


def labels_of(steps, names):
    """The labels of descriptors of these files."""
    found = set()
    for step in steps:
        if step[0] == "open" and step[2] in names:
            found.add(step[1])
        elif step[0] == "dup" and step[2] in found:
            found.add(step[1])
        elif step[0] == "fork":
            found |= labels_of(step[2], names)
    return found


def without_file(graph, name):
    graph = copy.deepcopy(graph)
    del graph.files[name]
    for program in graph.programs:
        labels = labels_of(program.steps, {name})
        for number, tied in ((0, program.stdin), (1, program.stdout)):
            if tied == name:
                labels |= {step[1] for step in program.steps if step[0] == "standard" and step[2] == number}
        program.steps = without_labels(program.steps, labels)
        program.reads = [other for other in program.reads if other != name]
        program.writes = [other for other in program.writes if other != name]
        program.stdin = None if program.stdin == name else program.stdin
        program.stdout = None if program.stdout == name else program.stdout
        program.mortal = program.mortal and bool(program.writes)
    return graph


def without_program(graph, i):
    graph = copy.deepcopy(graph)
    gone = graph.programs[i]
    del graph.programs[i]
    for name in gone.writes:
        graph = without_file(graph, name)
    for name in gone.reads:
        file = graph.files[name]
        if not graph.readers(name) and file.source:
            del graph.files[name]
        elif not graph.readers(name) and not file.sink:
            file.kind, file.sink = "stream" if file.kind != "file" else "file", "memory"
    return graph


def all_steps(steps):
    """The steps with one of them gone or made smaller."""
    for i, step in enumerate(steps):
        before, after = steps[:i], steps[i + 1:]
        if step[0] in ("open", "standard", "dup"):
            yield without_labels(before + after, {step[1]})
        else:
            yield before + after
        if step[0] == "fork":
            yield from ([*before, (*step[:2], inner), *after] for inner in all_steps(step[2]))
        yield from ([*before, other, *after] for other in smaller_step(step))


def smaller_step(step):
    if step[0] in ("put", "take") and step[-2]:
        for count in (1, 100, step[-2] // 2):
            if count < step[-2]:
                yield (*step[:-2], count, step[-1])
    if step[0] in ("put", "take", "pass") and step[-1] != 65536:
        yield (*step[:-1], 65536)


def with_steps(graph, i, steps):
    graph = copy.deepcopy(graph)
    graph.programs[i].steps = copy.deepcopy(steps)
    return graph


def simpler(graph):
    def changed(change):
        other = copy.deepcopy(graph)
        change(other)
        return other

    if graph.limit is not None:
        yield changed(lambda other: setattr(other, "limit", None))
    if graph.jobs:
        yield changed(lambda other: setattr(other, "jobs", 0))
    for name, file in graph.files.items():
        if file.kind == "direct":
            yield changed(lambda other, name=name: setattr(other.files[name], "kind", "stream"))
        if file.source and file.source[2] > 1:
            yield changed(lambda other, name=name: setattr(other.files[name], "source", (*file.source[:2], file.source[2] // 2)))
        if file.sink and file.sink != "memory":
            yield changed(lambda other, name=name: setattr(other.files[name], "sink", "memory"))
        if file.sink and graph.readers(name) and file.kind == "stream":
            yield changed(lambda other, name=name: setattr(other.files[name], "sink", None))

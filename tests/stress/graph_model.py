"""What a random graph is: programs of steps, the files between them, and how both are written for a call.

A step is a tuple whose first word says what it does; descriptors have labels, which are unique in a program:

  ("open", label, name)                  for reading or writing, as the program's file says
  ("standard", label, 0 or 1)            the descriptor that it was started with
  ("dup", label, of)
  ("close", label)
  ("put", label, place, count, chunk)    that part of the pattern
  ("take", label, count or None, chunk)  None: to the end
  ("pass", label, to, count or None, chunk)
  ("fork", child, steps) | ("wait",)     waits for every child
  ("doze", microseconds) | ("exit", status) | ("signal", number)

A program that is not `mortal` ignores SIGPIPE: what it writes where nobody reads any more is lost and it goes on.
"""
from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, field

ALL = 1 << 40
PATTERN_BYTES = 6 << 20
LARGEST_CHUNK = 1 << 20

_words = ((i + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF for i in range(PATTERN_BYTES // 8))
PATTERN = b"".join(word.to_bytes(8, "little") for word in _words)


@dataclass
class File:
    """`kind`: stream, direct, bar, or file (a seekable one). `source`: (way, place, count); `sink`: a way.

    Ways: memory, path, pipe, callback; for a sink also slow, a pipe that is not read at first.
    """

    kind: str
    source: tuple[str, int, int] | None = None
    sink: str | None = None
    optional: bool = False


@dataclass
class Program:
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    stdin: str | None = None
    stdout: str | None = None
    ok: tuple[int, ...] = (0,)
    mortal: bool = False
    steps: list = field(default_factory=list)


@dataclass
class Graph:
    programs: list[Program]
    files: dict[str, File]
    limit: int | None = None
    jobs: int = 0
    door: str = "command"

    def writer(self, name):
        return next((i for i, program in enumerate(self.programs) if name in program.writes), None)

    def readers(self, name):
        return [i for i, program in enumerate(self.programs) if name in program.reads]

    def groups(self):
        """The number of each program's group: those that run at the same time."""
        group = list(range(len(self.programs)))
        for name, file in self.files.items():
            ends = [i for i, program in enumerate(self.programs) if name in program.reads + program.writes]
            for other in ends[1:] if file.kind != "file" else ():
                group = [group[ends[0]] if number == group[other] else number for number in group]
        return group

    def chains(self):
        """Programs that are joined by bars, together."""
        chains, joined = [], False
        for i, program in enumerate(self.programs):
            chains = [*chains[:-1], [*chains[-1], i]] if joined else [*chains, [i]]
            joined = program.stdout is not None and self.files[program.stdout].kind == "bar"
        return chains

    def to_json(self):
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        fields = json.loads(text)
        fields["programs"] = [Program(**program) for program in fields["programs"]]
        for program in fields["programs"]:
            program.steps, program.ok = as_tuples(program.steps), tuple(program.ok)
        fields["files"] = {name: File(**file) for name, file in fields["files"].items()}
        for file in fields["files"].values():
            file.source = tuple(file.source) if file.source else None
        return cls(**fields)


def as_tuples(steps):
    return [tuple(as_tuples(word) if isinstance(word, list) else word for word in step) for step in steps]


# ------------------------------------------------------------------------------------------------ as templates


def _words_of(steps, program, files, slots, used):
    words = []

    def new(label):
        slots[label] = slots["count"]
        slots["count"] += 1

    for step in steps:
        kind, *rest = step
        if kind == "open":
            label, name = rest
            bar = "" if files[name].kind == "file" else "|"
            used.add(name)
            verb = "read" if name in program.reads else "write" if bar else "create"
            words += [verb, f"{{{'<' if verb == 'read' else '>'}{name}{bar}}}"]
            new(label)
        elif kind == "standard":
            words += ["standard", rest[1]]
            new(rest[0])
        elif kind == "dup":
            words += ["dup", slots[rest[1]]]
            new(rest[0])
        elif kind == "put":
            words += ["send", slots[rest[0]], *rest[1:]]
        elif kind == "take":
            words += ["take", slots[rest[0]], ALL if rest[1] is None else rest[1], rest[2]]
        elif kind == "pass":
            words += ["pass", slots[rest[0]], slots[rest[1]], ALL if rest[2] is None else rest[2], rest[3]]
        elif kind == "close":
            words += ["close", slots[rest[0]]]
        elif kind == "fork":
            words += ["fork", rest[0], *_words_of(rest[1], program, files, dict(slots), used), "forked"]
        else:
            words += step
    return words


def templates(graph, actor):
    """The templates of the graph, programs joined by bars in one."""
    texts = []
    for program in graph.programs:
        used = set()
        words = [actor] if program.mortal else [actor, "deaf"]
        words += _words_of(program.steps, program, graph.files, {"count": 0}, used)
        for name, mark in ((program.stdin, "<"), (program.stdout, ">")):
            if name and graph.files[name].kind != "bar":
                words.append(f"{mark}{{{name}|}}")
                used.add(name)
        for name in program.reads + program.writes:
            bar = "" if graph.files[name].kind == "file" else "|"
            if name not in used and graph.files[name].kind != "bar":
                words.append(f"{{+{'<' if name in program.reads else '>'}{name}{bar}}}")
        texts.append(" ".join(map(str, words)))
    return [" | ".join(texts[i] for i in chain) for chain in graph.chains()]


def as_command(graph, actor):
    """The words of `spile` for it, but for where inputs come from and outputs go."""
    words = ["run"]
    if graph.limit is not None:
        words += ["--memory", str(graph.limit)]
    if graph.jobs:
        words += ["--jobs", str(graph.jobs)]
    for name, file in graph.files.items():
        words += ["--direct", name] if file.kind == "direct" else []
        words += ["--optional", name] if file.optional else []
    for i, program in enumerate(graph.programs):
        if program.ok != (0,):
            words += ["--ok-status", f"{i + 1}:{','.join(map(str, program.ok))}"]
    return words + templates(graph, actor)


def as_text(graph, actor):
    """To be read, and nearly to be run."""
    ends = [f"# {name}: {file.kind}, from {file.source}, to {file.sink}" for name, file in graph.files.items()]
    return "\n".join([*ends, " ".join(["spile", *map(shlex.quote, as_command(graph, actor))])])

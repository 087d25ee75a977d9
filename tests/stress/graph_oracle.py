"""What must come of a random graph, worked out without spile.

The programs are run here as a network of processes joined by queues (a Kahn network): each step is done in memory, one process
after the other, until nobody can go on. What such a network computes does not depend on who runs when, so one order is enough.

Taken as given, from the design:

- A stream keeps everything in order, and each program that reads it gets all of it.
- Nothing is lost for want of room: a window grows where all stands still, up to the call's memory limit.
- A stream has ended when its writer's program has exited and no process holds an open of it. Where all stands still, one is taken
  to have ended whose opens are all closed, or whose program has exited.
- A reader that closes what it has read from needs nothing more, one that exits neither; where nobody does, writing fails with
  EPIPE.
- An open that took nothing does not count. A source that is held (memory, a regular file) is read again from its start; opening
  anything else again after taking from it, or while it is still open, is an error, and so is opening an output again after its end
  was decided.
- A program that was to write a stream and ended well without opening it is an error, unless the stream is optional.
- Groups of programs start together, and when the seekable files that they read are complete.
- What is left waiting when nothing of this can help is a standstill, and told as such.

Where the outcome could depend on who comes first, the script is no test: LeftOpen is raised, and the generator tries another one.
What could is found in two ways: by rules here (two processes at one descriptor without a wait between them, two opens of an
output written by turns, a child that nobody waits for and that reads, ...), and by computing everything again with windows of
one page that grow one at a time, and with ends that are decided one at a time: every outcome must be the same.
"""
from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from graph_model import LARGEST_CHUNK, PATTERN, templates

PIPES_BYTES = (2 << 20) + (256 << 10)  # the most that a relayed stream holds beside its window
FIRST_WINDOW = 256 << 10
PAGE = 4096


class LeftOpen(Exception):
    """The design does not say what comes of it."""


class Invalid(Exception):
    """It is no graph."""


@dataclass(eq=False)
class Open:
    stream: Stream
    program: int
    is_read: bool
    place: int = 0
    refs: int = 0
    is_fault: bool = False  # an open that can't be served
    has_written: bool = False
    last_use: tuple[int, int] = (-1, 0)
    closes: list[tuple[int, int]] = field(default_factory=list)


@dataclass(eq=False)
class Reader:
    opens: list[Open] = field(default_factory=list)
    is_finished: bool = False
    is_exited: bool = False


@dataclass(eq=False)
class Stream:
    name: str
    kind: str
    writer: int | None
    is_held: bool
    is_optional: bool
    has_sink: bool
    data: bytearray
    readers: dict[int, Reader]
    capacity: float
    is_ended: bool = False
    opens: list[Open] = field(default_factory=list)
    last_write: tuple[int, int] = (-1, 0)

    @property
    def refs(self):
        return sum(one.refs for one in self.opens)

    def is_refused(self):
        return not self.has_sink and bool(self.readers) and all(r.is_finished or r.is_exited for r in self.readers.values())

    def room(self):
        if self.kind == "file":
            return float("inf")
        places = [r.opens[-1].place if r.opens else 0 for r in self.readers.values() if not (r.is_finished or r.is_exited)]
        return self.capacity - (len(self.data) - min(places)) if places else float("inf")


@dataclass(eq=False)
class Process:
    number: int
    program: int
    name: str
    steps: list
    parent: Process | None
    labels: dict[str, Open]
    clock: dict[int, int]
    index: int = 0
    is_begun: bool = False  # the step that is being done
    left: int | None = None  # of it; None: to the end
    sum: int = 0
    is_ended: bool = False
    is_reaped: bool = False
    is_stuck: bool = False
    blocked_at: Stream | None = None
    children: list[Process] = field(default_factory=list)
    has_opened_or_read: bool = False
    was_left: bool = False
    start: int = 0
    written: set[str] = field(default_factory=set)


@dataclass
class Outcome:
    """`failures`: (kind, exit status) of whatever fails; `logs`: what each process tells."""

    failures: set[tuple[str, int]]
    is_deadlock: bool
    lacks_room: bool
    data: dict[str, bytes]  # of what comes out
    total: int  # of bytes in all files
    logs: dict[tuple[int, str], list[str]]
    statuses: dict[int, int]
    has_decided: bool  # an end, all standing still
    opens: dict[str, tuple[int, int]]  # for writing: those that wrote, which must have been told apart, and all of them

    def same(self, other):
        return (self.failures, self.is_deadlock, self.data, self.logs, self.statuses) == (
            other.failures, other.is_deadlock, other.data, other.logs, other.statuses)


class Run:
    """The graph, run with one policy."""

    def __init__(self, graph, capacity=float("inf"), grows=False, ends=slice(None), backwards=False):
        self.graph, self.grows, self.ends, self.backwards = graph, grows, ends, backwards
        self.failures, self.logs, self.statuses = set(), {}, {}
        self.group = graph.groups()
        self.streams = {name: self.make_stream(name, file, capacity) for name, file in graph.files.items()}
        self.processes = []
        self.started = set()
        self.is_deadlock = self.lacks_room = self.has_decided = False

    def make_stream(self, name, file, capacity):
        writer = self.graph.writer(name)
        data = bytearray()
        if file.source:
            _, place, count = file.source
            data += PATTERN[place:place + count]
        readers = {program: Reader() for program in self.graph.readers(name)}
        is_held = file.kind == "file" or bool(file.source) and file.source[0] in ("memory", "path")
        return Stream(name, file.kind, writer, is_held, file.optional, bool(file.sink), data, readers, capacity,
                      is_ended=writer is None)

    # ------------------------------------------------------------------------------------------ who starts when

    def can_start(self, group):
        for i in (i for i, number in enumerate(self.group) if number == group):
            for name in self.graph.programs[i].reads:
                writer = self.streams[name].writer
                if self.streams[name].kind != "file" or writer is None:
                    continue
                if self.statuses.get(writer) not in self.graph.programs[writer].ok:
                    return False
        return True

    def start_groups(self):
        for group in sorted(set(self.group) - self.started):
            if not self.can_start(group):
                continue
            self.started.add(group)
            for i, number in enumerate(self.group):
                if number == group:
                    self.start(i)

    def start(self, i):
        program = self.graph.programs[i]
        process = Process(len(self.processes), i, "main", program.steps, None, {}, {})
        self.processes.append(process)
        for name, label in ((program.stdin, 0), (program.stdout, 1)):
            if name:
                self.open(process, label, name)
        process.has_opened_or_read = False

    # ----------------------------------------------------------------------------------------- descriptors

    def use(self, process, one):
        """Two processes may use the same open only one after the other."""
        user, time = one.last_use
        if user >= 0 and process.clock.get(user, 0) < time:
            raise LeftOpen("two processes use one descriptor")
        one.last_use = process.number, process.clock[process.number]

    def follows(self, process, when):
        if when[0] >= 0 and process.clock.get(when[0], 0) < when[1]:
            raise LeftOpen("two processes use one stream")

    def open(self, process, label, name):
        process.clock.setdefault(process.number, 0)
        stream, i = self.streams[name], process.program
        process.has_opened_or_read = True
        if process.was_left:
            raise LeftOpen("a child that nobody waits for opens a file")
        if name in self.graph.programs[i].reads:
            return self.open_to_read(process, label, stream)
        if i != stream.writer:
            raise Invalid(f"{name} is not its file")
        one = Open(stream, i, False)
        for other in stream.opens:
            self.follows(process, other.last_use)
        self.follows(process, stream.last_write)
        if stream.kind == "file" and stream.opens:
            raise LeftOpen("a file is written twice")
        if stream.is_ended:
            return self.fail(process, "stream")
        stream.opens.append(one)
        return self.put_in(process, label, one)

    def open_to_read(self, process, label, stream):
        reader = stream.readers[process.program]
        for other in reader.opens:
            for when in (other.last_use, *other.closes):
                self.follows(process, when)
            if other.refs and not other.place or other.refs and not stream.is_held and other not in process.labels.values():
                raise LeftOpen("a second open while the first may not be known, or closed")
        if reader.opens and stream.kind == "direct":
            raise LeftOpen("a direct stream is read twice")
        if reader.opens and self.graph.programs[process.program].stdin == stream.name:
            raise LeftOpen("standard input is opened by the name of its stream, too")
        one = Open(stream, process.program, True)
        one.is_fault = not stream.is_held and (reader.is_finished or any(other.refs for other in reader.opens))
        reader.opens.append(one)
        return self.put_in(process, label, one)

    def put_in(self, process, label, one):
        if label in process.labels:
            raise Invalid(f"the label {label} twice")
        process.labels[label] = one
        one.refs += 1
        one.last_use = process.number, process.clock[process.number]
        return True

    @staticmethod
    def name_standard(process, label, number):
        """It is that descriptor itself, and no second one."""
        if number not in process.labels or label in process.labels:
            raise Invalid("no such standard stream")
        process.labels[label] = process.labels.pop(number)
        return True

    def fail(self, process, kind):
        self.failures.add((kind, 123))
        process.is_stuck = True
        return False

    def drop(self, process, label):
        one = process.labels.pop(label)
        one.refs -= 1
        one.closes.append((process.number, process.clock[process.number]))
        if one.is_fault:
            raise LeftOpen("an open that can't be served is closed before it may be seen")
        if one.refs:
            return
        if not one.is_read:
            self.check_end(one.stream)
        elif one.place and not one.stream.is_held and one.stream.kind != "direct":
            one.stream.readers[one.program].is_finished = True

    def check_end(self, stream):
        if stream.writer in self.statuses and not stream.refs:
            stream.is_ended = True

    def find(self, process, label, is_read):
        if label not in process.labels or process.labels[label].is_read != is_read:
            raise Invalid(f"no descriptor {label}")
        return process.labels[label]

    # ---------------------------------------------------------------------------------------------- bytes

    def write(self, process, one, data):
        """Returns how many bytes were taken."""
        stream = one.stream
        self.follows(process, stream.last_write)
        self.use(process, one)
        stream.last_write = one.last_use
        process.written.add(stream.name)
        if stream.kind != "direct" and one is not stream.opens[-1]:
            raise LeftOpen("an output is opened twice and written by turns")
        if process.was_left and (len(process.written) > 1 or stream.kind != "stream"):
            raise LeftOpen("a child that nobody waits for writes to several files")
        if stream.is_refused():
            return len(data)
        if stream.is_ended:
            raise LeftOpen("written after its end was decided")
        size = int(min(len(data), max(0, stream.room())))
        stream.data += data[:size]
        one.has_written |= size > 0
        return size

    def put(self, process, label, place, count, chunk):
        one = self.find(process, label, False)
        if place + count > len(PATTERN) or not 1 <= chunk <= LARGEST_CHUNK:
            raise Invalid("so much there is not")
        if not process.is_begun:
            process.is_begun, process.left = True, count
        if not process.left:
            return True
        start = place + count - process.left
        size = self.write(process, one, PATTERN[start:start + process.left])
        process.left -= size
        self.has_moved |= size > 0
        process.blocked_at = one.stream if process.left else None
        return not process.left

    def take(self, process, label, to, count, chunk):
        one = self.find(process, label, True)
        stream = one.stream
        target = None if to is None else self.find(process, to, False)
        if not process.is_begun:
            process.is_begun, process.left, process.sum, process.start = True, count, 0, one.place
        if process.was_left:
            raise LeftOpen("a child that nobody waits for reads")
        process.has_opened_or_read = True
        if one.is_fault and process.left != 0:
            return self.fail(process, "stream")
        goes_on = 1 <= chunk <= LARGEST_CHUNK
        while goes_on and (process.left is None or process.left > 0):
            self.use(process, one)
            end = len(stream.data) if process.left is None else min(len(stream.data), one.place + process.left)
            data = bytes(stream.data[one.place:end])
            size = len(data) if target is None or not data else self.write(process, target, data)
            process.sum = zlib.crc32(data[:size], process.sum)
            one.place += size
            self.has_moved |= size > 0
            process.blocked_at = target.stream if data and size < len(data) else None
            if process.left is not None:
                process.left -= size
            if size == 0:
                if data or not stream.is_ended:
                    return False
                goes_on = False
        line = f"took {one.place - process.start} {process.sum:08x}"
        self.logs.setdefault((process.program, process.name), []).append(line)
        return True

    # --------------------------------------------------------------------------------------------- processes

    def fork(self, process, name, steps):
        child = Process(len(self.processes), process.program, name, steps, process, dict(process.labels), dict(process.clock))
        if any(other.program == process.program and other.name == name for other in self.processes):
            raise Invalid(f"the child {name} twice")
        child.clock[child.number] = 0
        for one in child.labels.values():
            one.refs += 1
        self.processes.append(child)
        process.children.append(child)
        return True

    def wait(self, process):
        if not all(child.is_ended for child in process.children):
            return False
        for child in process.children:
            child.is_reaped = True
            for number, time in child.clock.items():
                process.clock[number] = max(process.clock.get(number, 0), time)
        return True

    def end(self, process, status):
        process.is_ended = True
        for label in list(process.labels):
            self.drop(process, label)
        for child in process.children:
            if not child.is_reaped:
                self.leave(child)
        if process.parent is None:
            self.exit(process.program, status)
        elif status:
            raise LeftOpen("a child fails")
        return True

    def leave(self, child):
        """Nobody waits for it: it may only go on writing one stream that it was given, or hold what it was given."""
        child.was_left = True
        held = {one.stream.kind for one in child.labels.values() if not one.is_read}
        if child.has_opened_or_read or len(child.written) > 1 or not child.is_ended and held & {"bar", "direct", "file"}:
            raise LeftOpen("a child that nobody waits for does more than to write one stream")
        for grandchild in child.children:
            self.leave(grandchild)

    def exit(self, i, status):
        program = self.graph.programs[i]
        self.statuses[i] = status
        if status not in program.ok:
            self.failures.add(("program", status))
        for name in program.reads:
            self.streams[name].readers[i].is_exited = True
        for name in program.writes:
            stream = self.streams[name]
            if not stream.opens and stream.kind in ("direct", "file"):
                raise LeftOpen("a file or a direct stream that is not written")
            if not stream.opens and not stream.is_optional and status in program.ok:
                self.failures.add(("output_missing", 123))
            self.check_end(stream)

    def step(self, process):
        kind, *rest = process.steps[process.index] if process.index < len(process.steps) else ("exit", 0)
        if kind == "open":
            return self.open(process, *rest)
        if kind == "standard":
            return self.name_standard(process, *rest)
        if kind == "dup":
            if rest[1] not in process.labels:
                raise Invalid("a dup of nothing")
            return self.put_in(process, rest[0], process.labels[rest[1]])
        if kind == "close":
            if rest[0] not in process.labels:
                raise Invalid("a close of nothing")
            self.drop(process, rest[0])
            return True
        if kind == "put":
            return self.put(process, *rest)
        if kind == "take":
            return self.take(process, rest[0], None, rest[1], rest[2])
        if kind == "pass":
            return self.take(process, *rest)
        if kind == "fork":
            return self.fork(process, *rest)
        if kind == "wait":
            return self.wait(process)
        if kind == "doze":
            return True
        if kind == "exit":
            return self.end(process, rest[0])
        if kind == "signal":
            return self.end(process, 128 + rest[0])
        raise Invalid(kind)

    def advance(self, process):
        """Goes on as far as it can. Returns whether it did anything."""
        self.has_moved = False
        did = False
        while not process.is_ended and not process.is_stuck:
            process.clock[process.number] = process.clock.get(process.number, 0) + 1
            process.blocked_at = None
            if not self.step(process):
                break
            did = True
            process.index += 1
            process.is_begun = False
        return did or self.has_moved

    # ------------------------------------------------------------------------------------- when all stand still

    def decide_ends(self):
        """Lets streams end whose writers have closed them. Returns whether one did."""
        waiting = {p.blocked_at for p in self.processes if not p.is_ended}
        found = [s for s in self.streams.values() if s.kind in ("stream", "bar") and s.opens and not s.is_ended]
        found = [s for s in found if not s.is_refused() and (not s.refs or s.writer in self.statuses and s not in waiting)]
        for stream in found[self.ends]:
            stream.is_ended = self.has_decided = True
        return bool(found)

    def grow(self):
        full = [p.blocked_at for p in self.processes if not p.is_ended and p.blocked_at and p.blocked_at.room() <= 0]
        if full and self.grows:
            min(full, key=lambda stream: stream.capacity).capacity *= 2
        self.lacks_room |= bool(full) and not self.grows
        return bool(full) and self.grows

    def outcome(self):
        goes_on = True
        while goes_on:
            self.start_groups()
            order = list(self.processes)
            goes_on = any([self.advance(process) for process in (reversed(order) if self.backwards else order)])
            goes_on = goes_on or len(self.processes) > len(order)
            if not goes_on and not len(self.statuses) == len(self.graph.programs):
                goes_on = self.decide_ends() or self.grow()
        if any(one.is_fault for process in self.processes for one in process.labels.values()):
            self.failures.add(("stream", 123))
        self.is_deadlock = not self.failures and not self.lacks_room and len(self.statuses) < len(self.graph.programs)
        return Outcome(self.failures, self.is_deadlock, self.lacks_room,
                       {name: bytes(stream.data) for name, stream in self.streams.items() if stream.has_sink},
                       sum(len(stream.data) for stream in self.streams.values()), self.logs, self.statuses,
                       self.has_decided, {name: self.count_opens(stream) for name, stream in self.streams.items()})

    def count_opens(self, stream):
        """Of a mortal program those after its death are not counted."""
        if stream.kind != "stream" or stream.writer is None or self.graph.programs[stream.writer].mortal:
            return 0, 1 << 30
        return sum(one.has_written for one in stream.opens), len(stream.opens)


# -------------------------------------------------------------------------------------------------------- the graph


def check(graph):
    """Raises Invalid for what no plan could be."""
    group = graph.groups()
    for name, file in graph.files.items():
        writer, readers = graph.writer(name), graph.readers(name)
        if writer is None and (not file.source or file.sink) or writer is not None and (file.source or writer in readers):
            raise Invalid(f"{name} has no writer and no source, or both")
        if not readers and (not file.sink or file.source) or sum(name in p.writes for p in graph.programs) > 1:
            raise Invalid(f"{name} is not read")
        if file.kind in ("direct", "bar") and (len(readers) != 1 or writer is None or file.sink):
            raise Invalid(f"{name} is {file.kind}")
        if file.kind == "bar" and readers != [writer + 1]:
            raise Invalid(f"the bar {name} leads elsewhere")
        if file.kind == "file" and writer is not None and any(group[writer] >= group[reader] for reader in readers):
            raise Invalid(f"{name} is read before it is written")
        if file.kind == "direct":
            check_tree(graph, group, group[writer])
        if file.source and not 0 <= file.source[1] + file.source[2] <= len(PATTERN):
            raise Invalid("so much there is not")
    for program in graph.programs:
        check_program(graph, program)
    try:
        templates(graph, "")
    except KeyError as label:
        raise Invalid(f"no descriptor {label}") from None


def check_tree(graph, group, number):
    edges = sum(len(graph.readers(name)) for name, file in graph.files.items()
                if file.kind != "file" and graph.writer(name) is not None and group[graph.writer(name)] == number)
    if edges >= group.count(number):
        raise Invalid("a direct stream on a ring")


def check_program(graph, program):
    if set(program.reads + program.writes) - set(graph.files):
        raise Invalid("a file that is not there")
    for name, names in ((program.stdin, program.reads), (program.stdout, program.writes)):
        if name and (name not in names or graph.files[name].kind == "file"):
            raise Invalid(f"{name} can't be a standard stream")
    bars = {name for name in program.reads + program.writes if graph.files[name].kind == "bar"}
    if bars - {program.stdin, program.stdout}:
        raise Invalid("a bar that is no standard stream")
    if not program.mortal:
        return
    flat = str(program.steps)
    if len(program.writes) != 1 or program.ok != (0,) or graph.files[program.writes[0]].kind == "file" or any(
            word in flat for word in ("'fork'", "'exit'", "'signal'")):
        raise Invalid("what may die of SIGPIPE must have nothing else to do")


@dataclass
class Expected:
    """`verdicts`: which (kind, exit status) may come; an outcome is complete where the call goes well or stands still."""

    outcome: Outcome
    verdicts: set[tuple[str, int]]


def expect(graph):
    """What must come of it. LeftOpen: nobody can say; Invalid: it is no graph."""
    check(graph)
    outcome = Run(graph).outcome()
    for policy in (dict(ends=slice(-1, None), backwards=True), dict(ends=slice(1)), dict(capacity=PAGE, grows=True, ends=slice(1)),
                   dict(capacity=FIRST_WINDOW, grows=True, ends=slice(-1, None), backwards=True)):
        if not outcome.same(Run(graph, **policy).outcome()):
            raise LeftOpen("it depends on the windows, or on which end is decided first")
    if outcome.failures:
        verdicts = set(outcome.failures)
        if outcome_waits(graph, outcome):
            verdicts.add(("standstill", 123))
    else:
        verdicts = {("standstill", 123)} if outcome.is_deadlock else {("ok", 0)}
    if graph.limit is not None and graph.limit < 2 * outcome.total + (1 << 20):
        if any(file.kind == "file" for file in graph.files.values()):
            raise LeftOpen("files of a limited size")
        lacks_room = Run(graph, capacity=max(graph.limit, FIRST_WINDOW) + PIPES_BYTES).outcome().lacks_room
        verdicts = (set() if lacks_room and not outcome.failures else verdicts) | {("limit", 123)}
    return Expected(outcome, verdicts)


def outcome_waits(graph, outcome):
    """With several groups and few at a time, one that waits for ever may keep the one that fails from starting."""
    return len(set(graph.groups())) > 1 and len(outcome.statuses) < len(graph.programs)

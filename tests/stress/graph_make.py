"""Random graphs. A story is made up first, in which every byte is written before it is read, so that most graphs come to
their end however wildly their programs open and close; then some steps are swapped, dropped or changed, so that some do not.
What comes of either is for the oracle to say; what it can't say is thrown away.
"""
from __future__ import annotations

import random

from graph_model import LARGEST_CHUNK, PATTERN_BYTES, File, Graph, Program
from graph_oracle import Invalid, LeftOpen, expect

EDGES = (0, 1, 2, 15, 16, 17, 511, 4095, 4096, 4097, 8192, 65535, 65536, 65537, 131072, 262143, 262144,
         262145, (1 << 20) - 1, 1 << 20, (1 << 20) + 1)
WAYS = ("memory", "path", "pipe", "callback")
GRAPH_BYTES = 12 << 20


def make(seed):
    """The graph of this seed, and what must come of it."""
    source = random.Random(seed)
    while True:
        graph = Story(source).graph()
        try:
            return graph, expect(graph)
        except (LeftOpen, Invalid):
            continue


class Context:
    """A process in the making: the files it may use now, and the labels of those it has open."""

    def __init__(self, files, labels, steps, name):
        self.files, self.labels, self.steps, self.name = set(files), dict(labels), steps, name


class Story:
    def __init__(self, source):
        self.random = source
        self.budget = source.choice((1 << 16, 1 << 20, GRAPH_BYTES))
        self.programs, self.files, self.serial = [], {}, 0
        self.is_tree = source.random() < 0.3
        self.make_files()
        self.written = {name: file.source[2] if file.source else 0 for name, file in self.files.items()}
        self.taken = {}
        self.over = set()  # programs that have exited
        self.closed = set()  # outputs that were closed for good
        self.contexts = [[Context(p.reads + p.writes, {}, p.steps, "main")] for p in self.programs]
        self.orphaned = set()
        for i, program in enumerate(self.programs):
            self.begin(self.contexts[i][0], program)
        if self.chance(0.1):
            self.cross()

    def chance(self, share):
        return self.random.random() < share

    # ------------------------------------------------------------------------------------------------- files

    def make_files(self):
        count = self.random.choice((1, 2, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12))
        self.programs = [Program() for _ in range(count)]
        layers = self.random.choice((1, 1, 1, 2, 3))
        cuts = sorted(self.random.randrange(count + 1) for _ in range(layers - 1))
        layer = [sum(i >= cut for cut in cuts) for i in range(count)]
        if self.is_tree:
            self.make_tree(layer)
        else:
            self.make_bars(layer)
            for _ in range(self.random.randint(1, min(30, 3 * count + 1))):
                self.make_stream(layer)
        for name, file in self.files.items():
            if not any(name in program.reads for program in self.programs) or file.kind == "stream" and self.chance(0.1):
                file.sink = None if file.source or file.kind in ("direct", "bar") else self.random.choice((*WAYS, "slow"))
        for program in self.programs:
            self.tie(program)

    def add(self, kind, writer, readers, source=None):
        name = f"{kind[0]}{len(self.files)}"
        self.files[name] = File(kind, source)
        self.files[name].optional = kind == "stream" and writer is not None and self.chance(0.1)
        if writer is not None:
            self.programs[writer].writes.append(name)
        for reader in readers:
            self.programs[reader].reads.append(name)
        return name

    def make_tree(self, layer):
        for i in range(1, len(layer)):
            other = self.random.randrange(i)
            if layer[other] != layer[i]:
                self.add("file", other, [i])
            elif other == i - 1 and self.chance(0.3):
                name = self.add("bar", other, [i])
                self.programs[other].stdout = self.programs[i].stdin = name
            else:
                ends = (other, [i]) if self.chance(0.5) else (i, [other])
                self.add("direct" if self.chance(0.6) else "stream", *ends)
        for i in range(len(layer)):
            if self.chance(0.4):
                self.add("stream", None, [i], self.new_source()) if self.chance(0.5) else self.add("stream", i, [])

    def make_bars(self, layer):
        for i in range(len(layer) - 1):
            if layer[i] == layer[i + 1] and self.chance(0.15):
                name = self.add("bar", i, [i + 1])
                self.programs[i].stdout = self.programs[i + 1].stdin = name

    def make_stream(self, layer):
        count = len(layer)
        ends = self.random.sample(range(count), min(count, self.random.choice((1, 2, 2, 2, 2, 3, 4))))
        if len(ends) == 2 and self.chance(0.3) and self.files:
            ends = self.ends_of(self.random.choice(list(self.files))) or ends
        kind = "file" if len(set(layer)) > 1 and self.chance(0.3) else "stream"
        if len(ends) == 1 or self.chance(0.15):
            if self.chance(0.5):
                readers = [i for i in ends if kind == "file" or layer[i] == layer[ends[0]]]
                self.add(kind, None, readers, self.new_source())
            else:
                self.add(kind, ends[0], [])
            return
        if kind == "file":
            ends.sort(key=lambda i: layer[i])
            ends = [ends[0], *[i for i in ends[1:] if layer[i] > layer[ends[0]]]]
        else:
            ends = [i for i in ends if layer[i] == layer[ends[0]]]
        self.add(kind, ends[0], ends[1:])

    def ends_of(self, name):
        """A second way between the same two, or one back."""
        ends = [i for i, program in enumerate(self.programs) if name in program.reads + program.writes]
        self.random.shuffle(ends)
        return ends if len(ends) == 2 else None

    def new_source(self):
        count = self.size()
        return self.random.choice(WAYS), self.random.randrange(PATTERN_BYTES - count), count

    def tie(self, program):
        kinds = ("stream", "direct")
        reads = [name for name in program.reads if self.files[name].kind in kinds]
        writes = [name for name in program.writes if self.files[name].kind in kinds]
        if reads and not program.stdin and self.chance(0.2):
            program.stdin = self.random.choice(reads)
        if writes and not program.stdout and self.chance(0.2):
            program.stdout = self.random.choice(writes)

    # ------------------------------------------------------------------------------------------------- sizes

    def size(self):
        size = self.random.choice((self.random.choice(EDGES), self.random.randrange(200), self.random.randrange(20000),
                                   self.random.randrange(400000), self.random.randrange(3 << 20)))
        size = min(size, self.budget, PATTERN_BYTES - 1) if self.budget > 0 else self.random.randrange(100)
        self.budget -= size
        return size

    def chunk(self, size):
        if size <= 3000 and self.chance(0.2):
            return 1
        some = self.random.randint(max(1, size // 500), max(2, size))
        return min(LARGEST_CHUNK, max(1, self.random.choice((size, 4096, 65536, LARGEST_CHUNK, some))))

    # ------------------------------------------------------------------------------------------------- steps

    def label(self):
        self.serial += 1
        return f"d{self.serial}"

    def begin(self, context, program):
        for number, name in ((0, program.stdin), (1, program.stdout)):
            if name:
                self.open_standard(context, name, number)
        early = [name for name in sorted(context.files) if name not in context.labels and self.files[name].kind != "bar"]
        self.random.shuffle(early)
        for name in early:
            if self.chance(0.4):
                self.open(context, name)

    def open_standard(self, context, name, number):
        context.labels[name] = self.label()
        context.steps.append(("standard", context.labels[name], number))

    def open(self, context, name):
        if name not in context.labels:
            if self.files[name].kind == "bar":
                return None
            context.labels[name] = self.label()
            context.steps.append(("open", context.labels[name], name))
        return context.labels[name]

    def pick(self, context, names):
        found = sorted(context.files.intersection(names))
        return self.random.choice(found) if found else None

    def pick_pending(self, i, context):
        found = sorted(context.files.intersection(self.programs[i].reads))
        pending = [name for name in found if self.pending(i, name)]
        return self.random.choice(pending if pending and self.chance(0.9) else found) if found else None

    def pending(self, i, name):
        return self.written[name] - self.taken.get((i, name), 0)

    def put(self, i, context):
        name = self.pick(context, self.programs[i].writes)
        label = name and self.open(context, name)
        if label:
            size = self.size()
            self.written[name] += size
            context.steps.append(("put", label, self.random.randrange(PATTERN_BYTES - size), size, self.chunk(size)))

    def cross(self):
        """Much in one stream, and only then what its reader waits for in another: a window must grow, if it may."""
        pairs = [(i, j, names) for i, writer in enumerate(self.programs) for j, reader in enumerate(self.programs)
                 if len(names := [n for n in writer.writes if n in reader.reads and self.files[n].kind == "stream"]) > 1]
        if not pairs:
            return
        i, j, names = self.random.choice(pairs)
        first, second = self.random.sample(names, 2)
        writer, reader = self.contexts[i][0], self.contexts[j][0]
        for name, size in ((first, self.random.randint(1 << 18, 5 << 20)), (second, self.random.randint(1, 100))):
            place = self.random.randrange(PATTERN_BYTES - size)
            writer.steps.append(("put", self.open(writer, name), place, size, 65536))
            self.written[name] += size
        for name in (second, first):
            self.taken[j, name] = self.written[name]
            reader.steps.append(("take", self.open(reader, name), self.written[name], 65536))

    def reply(self):
        """A program closes its output and lives on, for what another one says once it has had all of it."""
        pairs = [(i, j, there, back) for i, writer in enumerate(self.programs) for there in writer.writes
                 for j, reader in enumerate(self.programs) for back in reader.writes
                 if there in reader.reads and back in writer.reads and i not in self.over and j not in self.over
                 and {there, back} <= self.contexts[i][0].files & self.contexts[j][0].files
                 and self.files[there].kind in ("stream", "bar") and len(self.contexts[i]) == len(self.contexts[j]) == 1]
        if not pairs:
            return
        i, j, there, back = self.random.choice(pairs)
        writer, reader = self.contexts[i][0], self.contexts[j][0]
        labels = [self.open(writer, there), self.open(reader, there), self.open(reader, back), self.open(writer, back)]
        if None in labels:
            return
        size = self.random.randint(1, 1000)
        writer.steps.append(("close", labels[0]))
        writer.files.discard(there)
        writer.labels.pop(there)
        reader.steps += [("take", labels[1], None, 65536), ("put", labels[2], 0, size, size)]
        self.written[back] += size
        waited = self.pending(i, back)
        writer.steps.append(("take", labels[3], waited, 65536))
        self.taken[j, there], self.taken[i, back] = self.written[there], self.written[back]

    def amount(self, i, name):
        pending = self.pending(i, name)
        writer = next((j for j, p in enumerate(self.programs) if name in p.writes), None)
        if (writer is None or writer in self.over or name in self.closed) and self.chance(0.4):
            return pending, None
        size = self.random.choice((pending, pending, self.random.randint(0, pending), min(pending, self.random.choice(EDGES))))
        return size, size

    def take(self, i, context, passes_on=False):
        name = self.pick_pending(i, context)
        to = self.pick(context, self.programs[i].writes) if passes_on else None
        label = name and self.open(context, name)
        to_label = to and self.open(context, to)
        if not label or passes_on and not to_label:
            return
        size, count = self.amount(i, name)
        self.taken[i, name] = self.taken.get((i, name), 0) + size
        chunk = self.chunk(size)
        if passes_on:
            self.written[to] += size
            context.steps.append(("pass", label, to_label, count, chunk))
        else:
            context.steps.append(("take", label, count, chunk))

    def pass_on(self, i, context):
        self.take(i, context, True)

    def close(self, i, context):
        name = self.pick(context, context.labels)
        if not name:
            return
        context.steps.append(("close", context.labels.pop(name)))
        if self.files[name].kind in ("file", "bar"):
            context.files.discard(name)
        elif name in self.programs[i].writes:
            if self.chance(0.3):
                context.steps.append(("doze", self.random.randrange(2500)))
            if self.chance(0.6):
                self.open(context, name)
            elif self.chance(0.7):
                context.files.discard(name)
                if context is self.contexts[i][0]:
                    self.closed.add(name)
        elif self.files[name].source and self.files[name].source[0] in ("memory", "path"):
            self.taken[i, name] = 0
        elif self.taken.get((i, name)):
            context.files.discard(name)

    def dup(self, i, context):
        name = self.pick(context, context.labels)
        if name:
            label = self.label()
            context.steps.append(("dup", label, context.labels[name]))
            if self.chance(0.5):
                context.steps.append(("close", context.labels[name]))
            context.labels[name] = label

    def fork(self, i, context):
        if context is not self.contexts[i][0] or i in self.orphaned:
            return
        steps, name = [], f"child{len(self.contexts[i])}"
        if len(self.contexts[i]) == 1 and self.chance(0.3):
            writes = self.programs[i].writes
            files = [name for name in sorted(context.labels) if name in writes and self.files[name].kind == "stream"]
            files = files and [self.random.choice(files)]
            if not files:
                return
            self.orphaned.add(i)
        else:
            files = [name for name in sorted(context.files) if self.chance(0.4)]
        context.steps.append(("fork", name, steps))
        context.files -= set(files)
        labels = {name: label for name, label in context.labels.items() if name in files}
        self.contexts[i].append(Context(files, labels, steps, name))
        self.random.choice((self.put, self.take))(i, self.contexts[i][-1])

    def wait(self, i, context):
        if context is not self.contexts[i][0] or i in self.orphaned or len(self.contexts[i]) == 1:
            return
        context.steps.append(("wait",))
        for child in self.contexts[i][1:]:
            context.files |= child.files
            child.files = set()

    def doze(self, i, context):
        context.steps.append(("doze", self.random.choice((0, 100, 1000, 3000))))

    def finish(self, i):
        program, context = self.programs[i], self.contexts[i][0]
        self.wait(i, context)
        names = sorted(context.files.intersection(program.reads))
        self.random.shuffle(names)
        for name in names:
            writer = next((j for j, p in enumerate(self.programs) if name in p.writes), None)
            label = self.open(context, name) if self.chance(0.9) else None
            if label and (writer is None or writer in self.over or name in self.closed and self.chance(0.7)):
                context.steps.append(("take", label, None, self.chunk(self.pending(i, name))))
            elif label and self.chance(0.5):
                context.steps.append(("take", label, self.pending(i, name), self.chunk(self.pending(i, name))))
        for name in program.writes:
            if name in context.files and not any(name in str(step) for step in program.steps) and self.chance(0.995):
                self.open(context, name)
        if self.chance(0.05):
            status = self.random.choice((1, 3, 255))
            program.steps.append(("exit", status))
            program.ok = (0, status)
        self.over.add(i)

    def graph(self):
        deeds = [self.put] * 6 + [self.take] * 6 + [self.pass_on] * 3 + [self.close] * 2
        deeds += [self.dup, self.fork, self.wait, self.doze]
        for _ in range(self.random.choice((4, 10, 20, 40, 80))):
            i = self.random.randrange(len(self.programs))
            if i not in self.over:
                self.random.choice(deeds)(i, self.random.choice(self.contexts[i]))
            if self.chance(0.02) and i not in self.over:
                self.finish(i)
            if self.chance(0.02):
                self.reply()
        for i in self.random.sample(range(len(self.programs)), len(self.programs)):
            if i not in self.over:
                self.finish(i)
        for program in self.programs:
            flat = str(program.steps)
            can_die = len(program.writes) == 1 and self.files[program.writes[0]].kind != "file"
            program.mortal = can_die and not any(word in flat for word in ("'fork'", "'exit'", "'signal'")) and self.chance(0.5)
        if self.chance(0.08):
            self.fail(self.random.choice(self.programs))
        if self.chance(0.5):
            for _ in range(self.random.randint(1, 4)):
                self.disturb(self.random.choice(self.programs))
        graph = Graph(self.programs, self.files)
        graph.jobs, graph.door = self.random.choice((0, 0, 16, 1)), self.random.choice(("package", "command"))
        if self.chance(0.25) and all(file.kind != "file" for file in self.files.values()):
            graph.limit = self.random.choice((4096, 20000, 65536, 300000, 1 << 20, 4 << 20, 64 << 20))
        return graph

    def fail(self, program):
        program.mortal = False
        step = self.random.choice((("exit", 1), ("exit", 3), ("signal", 6), ("signal", 9), ("signal", 11), ("signal", 15)))
        program.steps.insert(self.random.randint(0, len(program.steps)), step)

    def disturb(self, program):
        """Something that breaks a promise of the story."""
        steps = program.steps
        if not steps:
            return
        place = self.random.randrange(len(steps))
        step = steps[place]
        what = self.random.choice(("swap", "move", "drop", "more", "drain", "drain", "early", "early"))
        if what == "swap" and place:
            steps[place - 1], steps[place] = step, steps[place - 1]
        elif what == "move":
            steps.insert(self.random.randrange(len(steps)), steps.pop(place))
        elif what == "drop" and step[0] in ("put", "take", "pass", "close", "wait"):
            steps.pop(place)
        elif what == "more" and step[0] == "take" and step[2] is not None:
            steps[place] = ("take", step[1], step[2] + self.random.choice((1, 100, 100000)), step[3])
        elif what == "drain" and step[0] == "take":
            steps[place] = ("take", step[1], None, step[3])
        elif what == "early":
            opens = [i for i, step in enumerate(steps) if step[0] == "open" and step[2] in program.reads]
            if opens:
                place = self.random.choice(opens)
                steps.insert(place + 1, ("take", steps[place][1], self.random.choice((None, 1, 70000)), 65536))

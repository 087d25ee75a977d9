"""Runs a graph through a door that users take, the command or the Python package, and says where it is not as expected."""
from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field

from graph_model import PATTERN, as_command, templates

OLD = b"what stood here before"
SLOW_SECONDS = 0.03


@dataclass
class Ran:
    """What came of a call. `statuses`: how each program ended, 128 + n by signal n, None where it did not."""

    door: str
    verdict: tuple[str, int]
    message: str
    outputs: dict[str, bytes] = field(default_factory=dict)
    statuses: list[int | None] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    streams: dict[str, tuple[int, int]] = field(default_factory=dict)  # how often opened for writing; window growths


class Pipes:
    """Pipes whose other ends are threads of ours: one that gives all it has, one that takes all there is."""

    def __init__(self):
        self.threads, self.kept = [], []

    def begin(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def give(self, data):
        reader, writer = os.pipe()
        self.kept.append(reader)
        self.begin(self.write, writer, memoryview(data))
        return reader

    @staticmethod
    def write(fd, data):
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(fd, data):]
        os.close(fd)

    def collect(self, into, is_slow):
        reader, writer = os.pipe()
        self.kept.append(writer)
        self.begin(self.read, reader, into, is_slow)
        return writer

    @staticmethod
    def read(fd, into, is_slow):
        time.sleep(SLOW_SECONDS if is_slow else 0)  # so that more lies in its way than a pipe holds
        while piece := os.read(fd, 1 << 16):
            into += piece
        os.close(fd)

    def close(self):
        for fd in self.kept:
            os.close(fd)
        for thread in self.threads:
            thread.join()


def data_of(file):
    _, place, count = file.source
    return PATTERN[place:place + count]


def chunks(data):
    """In pieces of no particular size, one of them empty."""
    size = 1
    while data:
        yield data[:size]
        data, size = data[size:], size * 3 % 100003
    yield b""


class Places:
    """Where a graph's inputs come from and its outputs go."""

    def __init__(self, graph, directory):
        self.directory, self.pipes = directory, Pipes()
        self.came = {name: bytearray() for name, file in graph.files.items() if file.sink in ("pipe", "slow", "callback")}
        self.paths = [name for name, file in graph.files.items() if file.sink == "path"]
        for name, file in graph.files.items():
            if file.source:
                self.path(name).write_bytes(data_of(file))
            elif file.sink:
                self.path(name).write_bytes(OLD)

    def path(self, name):
        return self.directory / name

    def outputs(self):
        outputs = {name: bytes(data) for name, data in self.came.items()}
        return outputs | {name: self.path(name).read_bytes() for name in self.paths}


# ------------------------------------------------------------------------------------------------- the command


def run_command(graph, tools, directory, deadline):
    places = Places(graph, directory)
    words = as_command(graph, tools.actor)
    passed = []
    for name, file in graph.files.items():
        way = file.source[0] if file.source else file.sink
        target = str(places.path(name))
        if way in ("pipe", "slow", "callback"):
            fd = places.pipes.give(data_of(file)) if file.source else places.pipes.collect(places.came[name], way == "slow")
            passed.append(fd)
            target = f"@{fd}"
        if way:
            words += ["--input" if file.source else "--output", f"{name}={target}"]
        if file.sink == "memory":
            places.paths.append(name)
    report = directory / "report.json"
    report.unlink(missing_ok=True)
    words = [tools.command, *words[:1], "--timeout", str(deadline), f"--json={report}", *words[1:]]
    with open(directory / "error", "wb") as error:
        process = subprocess.Popen(words, pass_fds=passed, cwd=directory, env=tools.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=error)
        try:
            status = process.wait(deadline + 30)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    places.pipes.close()
    said = (directory / "error").read_text(errors="replace")
    if not report.exists():
        return Ran("command", ("no report", status), said)
    told = json.loads(report.read_text())
    kind = "ok" if told["outcome"]["ok"] else told["outcome"]["kind"]
    statuses = [128 + p["signal"] if p["signal"] else p["status"] for p in told["programs"]]
    words = [program["stderr_tail"] or "" for program in told["programs"]]
    streams = {stream["name"]: (stream["writer_opens"], stream["window_growths"]) for stream in told["streams"]
               if stream["writer_opens"] is not None}
    return Ran("command", (kind, status), told["outcome"]["message"] or "", places.outputs(), statuses, words, streams)


# -------------------------------------------------------------------------------------------------- the package


def run_package(graph, tools, directory, deadline):
    import spile

    places = Places(graph, directory)
    files, outputs = {}, {}
    for name, file in graph.files.items():
        if file.source:
            data = data_of(file)
            files[name] = {"memory": lambda: data, "path": lambda: places.path(name), "pipe": lambda: places.pipes.give(data),
                           "callback": lambda: chunks(data)}[file.source[0]]()
        elif file.sink:
            outputs[name] = {"memory": lambda: bytes, "path": lambda: places.path(name),
                             "pipe": lambda: places.pipes.collect(places.came[name], False),
                             "slow": lambda: places.pipes.collect(places.came[name], True),
                             "callback": lambda: places.came[name].extend}[file.sink]()
    programs = [spile.Program(text, ok_status=graph.programs[chain[0]].ok)
                for text, chain in zip(templates(graph, tools.actor), graph.chains())]
    plan = spile.Plan(*programs, optional=[n for n, f in graph.files.items() if f.optional],
                      direct=[n for n, f in graph.files.items() if f.kind == "direct"])
    try:
        result = spile.run(plan, files=files, outputs=outputs, timeout=deadline, check=False, jobs=graph.jobs,
                           stderr=spile.CAPTURE, limits=spile.Limits(memory=graph.limit))
    finally:
        places.pipes.close()
    error = result.error
    kept = [name for name, file in graph.files.items() if file.sink == "memory" and name in result]
    outputs = places.outputs() | {name: result[name] for name in kept}
    statuses = [128 + p.signal if p.signal else p.exit_status for p in result.programs]
    return Ran("package", ("ok" if error is None else error.kind, result.exit_status), str(error or ""), outputs, statuses,
               [p.stderr.decode(errors="replace") for p in result.programs],
               {stream.name: (stream.writer_opens, stream.window_growths) for stream in result.streams if not stream.is_direct})


# ------------------------------------------------------------------------------------------------- the verdict


def differences(graph, expected, ran):
    """What is wrong, in lines; none where all is as it must be."""
    if ran.verdict not in expected.verdicts:
        return [f"expected one of {sorted(expected.verdicts)}, and it was {ran.verdict}: {ran.message.strip()}"]
    is_ok = ran.verdict[0] == "ok"
    # Where all stand still, so do those that came that far: of several groups, one may wait for its turn.
    all_came = ran.verdict[0] == "standstill" and not expected.outcome.failures and len(set(graph.groups())) <= max(1, graph.jobs)
    is_complete = is_ok or all_came
    found = []
    for name, file in graph.files.items():
        if file.sink:
            is_file = file.sink == "path" or file.sink == "memory" and ran.door == "command"
            found += wrong_bytes(name, expected.outcome.data[name], ran.outputs.get(name), is_ok, is_file)
    for i, told in enumerate(ran.told):
        found += wrong_words(graph, i, expected.outcome, told, is_complete)
    for name, (least, most) in expected.outcome.opens.items():
        if is_ok and name in ran.streams and not least <= ran.streams[name][0] <= most:
            found.append(f"{name} was opened {ran.streams[name][0]} times for writing, and not {least} to {most} times")
    for i, program in enumerate(graph.programs):
        wanted = expected.outcome.statuses.get(i)
        if is_ok and ran.statuses[i] != wanted and not (program.mortal and ran.statuses[i] == 141):
            found.append(f"program {i} ended with {ran.statuses[i]} instead of {wanted}")
    return found


def wrong_bytes(name, wanted, came, is_ok, is_file):
    if is_ok and came == wanted:
        return []
    if not is_ok and (came is None or came == OLD if is_file else wanted.startswith(came or b"")):
        return []
    if came is None:
        return [f"{name} did not come out"]
    place = next((i for i, (a, b) in enumerate(zip(wanted, came)) if a != b), min(len(wanted), len(came)))
    return [f"{name} is wrong from byte {place} on: {len(came)} bytes instead of {len(wanted)}"]


def wrong_words(graph, i, outcome, told, is_complete):
    """What each process of a program tells must be what it did; one that was ended told the beginning of it. Where one uses a
    stream as it can't be used, the oracle follows it no further, and it may go on for a moment."""
    came, found = {}, []
    for line in told.splitlines():
        process, _, words = line.partition(" ")
        came.setdefault(process, []).append(words)
    wanted = {process: words for (program, process), words in outcome.logs.items() if program == i}
    for process in sorted({*came, *wanted}):
        should, did = wanted.get(process, []), came.get(process, [])
        if ("stream", 123) in outcome.failures:
            did = did[:len(should)]
        is_whole = is_complete and not graph.programs[i].mortal
        if did != (should if is_whole else should[:len(did)]):
            found.append(f"program {i} tells ({process}) {did} instead of {should}")
    return found


def run(graph, tools, directory, deadline):
    # The options of a template are those of all its programs.
    is_alike = all(graph.programs[i].ok == graph.programs[chain[0]].ok for chain in graph.chains() for i in chain)
    function = run_package if graph.door == "package" and tools.has_package and is_alike else run_command
    return function(graph, tools, directory, deadline)

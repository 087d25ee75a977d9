#!/usr/bin/python3
"""An assembler and a linker behind a web server, without a file on any disk.

    build_server.py [PORT]              prints the address it listens at
    curl --data-binary @primes.s http://127.0.0.1:PORT/program

POST the source of a 6502 program (such as examples/asm-link/primes.s) to /program, /map or /labels: it is assembled,
linked with a module that prints, and that output is returned. A source that is wrong gives 422 and what the assembler
said. Every request has a thread of its own; they all build at the same time.
"""
from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import spile

LIBRARY = Path(__file__).resolve().parent.parent / "asm-link"
CONFIG = (LIBRARY / "sim65.cfg").read_bytes()

# The two programs as functions: what is marked goes in, or comes out.
assemble = spile.function("ca65 {<module.s} -o {>module.o}", timeout=10)
link = spile.function("ld65 -C {<memory.cfg} {<main.o} {<print.o} -o {>program} -m {>map} -Ln {>labels}", timeout=10)
print_module = assemble(LIBRARY / "print.s")


class Builder(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        source = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            built = link(CONFIG, assemble(source), print_module)._asdict()
            status, body = (200, built[self.path[1:]]) if self.path[1:] in built else (404, b"no such output\n")
        except spile.ProgramError as error:
            status, body = 422, error.stderr
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Builder) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass

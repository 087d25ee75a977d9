"""The names of pexpect on spile's ground: `from spile import pexpect` runs what was written for pexpect 4.

It waits for events and never for a fixed time, and looks at what arrives once, however long it grows. docs/pexpect.md
tells what is otherwise than there.
"""
from . import exceptions, expect, fdpexpect, popen_spawn, pty_spawn, replwrap, run as _run_module, socket_pexpect, spawnbase, utils
from .exceptions import EOF, TIMEOUT, ExceptionPexpect
from .expect import Expecter, searcher_re, searcher_string
from .fdpexpect import fdspawn
from .pty_spawn import spawn, spawnu
from .run import run, runu
from .utils import is_executable_file, split_command_line, which

PY3 = True
__version__ = "4.9.0"  # what is spoken here; scripts ask
__revision__ = ""
__all__ = [
    "EOF", "TIMEOUT", "ExceptionPexpect", "__revision__", "__version__", "run", "runu", "spawn", "spawnu", "split_command_line", "which",
]

"""`spawn`: a program on a terminal."""
from __future__ import annotations

import errno
import os
import select
import signal
import termios
import time
import tty
from collections.abc import Callable
from typing import Any

from .exceptions import EOF, TIMEOUT, ExceptionPexpect
from .pty_process import PtyProcess
from .spawnbase import MAXREAD, READ_SIZE, SpawnBase
from .utils import split_command_line, wait_readable, which

SHOWN = ("str_last_chars", "exitstatus", "flag_eof", "pid", "child_fd", "closed", "timeout", "delimiter", "logfile", "logfile_read",
         "logfile_send", "maxread", "ignorecase", "searchwindowsize", "delaybeforesend", "delayafterclose", "delayafterterminate")


class spawn(SpawnBase):
    """Starts a program on a terminal of its own, to be spoken with.

    Args:
        command: its path or name; without `args` a command line, split as by `split_command_line`.
        args: its arguments, a list.
        timeout: seconds that `expect` waits; None: any time.
        maxread: bytes to read at a time where that is less than 2000; else as many as there are.
        searchwindowsize: only so much at the end is searched.
        logfile: gets both directions.
        cwd, env, preexec_fn: of the program.
        ignore_sighup: it ignores SIGHUP.
        echo: its terminal shows what is sent.
        encoding, codec_errors: text instead of bytes.
        dimensions: rows and columns.
        use_poll: taken and not needed.
    """

    use_native_pty_fork = True
    ptyproc: PtyProcess

    def __init__(
        self, command: Any, args: Any = [], timeout: float | None = 30, maxread: int = MAXREAD,  # noqa: B006
        searchwindowsize: int | None = None, logfile: Any = None, cwd: Any = None, env: Any = None, ignore_sighup: bool = False,
        echo: bool = True, preexec_fn: Callable[[], Any] | None = None, encoding: str | None = None, codec_errors: str = "strict",
        dimensions: tuple[int, int] | None = None, use_poll: bool = False,
    ) -> None:
        super().__init__(timeout, maxread, searchwindowsize, logfile, encoding, codec_errors)
        self.STDIN_FILENO, self.STDOUT_FILENO, self.STDERR_FILENO = 0, 1, 2
        self.str_last_chars = 100
        self.cwd, self.env, self.echo, self.ignore_sighup, self.use_poll = cwd, env, echo, ignore_sighup, use_poll
        self.command: str | None = None
        self.args: list[Any] | None = None
        if command is None:
            self.name = "<pexpect factory incomplete>"
        else:
            self._spawn(command, args, preexec_fn, dimensions)

    def __str__(self) -> str:
        count = self.str_last_chars
        lines = [repr(self), f"command: {self.command}", f"args: {self.args!r}",
                 f"buffer (last {count} chars): {self.buffer[-count:]!r}",
                 f"before (last {count} chars): {self.before[-count:] if self.before else ''!r}",
                 f"after: {self.after!r}", f"match: {self.match!r}", f"match_index: {self.match_index}"]
        return "\n".join(lines + [f"{name}: {getattr(self, name)}" for name in SHOWN[1:]])

    def _spawn(self, command: Any, args: Any = [], preexec_fn: Any = None, dimensions: Any = None) -> None:  # noqa: B006
        if isinstance(command, int):
            raise ExceptionPexpect("Command is an int type. If this is a file descriptor then maybe you want to use fdpexpect.fdspawn "
                                   "which takes an existing file descriptor instead of a command string.")
        if not isinstance(args, list):
            raise TypeError("The argument, args, must be a list.")
        words = [command, *args] if args else split_command_line(command)
        if not words:
            raise ExceptionPexpect("The command is empty.")
        path = which(words[0], env=self.env)
        if path is None:
            raise ExceptionPexpect(f"The command was not found or was not executable: {words[0]}.")
        self.command = path
        self.args = [path, *words[1:]]
        self.name = f"<{' '.join(map(str, self.args))}>"
        if self.encoding is not None:
            self.args = [word if isinstance(word, bytes) else word.encode(self.encoding) for word in self.args]
        how: dict[str, Any] = {"echo": self.echo, "preexec_fn": preexec_fn}
        if self.ignore_sighup:
            def prepare() -> None:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                if preexec_fn is not None:
                    preexec_fn()

            how["preexec_fn"] = prepare
        if dimensions is not None:
            how["dimensions"] = dimensions
        self.ptyproc = self._spawnpty(self.args, env=self.env, cwd=self.cwd, **how)
        self.pid, self.child_fd = self.ptyproc.pid, self.ptyproc.fd
        self.terminated = self.closed = False

    def _spawnpty(self, args: list[Any], **how: Any) -> PtyProcess:
        return PtyProcess(args, **how)

    @property
    def flag_eof(self) -> Any:
        """Whether its output has ended."""
        return self.ptyproc.flag_eof if hasattr(self, "ptyproc") else False

    @flag_eof.setter
    def flag_eof(self, value: Any) -> None:
        if hasattr(self, "ptyproc"):
            self.ptyproc.flag_eof = value

    def eof(self) -> Any:
        """Whether its output has ended."""
        return self.flag_eof

    def __del__(self) -> None:
        process = getattr(self, "ptyproc", None)
        if process is not None and not process.closed:
            try:
                process.close(self.delayafterclose, True)
            except Exception:  # nobody is there to be told
                pass

    # ---------------------------------------------------------------------------------------------- reading

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> Any:
        """Reads what is there, at most so much; waits for it so long, -1: as `timeout` says.

        Raises:
            TIMEOUT: nothing came.
            EOF: nothing will.
        """
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        timeout = self.timeout if timeout == -1 else timeout
        if wait_readable(self.child_fd, 0):
            return self._read_now(size)
        if not self.isalive():
            if wait_readable(self.child_fd, 0):
                return self._read_now(size)
        elif timeout != 0 and wait_readable(self.child_fd, timeout):
            return self._read_now(size)
        elif self.isalive():
            raise TIMEOUT("Timeout exceeded.")
        self.flag_eof = True
        raise EOF("End Of File (EOF): the child has ended, and what it started holds its terminal.")

    def _read_now(self, size: int) -> Any:
        try:
            return self._read_fd(size)
        except EOF:
            self.isalive()
            raise

    # ---------------------------------------------------------------------------------------------- sending

    def send(self, s: Any) -> int:
        """Sends it, all of it: what the program says meanwhile is taken in. Returns the number of bytes.

        Raises:
            TIMEOUT: it neither takes nor says anything for as long as `timeout` says.
        """
        if self.delaybeforesend is not None:
            time.sleep(self.delaybeforesend)
        s = self._coerce_send_string(s)
        self._log(s, "send")
        return self._send_bytes(self._encoder.encode(s, final=False))

    def _send_bytes(self, data: bytes) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        return self._send_all(self.child_fd, data, timeout=self.timeout)

    def _send_control(self, data: bytes) -> int:
        self._log(data.decode(self.encoding, "replace") if self.encoding is not None else data, "send")
        return self._send_bytes(data)

    def sendcontrol(self, char: str) -> int:
        """Sends a control character by its letter or sign; 0 where there is none of that name."""
        data = self.ptyproc.control(char)
        return self._send_control(data) if data else 0

    def sendeof(self) -> None:
        """Sends what says that nothing follows; at the start of a line."""
        self._send_control(self.ptyproc.end_of_file())

    def sendintr(self) -> None:
        """Sends what interrupts."""
        self._send_control(self.ptyproc.interrupt())

    # ---------------------------------------------------------------------------------------------- its life

    def _note_end(self) -> None:
        process = self.ptyproc
        if process.terminated:
            self.status, self.exitstatus, self.signalstatus = process.status, process.exitstatus, process.signalstatus
            self.terminated = True

    def isalive(self) -> bool:
        """Whether the program runs."""
        if not hasattr(self, "ptyproc"):
            return False
        alive = self.ptyproc.isalive()
        self._note_end()
        return alive

    def wait(self) -> int | None:
        """Waits until it has ended. Reads nothing: a program that can't say its last words does not end."""
        status = self.ptyproc.wait()
        self._note_end()
        return status

    def kill(self, sig: int) -> None:
        """Sends it a signal."""
        if self.isalive():
            os.kill(self.pid or 0, sig)

    def terminate(self, force: bool = False) -> bool:
        """Ends it: SIGHUP, SIGCONT, SIGINT, with `force` SIGKILL. Whether it has ended."""
        done = self.ptyproc.terminate(self.delayafterterminate, bool(force))
        self._note_end()
        return done

    def close(self, force: bool = True) -> None:  # type: ignore[override]
        """Hangs up, and ends the program."""
        if hasattr(self, "ptyproc"):
            self.ptyproc.close(self.delayafterclose, force)
            self.isalive()
        self.child_fd = -1
        self.closed = True

    # ---------------------------------------------------------------------------------------------- its terminal

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.ptyproc.isatty()

    def getecho(self) -> bool:
        """Whether its terminal shows what is sent."""
        return self.ptyproc.getecho()

    def setecho(self, state: bool) -> None:
        """Whether it shall."""
        self.ptyproc.setecho(state)
        self.echo = state

    def waitnoecho(self, timeout: float | None = -1) -> bool:
        """Waits until it does not, as before a password; False where that does not come."""
        return self.ptyproc.waitnoecho(self.timeout if timeout == -1 else timeout)

    def getwinsize(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.ptyproc.getwinsize()

    def setwinsize(self, rows: int, cols: int) -> None:
        """Makes it so large; the program is told."""
        self.ptyproc.setwinsize(rows, cols)

    # ---------------------------------------------------------------------------------------------- a person

    def interact(
        self, escape_character: str | None = chr(29), input_filter: Callable[[bytes], bytes] | None = None,
        output_filter: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Hands it over to the person at the terminal, until it ends or they type `escape_character` (Ctrl-])."""
        self.write_to_stdout(self.buffer)
        self.stdout.flush()
        self._set_text(self.string_type())
        escape = None if escape_character is None else escape_character.encode("latin-1")
        modes = termios.tcgetattr(self.STDIN_FILENO)
        tty.setraw(self.STDIN_FILENO)
        try:
            self._interact(escape, input_filter, output_filter)
        finally:
            termios.tcsetattr(self.STDIN_FILENO, termios.TCSAFLUSH, modes)

    def _interact(self, escape: bytes | None, input_filter: Any, output_filter: Any) -> None:
        poller = select.poll()
        poller.register(self.child_fd, select.POLLIN)
        poller.register(self.STDIN_FILENO, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self.child_fd in ready and not self._pass_output(output_filter):
                return
            if self.STDIN_FILENO in ready and not self._pass_input(escape, input_filter, output_filter):
                return

    def _pass_output(self, output_filter: Any) -> bool:
        try:
            data = os.read(self.child_fd, READ_SIZE)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self.flag_eof = True
            return False
        if output_filter:
            data = output_filter(data)
        self._log(data if self.encoding is None else self._decoder.decode(data, final=False), "read")
        view = memoryview(data)
        while view:
            view = view[os.write(self.STDOUT_FILENO, view):]
        return True

    def _pass_input(self, escape: bytes | None, input_filter: Any, output_filter: Any) -> bool:
        data = os.read(self.STDIN_FILENO, READ_SIZE)
        goes_on = bool(data)
        if input_filter:
            data = input_filter(data)
        if escape is not None and escape in data:
            data, goes_on = data[: data.rfind(escape)], False
        if data:
            self._log(data if self.encoding is None else data.decode(self.encoding, "replace"), "send")
            self._send_all(self.child_fd, data, lambda: self._pass_output(output_filter))
        return goes_on


def spawnu(*args: Any, **kwargs: Any) -> spawn:
    """`spawn` of text in UTF-8."""
    kwargs.setdefault("encoding", "utf-8")
    return spawn(*args, **kwargs)

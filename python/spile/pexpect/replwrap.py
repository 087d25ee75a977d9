"""`REPLWrapper`: an interpreter, asked command by command."""
from __future__ import annotations

import os.path
import signal
import sys
from typing import Any

from .exceptions import TIMEOUT
from .pty_spawn import spawn

PEXPECT_PROMPT = "[PEXPECT_PROMPT>"
PEXPECT_CONTINUATION_PROMPT = "[PEXPECT_PROMPT+"
INTERRUPTS = 4  # bash leaves one that comes while it gets ready to read undone until the next one


class REPLWrapper:
    """An interpreter with a prompt.

    Args:
        cmd_or_spawn: a command, or a `spawn` of it.
        orig_prompt: its prompt, a regular expression where it is changed, else as it is.
        prompt_change: what changes it: `{0}` is the new one, `{1}` that of a command that goes on; None: it is left.
        extra_init_cmd: said first.
    """

    def __init__(
        self, cmd_or_spawn: Any, orig_prompt: Any, prompt_change: str | None, new_prompt: str = PEXPECT_PROMPT,
        continuation_prompt: str = PEXPECT_CONTINUATION_PROMPT, extra_init_cmd: str | None = None,
    ) -> None:
        self.child = spawn(cmd_or_spawn, echo=False, encoding="utf-8") if isinstance(cmd_or_spawn, str) else cmd_or_spawn
        if self.child.echo:
            self.child.setecho(False)
            self.child.waitnoecho()
        self.continuation_prompt = continuation_prompt
        self.prompt = orig_prompt
        if prompt_change is not None:
            self.set_prompt(orig_prompt, prompt_change.format(new_prompt, continuation_prompt))
            self.prompt = new_prompt
        self._expect_prompt()
        if extra_init_cmd is not None:
            self.run_command(extra_init_cmd)

    def set_prompt(self, orig_prompt: Any, prompt_change: str) -> None:
        """Waits for the one there is, and changes it."""
        self.child.expect(orig_prompt)
        self.child.sendline(prompt_change)

    def _expect_prompt(self, timeout: Any = -1, async_: bool = False) -> Any:
        return self.child.expect_exact([self.prompt, self.continuation_prompt], timeout=timeout, async_=async_)

    def _expect_prompt_or_rest(self, async_: bool = False) -> Any:
        return self.child.expect_exact([self.prompt, self.continuation_prompt, TIMEOUT], timeout=0.5, async_=async_)

    def _incomplete(self, command: str) -> ValueError:
        return ValueError("Continuation prompt found - input was incomplete:\n" + command)

    def run_command(self, command: str, timeout: Any = -1, async_: bool = False) -> Any:
        """Says a command and returns what it says; with `async_` that is awaited.

        Raises:
            ValueError: the command is not complete.
        """
        lines = command.splitlines() + ([""] if command.endswith("\n") else [])
        if not lines:
            raise ValueError("No command was given")
        if async_:
            return self._run_async(command, lines, timeout)
        said = []
        self.child.sendline(lines[0])
        for line in lines[1:]:
            self._expect_prompt(timeout=timeout)
            said.append(self.child.before)
            self.child.sendline(line)
        if self._expect_prompt(timeout=timeout) == 1:
            for _ in range(INTERRUPTS):
                self.child.kill(signal.SIGINT)
                if self._expect_prompt_or_rest() < 2:
                    break
            raise self._incomplete(command)
        return "".join([*said, self.child.before])

    async def _run_async(self, command: str, lines: list[str], timeout: Any) -> str:
        said = []
        self.child.sendline(lines[0])
        for line in lines[1:]:
            await self._expect_prompt(timeout=timeout, async_=True)
            said.append(self.child.before)
            self.child.sendline(line)
        if await self._expect_prompt(timeout=timeout, async_=True) == 1:
            for _ in range(INTERRUPTS):
                self.child.kill(signal.SIGINT)
                if await self._expect_prompt_or_rest(async_=True) < 2:
                    break
            raise self._incomplete(command)
        return "".join([*said, self.child.before])


def python(command: str = sys.executable) -> REPLWrapper:
    """A Python interpreter."""
    return REPLWrapper(command, ">>> ", "import sys; sys.ps1={0!r}; sys.ps2={1!r}")


def _shell(command: str, args: list[str], invisible: str) -> REPLWrapper:
    # The echo of the change must not look like a prompt: what the shell takes for nothing stands in it.
    first = PEXPECT_PROMPT[:5] + invisible + PEXPECT_PROMPT[5:]
    second = PEXPECT_CONTINUATION_PROMPT[:5] + invisible + PEXPECT_CONTINUATION_PROMPT[5:]
    child = spawn(command, args, echo=False, encoding="utf-8")
    return REPLWrapper(child, "\\$", f"PS1='{first}' PS2='{second}' PROMPT_COMMAND=''", extra_init_cmd="export PAGER=cat")


def bash(command: str = "bash") -> REPLWrapper:
    """A bash shell."""
    return _shell(command, ["--rcfile", os.path.join(os.path.dirname(__file__), "bashrc.sh")], "\\[\\]")


def zsh(command: str = "zsh", args: Any = ("--no-rcs", "-V", "+Z")) -> REPLWrapper:
    """A zsh shell."""
    return _shell(command, list(args), "%(!..)")

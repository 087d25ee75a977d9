"""`run`: a program from its start to its end."""
from __future__ import annotations

from typing import Any

from .exceptions import EOF, TIMEOUT
from .pty_spawn import spawn


def run(
    command: Any, timeout: Any = 30, withexitstatus: Any = False, events: Any = None, extra_args: Any = None, logfile: Any = None,
    cwd: Any = None, env: Any = None, **kwargs: Any,
) -> Any:
    """Runs a program on a terminal and returns what it says; with `withexitstatus` and its exit status.

    Args:
        events: a dict or a list of pairs: a pattern, and what is sent when it comes; or a function that gets a dict of what is
            here (`child`, `event_count`, `child_result_list`, `extra_args`, ...) and returns what is sent, or True to stop.
    """
    how = {} if timeout == -1 else {"timeout": timeout}
    child = spawn(command, logfile=logfile, cwd=cwd, env=env, **how, **kwargs)
    pairs = list(events.items()) if isinstance(events, dict) else list(events or [])
    patterns: Any = [pattern for pattern, _ in pairs] or None
    responses = [response for _, response in pairs]
    child_result_list: list[Any] = []
    event_count = 0
    while True:
        try:
            index = child.expect(patterns)
        except (TIMEOUT, EOF):
            child_result_list.append(child.before)
            break
        is_text = isinstance(child.after, child.allowed_string_types)
        child_result_list.append(child.before + child.after if is_text else child.before)
        response = responses[index]
        if isinstance(response, child.allowed_string_types):
            child.send(response)
        elif callable(response):
            answer = response(dict(locals()))
            if isinstance(answer, child.allowed_string_types):
                child.send(answer)
            elif answer:
                break
        else:
            raise TypeError(f"parameter `event' at index {index} must be a string, method, or function: {response!r}")
        event_count += 1
    result = child.string_type().join(child_result_list)
    if not withexitstatus:
        return result
    child.close()
    return result, child.exitstatus


def runu(command: Any, timeout: Any = 30, withexitstatus: Any = False, events: Any = None, extra_args: Any = None, logfile: Any = None,
         cwd: Any = None, env: Any = None, **kwargs: Any) -> Any:
    """`run` of text in UTF-8."""
    kwargs.setdefault("encoding", "utf-8")
    return run(command, timeout, withexitstatus, events, extra_args, logfile, cwd, env, **kwargs)

"""What can go wrong."""
from __future__ import annotations

import os
import sys
import traceback
from typing import Any

PACKAGE = os.path.dirname(__file__) + os.sep


class ExceptionPexpect(Exception):
    """The base of the exceptions here."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return str(self.value)

    def get_trace(self) -> str:
        """The stack as the caller knows it: without what is in here."""
        frames = traceback.extract_tb(self.__traceback__ or sys.exc_info()[2])
        return "".join(traceback.format_list([frame for frame in frames if not frame.filename.startswith(PACKAGE)]))


class EOF(ExceptionPexpect):
    """The other side has ended. As a pattern: that it does."""


class TIMEOUT(ExceptionPexpect):
    """The time is over. As a pattern: that it is."""

"""What the worker processes of test_fanout run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def make(offset: int) -> Callable[[int | str], object]:
    def answer(item: int | str) -> object:
        if item == "exit":
            os._exit(7)
        if item == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "raise":
            raise ValueError("not this one")
        if item == "print":
            print("said aloud")
            return "printed"
        if item == "pid":
            return os.getpid()
        if item == "sleep":
            time.sleep(600)
        if item == "grow":
            held = []
            while True:
                held.append(bytearray(16 << 20))
        if item == "huge":
            return len(bytearray(1 << 40))
        assert isinstance(item, int)
        return item + offset

    return answer

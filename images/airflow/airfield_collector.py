"""Lets Python's collector wait while a program starts; a line of a .pth file imports it at the start of each.

Airflow's imports make objects that stay, and by default the collector would look at them again and again: to make its
API server's application took 6.0 instead of 6.6 s of a busy processor (means of eight; Airflow 3.3.2, Python 3.13),
and 4 MiB more. What runs for longer, a task above all, has Python's own thresholds again, unless it has chosen others.

When the API server ends, Python would collect all that is left: 5.2 s of that processor, and 0.1 if that is exempt.
Other programs are not: in what they leave there may be a file that is not written yet.
"""
# ruff: noqa: INP001 - a module of an image

import atexit
import gc
import sys
import time

SECONDS = 30.0
"""For how long from a process's start, in wall-clock time."""
PATIENT = (50_000, 20, 10)
"""New objects until the youngest are looked at, and of how many such looks one is at those that survived."""

_usual = gc.get_threshold()
_began = time.monotonic()


def _looked(phase: str, _: dict[str, int]) -> None:
    if phase == "stop" and time.monotonic() - _began > SECONDS:
        gc.callbacks.remove(_looked)
        if gc.get_threshold() == PATIENT:
            gc.set_threshold(*_usual)


def _ending() -> None:
    if sys.argv[1:2] == ["api-server"]:
        gc.freeze()


gc.callbacks.append(_looked)
gc.set_threshold(*PATIENT)
atexit.register(_ending)  # the first to be registered is the last to be called

"""The process that renders classes' own values templates, and is nothing but that: it imports no model and no client.

Arguments: seconds that a render may take, and bytes of memory that it may take beyond what it starts with. A line
says that it is ready. Then each line of JSON on stdin, {"template": text, "variables": {...}}, is answered by a line on
stdout, {"values": {...}} or {"error": text}. It ends with its stdin; by SIGALRM, when a render takes too long, whatever
has become of the operator; with exit code OUT_OF_MEMORY.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from airfield.environment.template.sandbox import ValuesError, render_values

OUT_OF_MEMORY: Final = 70
"""Exit code: there was not enough memory for a template."""


def main() -> None:
    """Answer requests until there are no more."""
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whoever prints, it is no answer
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # to end even in the middle of one long operation
    _limit(memory)
    answers.write(b"\n")
    answers.flush()
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            answer = json.dumps(_answer(**json.loads(line)))
        except MemoryError:
            os._exit(OUT_OF_MEMORY)  # what is left may be too little to go on
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(answer.encode() + b"\n")
        answers.flush()


def _limit(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where there is no /proc, a laptop renders its user's own template. A limit that is stricter already stays.
    with contextlib.suppress(FileNotFoundError, ValueError):
        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))


def _answer(template: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"values": render_values(template, variables)}
    except ValuesError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    main()

"""Mends what keeps Airflow from ending: python mend.py /opt/venv. Fails when the text to be mended is not there.

A LocalExecutor that shuts down sends a message for each worker that it knows and that is alive; any worker may take it.
Two things leave a worker without one (Airflow 3.3.2, on a busy machine), and the scheduler waits for that worker for
ever, its pod for its whole grace period, an hour:

- a worker that takes a message and ends before it is looked at gets none itself, so that another one lacks its own;
- a scheduler that is told to end while it starts its workers does not know the one that it has just forked.

A message too many harms nobody, so there is one for each worker that there can be.
"""
# ruff: noqa: INP001 - a script of an image

import py_compile
import sys
from pathlib import Path

BEFORE = """\
        for proc in self.workers.values():
            # Send the shutdown message once for each alive worker
            if proc.is_alive():
                self.activity_queue.put(None)
"""
AFTER = """\
        for _ in range(self.parallelism):
            self.activity_queue.put(None)
"""


def main(venv: Path) -> None:
    """Replace the text in the one file that has it, and compile that file anew."""
    (file,) = venv.glob("lib/python3.*/site-packages/airflow/executors/local_executor.py")
    text = file.read_text(encoding="utf-8")
    if text.count(BEFORE) != 1:
        sys.exit(f"{file}: LocalExecutor.end is another than it was: see whether it still needs to be mended")
    file.write_text(text.replace(BEFORE, AFTER), encoding="utf-8")
    py_compile.compile(str(file), doraise=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

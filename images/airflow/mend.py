"""Mends what keeps Airflow from ending: python mend.py /opt/venv. Fails when a text to be mended is not there.

Several things keep a LocalExecutor's scheduler (Airflow 3.3.2) from ending when it is told to; its pod then stays for
an hour, its whole grace period. The first, and the last, were seen:

- Its handler of signals raises SystemExit. That may be in one of Python's own callbacks, after a fork or an import,
  where exceptions are printed and ignored: the signal is lost. So the handler also leaves a note, which each round of
  the scheduler reads; signals wait until all workers are forked; and before there is anything to end, the scheduler has
  no handler at all: the process dies at once.
- The handler writes to the log. Where that is just being written to, it waits for itself, for ever. So it does not.
- One that ends while it forks does not know the worker that it has just forked, and sends it no message to end.
- A worker that takes such a message and ends before it is looked at gets none itself, so that another one lacks its.
  A message too many harms nobody, so there is one for each worker that there can be.
"""
# ruff: noqa: INP001 - a script of an image

import py_compile
import sys
from pathlib import Path

MENDS = {
    "executors/local_executor.py": (
        (
            """\
        for proc in self.workers.values():
            # Send the shutdown message once for each alive worker
            if proc.is_alive():
                self.activity_queue.put(None)
""",
            """\
        for _ in range(self.parallelism):
            self.activity_queue.put(None)
""",
        ),
        (
            """\
        gc.freeze()
""",
            """\
        import signal

        came = []
        handlers = {
            number: signal.signal(number, lambda number, frame: came.append(number))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        gc.freeze()
""",
        ),
        (
            """\
            gc.unfreeze()
""",
            """\
            gc.unfreeze()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
""",
        ),
    ),
    "jobs/scheduler_job_runner.py": (
        (
            """\
        self.log.info("Exiting gracefully upon receiving signal %s", signum)
""",
            """\
        self._told_to_exit = True
""",
        ),
        (
            """\
            self._dag_id_to_team_name = {}
            with stats.timer("scheduler.scheduler_loop_duration") as timer:
""",
            """\
            self._dag_id_to_team_name = {}
            if getattr(self, "_told_to_exit", False):
                self.log.info("Exiting gracefully: the signal to do so was lost")
                sys.exit(os.EX_OK)
            with stats.timer("scheduler.scheduler_loop_duration") as timer:
""",
        ),
    ),
    "cli/commands/daemon_utils.py": (
        (
            """\
        signal.signal(signal.SIGTERM, sigint_handler)
""",
            """\
        if process_name != "scheduler":
            signal.signal(signal.SIGTERM, sigint_handler)
""",
        ),
    ),
}


def main(venv: Path) -> None:
    """Replace the texts in the files that have them, and compile those files anew."""
    (airflow,) = venv.glob("lib/python3.*/site-packages/airflow")
    for name, mends in MENDS.items():
        file = airflow / name
        text = file.read_text(encoding="utf-8")
        for before, after in mends:
            if text.count(before) != 1:
                sys.exit(f"{file}: it is another than it was: see whether it still needs to be mended")
            text = text.replace(before, after)
        file.write_text(text, encoding="utf-8")
        py_compile.compile(str(file), doraise=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

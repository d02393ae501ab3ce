"""Ending processes that were started with `asyncio.create_subprocess_exec(..., start_new_session=True)`."""

import asyncio
import contextlib
import os
import signal


async def end(process: asyncio.subprocess.Process) -> int:
    """End the process and whatever it started, reap it, even while being cancelled, and return its exit code."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # Not wait(): that waits for ever while output is left unread.
        await asyncio.shield(process.communicate())
    return await process.wait()

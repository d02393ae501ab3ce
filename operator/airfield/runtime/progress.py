"""Whether the process gets anywhere: what a restart could mend. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STUCK_SECONDS: Final = 300.0
"""A queue in which keys wait but nothing has come to an end for so long makes the process count as dead."""
BLOCKED_SECONDS: Final = 3600.0
"""A handler for which its own key has waited for so long hangs: whatever it does is bounded in time, by minutes."""
SILENT_SECONDS: Final = 60.0
"""So long may pass without an attempt at the Lease, each of which ends within seconds."""
RELISTS: Final = 3
"""So many periods of the relist may pass without one that succeeded, or without a word from one of the watches."""


@dataclass(frozen=True)
class Signs:
    """Ages in seconds."""

    stalled: float
    """How long keys have waited in a queue that works while nothing came to an end."""
    blocked: float
    """How long a key has waited for its own handler to end. A long line is no sign: a restart makes it longer."""
    unlisted: float
    """Since everything was last listed with success, or since the start."""
    unheard: float
    """Since the watch that has been silent for longest was granted or said something: each is begun anew in minutes."""
    silent: float
    """Since an attempt to see to the Lease came to an end."""


def problems(signs: Signs, resync: float) -> list[str]:
    """Why the process should be restarted, a sentence each; `resync` is the seconds between two relists."""
    longest = max(RELISTS * resync, STUCK_SECONDS)
    found = []
    if signs.stalled > STUCK_SECONDS:
        found.append(f"keys wait, but nothing has come to an end for {signs.stalled:.0f} s")
    if signs.blocked > BLOCKED_SECONDS:
        found.append(f"a key has waited for its own handler for {signs.blocked:.0f} s")
    if signs.unlisted > longest:
        found.append(f"nothing could be listed for {signs.unlisted:.0f} s")
    if signs.unheard > longest:
        found.append(f"a watch has said nothing for {signs.unheard:.0f} s")
    if signs.silent > SILENT_SECONDS:
        found.append(f"the Lease has not been looked at for {signs.silent:.0f} s")
    return found

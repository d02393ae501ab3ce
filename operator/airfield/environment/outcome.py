"""What a phase of a reconcile can come to."""

from dataclasses import dataclass

from airfield.environment.reasons import Reason


@dataclass(frozen=True, slots=True)
class Done:
    """The phase's part of the world is as it should be, or is still believed to be."""

    message: str = ""
    again: float | None = None
    """Seconds until the next look, where it is only believed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do but look again: something else must happen first, and it is expected to."""

    reason: Reason
    message: str
    after: float = 10.0
    """Seconds until the next look; a watch event comes sooner where there is something to watch."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Somebody must change something. The next look is only a safety net."""

    reason: Reason
    message: str
    after: float = 60.0


Outcome = Done | Wait | Stall

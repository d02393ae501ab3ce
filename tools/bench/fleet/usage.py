"""What processes of this machine have used: CPU seconds and memory, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far, and the most memory held at a time in MiB."""

    own: float
    children: float
    """Of children that have ended: Helm, for the operator."""
    peak: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """What a live process has used."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user, system, child_user, child_system = (int(field) / _TICKS for field in fields[11:15])
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        return cls(user + system, child_user + child_system, peak / 1024)

    def since(self, before: Self) -> "Usage":
        """The CPU seconds since an earlier moment; the peak is that of the whole life."""
        return Usage(self.own - before.own, self.children - before.children, self.peak)

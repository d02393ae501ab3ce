"""The whole benchmark: for each number of environments the floor and the operator, each in a cluster of its own."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp

from bench.fleet import campaign, floor, peers
from bench.fleet.report import Fleet
from bench.fleet.trouble import Trouble
from bench.fleet.world import postgres, world
from bench.setup import Say


def measure(sizes: Sequence[int], say: Say, trouble: Trouble) -> Iterator[Fleet]:
    """Measure everything; what has been measured so far after each size.

    The other ways only with the smallest number of environments: they take long. `trouble` is the operator's alone:
    the floor is that of a fleet without.
    """
    fleet = Fleet()
    logs = Path(mkdtemp(prefix="airfield-bench-"))
    say(f"logs of the operator go to {logs}")
    with postgres() as database:
        for number in sizes:
            with world(f"floor-{number}", number, database, say) as place:
                fleet.floors[number] = asyncio.run(floor.measure(place, number))
                say(f"{number} environments: {fleet.floors[number]}")
            with world(f"fleet-{number}", number, database, say, trouble) as place:
                fleet.results[number] = asyncio.run(campaign.run(place, number, logs / f"operator-{number}.log"))
            for peer in () if trouble or number != sizes[0] else peers.PEERS:
                with world(peer, number, database, say) as place:
                    fleet.peers[peer] = asyncio.run(peers.measure(place, number, peer))
                    say(f"{number} environments: {peers.PEERS[peer]}: {fleet.peers[peer]:.1f} s")
            yield fleet

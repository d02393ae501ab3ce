"""The results of the fleet benchmark as a section of docs/benchmarks.md and as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bench.fleet.campaign import IDLE_SECONDS, Phase, Results
from bench.fleet.floor import Floor
from bench.fleet.peers import PEERS
from bench.report import about_load

MEMORY_GOAL: Final = 256


@dataclass
class Fleet:
    """All that was measured, by number of environments."""

    floors: dict[int, Floor] = field(default_factory=dict)
    results: dict[int, Results] = field(default_factory=dict)
    peers: dict[str, float] = field(default_factory=dict)
    """Seconds, at the smallest number of environments."""

    def document(self) -> dict[str, Any]:
        """For JSON. Requests by verb and kind become lists."""
        return {
            "floors": {str(number): asdict(floor) for number, floor in self.floors.items()},
            "operator": {
                str(number): {
                    "phases": {
                        name: {
                            "seconds": phase.seconds,
                            "usage": asdict(phase.reading.usage),
                            "requests": [[*key, count] for key, count in sorted(phase.reading.requests.items())],
                            "renders": dict(phase.reading.renders),
                            "passes": phase.reading.passes,
                            "cluster": dict(phase.cluster),
                        }
                        for name, phase in result.phases.items()
                    },
                    "applied": result.applied,
                    "repairs": result.repairs,
                    "leftovers": result.leftovers,
                }
                for number, result in self.results.items()
            },
            "peers": self.peers,
        }


def render(fleet: Fleet, facts: Mapping[str, str], load: float) -> str:
    """The section, in Markdown."""
    sizes = sorted(fleet.results)
    lines = [
        f"| N environments | {' | '.join(map(str, sizes))} | goal at {sizes[-1]} |",
        "|---|" + "---|" * (len(sizes) + 1),
        *(f"| {title} | {' | '.join(cells)} | {goal} |" for title, cells, goal in _rows(fleet, sizes)),
        "",
        *_peers(fleet, sizes),
        *_plot("Seconds until all are Ready", sizes, [fleet.results[n].phases["create"].seconds for n in sizes]),
        *_plot("Most memory, MiB", sizes, [_peak(fleet.results[n]) for n in sizes]),
        *about_load(load),
        "",
        "; ".join(f"{name}: {value}" for name, value in facts.items()) + ".",
    ]
    return "\n".join(lines)


def _rows(fleet: Fleet, sizes: Sequence[int]) -> list[tuple[str, list[str], str]]:
    floors, results = fleet.floors, fleet.results

    def texts(title: str, text: Callable[[int], str]) -> tuple[str, list[str], str]:
        return title, [text(number) for number in sizes], ""

    def figures(
        title: str, figure: Callable[[int], float], form: str = ".1f", goal: float | None = None, unit: str = ""
    ) -> tuple[str, list[str], str]:
        """A row of numbers. A goal is one for the largest fleet."""
        values = [figure(number) for number in sizes]
        cells = [f"{value:{form}}{unit}" for value in values]
        if goal is None:
            return title, cells, ""
        limit = f"≤ {goal:g}{unit}" if goal else "0"
        return title, cells, f"{limit}: {'met' if values[-1] <= goal else 'missed'}"

    def phase(number: int, name: str) -> Phase:
        return results[number].phases[name]

    def seconds(name: str) -> Callable[[int], float]:
        return lambda n: phase(n, name).seconds

    def requests(name: str) -> Callable[[int], float]:
        return lambda n: sum(phase(n, name).reading.requests.values())

    def writes(name: str) -> Callable[[int], float]:
        return lambda n: phase(n, name).reading.writes

    def renders(name: str) -> Callable[[int], float]:
        return lambda n: phase(n, name).reading.renders["ok"]

    def growth(seconds: Callable[[int], float], goal: float | None = 1.2) -> tuple[str, list[str], str]:
        title, smallest = "… per environment, of that in the smallest fleet", sizes[0]
        return figures(title, lambda n: (seconds(n) / n) / (seconds(smallest) / smallest), ".2f", goal)

    def passes(name: str) -> tuple[str, list[str], str]:
        return figures("… passes of the reconcile per environment", lambda n: phase(n, name).reading.passes / n)

    def cpu(name: str) -> Callable[[int], str]:
        def shares(n: int) -> str:
            usage = phase(n, name).reading.usage
            return f"{usage.own:.0f} / {usage.children:.0f}"

        return shares

    def around(name: str) -> tuple[str, list[str], str]:
        def shares(n: int) -> str:
            used = phase(n, name).cluster
            server, store = used.get("kube-apiserver", 0.0), used.get("etcd", 0.0)
            return f"{server:.0f} / {store:.0f} / {sum(used.values()) - server - store:.0f}"

        return texts("… CPU s: API server / etcd / controllers and simulated nodes", shares)

    return [
        figures("floor: rendered and applied, s", lambda n: floors[n].applied),
        texts(
            "… CPU s: Helm / client / API server",
            lambda n: f"{floors[n].render_cpu:.0f} / {floors[n].client_cpu:.0f} / {floors[n].server_cpu:.0f}",
        ),
        figures("… until all is available, s", lambda n: floors[n].serving),
        growth(lambda n: floors[n].serving, None),
        figures("… a change of all until it is rolled out, s", lambda n: floors[n].changed),
        growth(lambda n: floors[n].changed, None),
        figures("operator: all is applied, s", lambda n: results[n].applied),
        figures("… of the floor until all is applied", lambda n: results[n].applied / floors[n].applied, ".2f", 1.5),
        figures("operator: all Ready, s", seconds("create")),
        figures(
            "… of the floor until all is available", lambda n: seconds("create")(n) / floors[n].serving, ".2f", 1.5
        ),
        growth(seconds("create")),
        texts("… CPU s: operator / Helm", cpu("create")),
        around("create"),
        passes("create"),
        figures(
            "… Helm, CPU ms per environment",
            lambda n: 1000 * phase(n, "create").reading.usage.children / n,
            ".0f",
            80,
        ),
        figures("… API requests", requests("create"), ".0f"),
        figures("most memory of the operator's process, MiB", lambda n: _peak(results[n]), ".0f", MEMORY_GOAL),
        figures("two idle minutes: writes", writes("idle"), ".0f", 0),
        figures("… renders", renders("idle"), ".0f", 0),
        figures(
            "… share of one core", lambda n: 100 * phase(n, "idle").reading.usage.own / IDLE_SECONDS, ".1f", 2, " %"
        ),
        figures("class change everywhere, s", seconds("change")),
        figures(
            "… of the floor's change until it is rolled out",
            lambda n: seconds("change")(n) / floors[n].changed,
            ".2f",
            1.5,
        ),
        growth(seconds("change")),
        passes("change"),
        texts("… CPU s: operator / Helm", cpu("change")),
        around("change"),
        figures("… API requests", requests("change"), ".0f"),
        figures("repair of a deleted Deployment, p50 s", lambda n: _repairs(results[n], 0.5), ".2f"),
        figures("… p99 s", lambda n: _repairs(results[n], 0.99), ".2f", 5),
        figures("restart: steady after, s", seconds("restart")),
        figures("… writes", writes("restart"), ".0f", 0),
        figures("… renders", renders("restart"), ".0f"),
        figures("leader killed: takeover, s", seconds("takeover"), ".1f", 15),
        figures("all deleted, s", seconds("delete")),
        growth(seconds("delete")),
        figures("… leftovers", lambda n: results[n].leftovers, ".0f", 0),
    ]


def _peak(result: Results) -> float:
    return max(phase.reading.usage.peak for phase in result.phases.values())


def _repairs(result: Results, share: float) -> float:
    ordered = sorted(result.repairs)
    return ordered[int(len(ordered) * share)]


def _peers(fleet: Fleet, sizes: Sequence[int]) -> list[str]:
    if not fleet.peers:
        return []
    smallest = sizes[0]
    own, floor = fleet.results[smallest].phases["create"].seconds, fleet.floors[smallest].applied
    return [
        f"| {smallest} environments by other means | s | of the floor until applied |",
        "|---|---|---|",
        *(f"| {PEERS[name]} | {seconds:.1f} | {seconds / floor:.2f} |" for name, seconds in fleet.peers.items()),
        f"| operator, until all are Ready | {own:.1f} | {own / floor:.2f} |",
        "",
    ]


def _plot(title: str, sizes: Sequence[int], values: Sequence[float]) -> list[str]:
    """A chart that GitHub and most viewers of Markdown draw."""
    if len(sizes) < 2:
        return []
    return [
        "```mermaid",
        "xychart-beta",
        f'    title "{title}"',
        f'    x-axis "environments" [{", ".join(map(str, sizes))}]',
        f"    line [{', '.join(f'{value:.1f}' for value in values)}]",
        "```",
        "",
    ]

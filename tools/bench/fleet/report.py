"""The results of the fleet benchmark as a section of docs/benchmarks.md and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bench.fleet.campaign import IDLE_SECONDS, Results
from bench.fleet.floor import Floor
from bench.fleet.peers import PEERS

MEMORY_GOAL: Final = 256
ROWS: Final = ("create", "idle", "change", "repair", "restart", "takeover", "delete")


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
                        }
                        for name, phase in result.phases.items()
                    },
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
        f"| N environments | {' | '.join(map(str, sizes))} | goal |",
        "|---|" + "---|" * (len(sizes) + 1),
        *(f"| {title} | {' | '.join(cells)} | {goal} |" for title, cells, goal in _rows(fleet, sizes)),
        "",
        *_peers(fleet, sizes),
        *_plot("Seconds until all are Ready", sizes, [fleet.results[n].phases["create"].seconds for n in sizes]),
        *_plot("Most memory, MiB", sizes, [_peak(fleet.results[n]) for n in sizes]),
        f"Load average at the start: {load:.2f}.",
        "",
        "; ".join(f"{name}: {value}" for name, value in facts.items()) + ".",
    ]
    return "\n".join(lines)


def _rows(fleet: Fleet, sizes: Sequence[int]) -> list[tuple[str, list[str], str]]:
    floors, results = fleet.floors, fleet.results

    def each(text: Any) -> list[str]:
        return [text(number) for number in sizes]

    def phase(number: int, name: str) -> Any:
        return results[number].phases[name]

    return [
        ("floor: rendered and applied, s", each(lambda n: f"{floors[n].applied:.1f}"), ""),
        (
            "… CPU s: Helm / client / API server",
            each(lambda n: f"{floors[n].render_cpu:.0f} / {floors[n].client_cpu:.0f} / {floors[n].server_cpu:.0f}"),
            "",
        ),
        ("… until all is available, s", each(lambda n: f"{floors[n].serving:.1f}"), ""),
        ("… a change of all until it is rolled out, s", each(lambda n: f"{floors[n].changed:.1f}"), ""),
        ("operator: all Ready, s", each(lambda n: f"{phase(n, 'create').seconds:.1f}"), ""),
        ("… of the floor", each(lambda n: f"{phase(n, 'create').seconds / floors[n].serving:.2f}"), "≤ 1.5"),
        ("… per environment, of that in the smallest fleet", each(lambda n: _growth(results, n)), "≤ 1.2"),
        (
            "… CPU s: operator / Helm",
            each(
                lambda n: (
                    f"{phase(n, 'create').reading.usage.own:.0f} / {phase(n, 'create').reading.usage.children:.0f}"
                )
            ),
            "",
        ),
        (
            "… Helm, CPU ms per environment",
            each(lambda n: f"{1000 * phase(n, 'create').reading.usage.children / n:.0f}"),
            "≤ 80",
        ),
        ("… API requests", each(lambda n: f"{sum(phase(n, 'create').reading.requests.values())}"), ""),
        ("most memory, MiB", each(lambda n: f"{_peak(results[n]):.0f}"), f"≤ {MEMORY_GOAL}"),
        ("two idle minutes: writes", each(lambda n: f"{phase(n, 'idle').reading.writes}"), "0"),
        ("… renders", each(lambda n: f"{phase(n, 'idle').reading.renders['ok']}"), "0"),
        (
            "… share of one core",
            each(lambda n: f"{100 * phase(n, 'idle').reading.usage.own / IDLE_SECONDS:.1f} %"),
            "≤ 2 %",
        ),
        ("class change everywhere, s", each(lambda n: f"{phase(n, 'change').seconds:.1f}"), ""),
        ("… of the floor", each(lambda n: f"{phase(n, 'change').seconds / floors[n].changed:.2f}"), "≤ 1.5"),
        ("… API requests", each(lambda n: f"{sum(phase(n, 'change').reading.requests.values())}"), ""),
        ("repair of a deleted Deployment, p50 / p99 s", each(lambda n: _repairs(results[n])), "p99 ≤ 5"),
        ("restart: steady after, s", each(lambda n: f"{phase(n, 'restart').seconds:.1f}"), ""),
        ("… writes", each(lambda n: f"{phase(n, 'restart').reading.writes}"), "0"),
        ("leader killed: takeover, s", each(lambda n: f"{phase(n, 'takeover').seconds:.1f}"), "≤ 15"),
        ("all deleted, s", each(lambda n: f"{phase(n, 'delete').seconds:.1f}"), ""),
        ("… leftovers", each(lambda n: f"{results[n].leftovers}"), "0"),
    ]


def _growth(results: Mapping[int, Results], number: int) -> str:
    def each(size: int) -> float:
        return results[size].phases["create"].seconds / size

    return f"{each(number) / each(min(results)):.2f}"


def _peak(result: Results) -> float:
    return max(phase.reading.usage.peak for phase in result.phases.values())


def _repairs(result: Results) -> str:
    ordered = sorted(result.repairs)
    return f"{ordered[len(ordered) // 2]:.2f} / {ordered[int(len(ordered) * 0.99)]:.2f}"


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

"""What passes remember for the next one, so that an environment to which nothing has happened costs next to nothing.

Nothing depends on it: whoever remembers nothing does a full pass, and comes to the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from airfield.api.conditions import ConditionType
from airfield.api.environment import AirflowEnvironment
from airfield.environment.ensure.run import Doors, Run
from airfield.environment.outcome import Done, Outcome
from airfield.environment.status import is_calm
from airfield.kube.resources import wish
from airfield.runtime.documents import packed, unpacked

Key = tuple[str, str]
Outcomes = dict[ConditionType, Outcome]

RENDERED: Final = frozenset({ConditionType.RESOLVED, ConditionType.KEYS_READY, ConditionType.RENDERED})


@dataclass(frozen=True, slots=True)
class _Pass:
    """A pass that got at least as far as rendering."""

    wish: object
    run: Run
    outcomes: Mapping[ConditionType, Outcome]
    """Of the phases that were done."""
    rendered: bytes
    """What was rendered, packed: a thousand environments may wait at the same time. Nothing where all is applied."""


class Memory:
    """The last pass of every environment."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._passes: dict[Key, _Pass] = {}

    def wish(self, environment: AirflowEnvironment) -> object:
        """All that an environment is resolved from: it resolves to the same as long as this is the same."""
        resources, key = self._doors.resources, _key(environment)
        blueprint = resources.classes.get(environment.spec.class_name)
        body = resources.environments.get(key)
        tenant = resources.holder(key[0])
        return body and wish(body), tenant and wish(tenant), blueprint and wish(blueprint)

    def resume(self, environment: AirflowEnvironment, wished: object) -> tuple[Run, Outcomes] | None:
        """The last pass and what of it still holds; None when something that it read has changed since.

        Takes it out of the memory: a pass that fails half-way leaves nothing behind.
        """
        key = _key(environment)
        last = self._passes.pop(key, None)
        if last is None or last.wish != wished or not self._doors.secrets.unchanged(key[0], last.run.versions):
            return None
        run = last.run
        run.resume(environment, unpacked(last.rendered) if last.rendered else [])
        holds = dict(last.outcomes)
        if run.settled_at is None:
            holds = {kind: outcome for kind, outcome in holds.items() if kind in RENDERED}
        elif run.settled_at != self._doors.inventory.revision(key) or not is_calm(run.previous):
            return None
        return run, holds

    def remember(self, run: Run, wished: object, outcomes: Mapping[ConditionType, Outcome]) -> None:
        """Keep a pass that has ended for the next one."""
        done = {kind: outcome for kind, outcome in outcomes.items() if isinstance(outcome, Done)}
        done.pop(ConditionType.HEALTHY, None)  # is looked at every time
        if done.keys() >= RENDERED:
            rendered = packed(run.rendered) if run.settled_at is None else b""
            run.rest()
            self._passes[run.key] = _Pass(wished, run, done, rendered)

    def forget(self, key: Key) -> None:
        """Take in that an environment is gone."""
        self._passes.pop(key, None)
        self._doors.secrets.read_by(key, ())
        self._doors.inventory.let_go(key)


def _key(environment: AirflowEnvironment) -> Key:
    return environment.metadata.namespace, environment.metadata.name

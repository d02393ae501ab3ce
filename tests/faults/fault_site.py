"""A cluster whose operator reaches the API server through a proxy that makes requests go wrong."""

import itertools
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airfield.kube import credentials
from airfield.kube.client import KubeClient
from airflow_stub import airflow_stub
from clusters import PREFIX, run_id
from faultproxy import Call, FaultProxy, Rule, Script
from faultproxy.rules import WRITES
from faults.state import SLOWLY
from localcluster import Cluster, Options, tool
from operated_cluster import Site, Team, eventually, install
from operator_account import log_in
from operator_process import Operator
from postgres_server import PostgresServer

_numbers = itertools.count(1)


@dataclass
class FaultSite(Site):
    """What the tests of one worker share; each of them begins and ends with an operator that runs, and no rules."""

    proxy: FaultProxy
    ends: dict[str, tuple[dict[str, Any], int]] = field(default_factory=dict)
    """How stories end without a fault, and after how many writes; by what they are called."""

    @contextmanager
    def faults(self, *rules: Rule) -> Iterator[Script]:
        """Requests go wrong within the block."""
        script = self.proxy.script = Script(rules)
        try:
            yield script
        finally:
            self.proxy.script = Script()

    def new_team(self, kube: KubeClient) -> Team:
        """A team with names that nobody else has."""
        name = f"t{next(_numbers)}-{uuid.uuid4().hex[:6]}"
        return Team(self, kube, name, name)

    def killed_at(self, write: int, namespace: str, *, after: bool, kind: str = "", name: str = "") -> Rule:
        """The operator dies at its n-th write in a namespace, or of a kind; before or after it reaches the server."""
        kill = Call(self.operator.kill, after=after)
        return Rule(kill, WRITES, kind=kind, name=name, namespace=namespace, first=write)

    async def killed(self, rule: Rule, act: Awaitable[object], same: Callable[[], Awaitable[bool]]) -> bool:
        """Whether the operator was killed while something was done; another one brings it to the same end."""
        with self.faults(rule) as script:
            await act

            async def killed_or_done() -> bool:
                return not self.operator.running or await same()

            await eventually(killed_or_done, pause=SLOWLY)
        if script.taken:
            await eventually(self.stopped)
            self.operator.start()
        await eventually(same, pause=SLOWLY)
        return bool(script.taken)

    async def until_looked_at(self, team: Team, name: str = "demo", *, since: int) -> None:
        """Wait until the operator went through all phases of an environment; `since`: how often it was asked before."""

        async def looked() -> bool:
            return self.airflow.asked.count(f"{team.namespace}/{name}") > since

        await eventually(looked)

    async def stopped(self) -> bool:
        """Whether no operator runs."""
        return not self.operator.running

    def looks(self, team: Team, name: str = "demo") -> int:
        """How often the health of an environment was asked for."""
        return self.airflow.asked.count(f"{team.namespace}/{name}")


@contextmanager
def fault_site(postgres: PostgresServer, folder: Path) -> Iterator[FaultSite]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw")
    cluster = Cluster(f"{PREFIX}faults-{worker}-{run_id()}", Options("control-plane", kwok_nodes=2))
    with ExitStack() as stack:
        stack.callback(cluster.down)
        cluster.up()
        install(cluster, postgres)
        airflow = stack.enter_context(airflow_stub())
        account = log_in(cluster, folder / "account")
        proxy = stack.enter_context(FaultProxy(credentials.from_kubeconfig(path=str(account))).running())
        settings = {"HELM": str(tool("helm")), "AIRFLOW_URL": airflow.url, "MIGRATION_RETRY_SECONDS": "3"}
        operator = Operator(proxy.write_kubeconfig(folder / "kubeconfig"), folder / "operator.log", settings)
        operator.start()
        stack.callback(operator.kill)
        yield FaultSite(cluster, postgres, airflow, operator, proxy)

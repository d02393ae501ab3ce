"""What the metrics tell of what environments request, use and cost. Pure."""

from collections.abc import Iterator, Mapping

from airfield.costs.fleet import Charge
from airfield.costs.ledger import Key, Spent
from airfield.costs.report import GIBI, MONTH
from airfield.kube.task_pods import TaskPods
from airfield.runtime.metrics import CostState


def costs(charges: Mapping[Key, Charge], tasks: TaskPods, used: Mapping[Key, Spent]) -> Iterator[CostState]:
    """The state of each environment that is charged. Metrics are floating-point numbers: the ledger is exact."""
    for key, charge in charges.items():
        terms, spent, (cpu, memory) = charge.terms, used.get(key, Spent()), tasks.running(key)
        cpu, memory = cpu + terms.cpu, memory + terms.memory
        hour = cpu * terms.cpu_hour + memory / GIBI * terms.memory_gib_hour
        yield CostState(
            *key,
            tenant=charge.tenant,
            cost_centre=terms.cost_centre,
            currency=terms.currency,
            cpu=float(cpu),
            memory=float(memory),
            storage=float(terms.storage),
            cost=float(hour + terms.storage / GIBI * terms.storage_gib_month * 3600 / MONTH),
            used_cpu=float(spent.cpu),
            used_memory=float(spent.memory),
            used_storage=float(spent.storage),
        )

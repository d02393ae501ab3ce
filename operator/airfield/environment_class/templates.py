"""Which template databases a class should have, and what of it is left to do. Pure."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from airfield.api.environment_class import AirflowEnvironmentClass, CatalogVersion, DatabaseServer
from airfield.environment.values import schema_revision


@dataclass(frozen=True, slots=True)
class Wanted:
    """A template that a class should have on a server."""

    server: DatabaseServer
    entry: CatalogVersion

    @property
    def revision(self) -> str:
        return schema_revision(self.entry.version, self.entry.image)

    @property
    def job(self) -> str:
        """Name of the release that fills it: unique per server and revision, in the operator's namespace."""
        where = hashlib.sha256(f"{self.server.host}:{self.server.port}".encode()).hexdigest()[:8]
        return f"template-{where}-{self.revision}"


def wanted(blueprint: AirflowEnvironmentClass) -> Iterator[Wanted]:
    """One template for each version on each server."""
    for server in blueprint.spec.database_servers:
        for entry in blueprint.spec.catalog.versions:
            yield Wanted(server, entry)


def missing(templates: Collection[Wanted], present: Collection[str]) -> list[Wanted]:
    """Those of one server that are not there yet, by revision."""
    return [template for template in templates if template.revision not in present]

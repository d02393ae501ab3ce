"""`airfield render` shows what the operator applies: neither more nor less."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from airfield.cli.render import NO_UID
from airfield.kube.kinds import Ref
from airfield.kube.ownership import owned_fields
from localcluster import tool
from operated_cluster import Json, Team

pytestmark = pytest.mark.apiserver

SPEC: Json = {
    "executor": "KubernetesExecutor",
    "components": {"apiServer": {"replicas": 2}, "workers": {"nodeSelector": {"disk": "ssd"}}},
    "config": {"core": {"parallelism": "7"}},
    "env": [{"name": "GREETING", "value": "$(HOME) {{ hello }}"}],
    "dags": {"bundles": [{"name": "baked", "image": {"path": "/opt/airflow/dags"}}]},
}
CHECKSUM = "airfield.dev/checksum"
NOT_RENDERED = {"Pod", "Secret", "Job"}
"""Made by controllers, by the operator in another way, and once."""


async def test_render_shows_what_is_applied(team: Team, tmp_path: Path) -> None:
    await team.put_tenant(labels={"cost-centre": "4711"})
    await team.put_environment(**SPEC)
    await team.until_ready()
    await team.settled_versions()
    applied = {ref: obj for ref, obj in (await team.objects()).items() if ref.kind not in NOT_RENDERED}
    rendered = {Ref.of(obj): obj for obj in await _render(team, tmp_path) if obj["kind"] not in NOT_RENDERED}

    assert rendered.keys() == applied.keys()
    assert len(rendered) > 15
    for ref, live in applied.items():
        # Applied by the operator's name, it would neither change the object nor what the operator owns of it.
        filled = _filled(rendered[ref], live)
        again = await team.kube.apply(filled, dry_run=True)
        assert _settled(again) == _settled(live), ref
        assert owned_fields(again) == owned_fields(live), ref


async def _render(team: Team, folder: Path) -> list[Json]:
    file = folder / "environment.yaml"
    metadata = {"name": "demo", "namespace": team.namespace}
    resource = {"apiVersion": "airfield.dev/v1alpha1", "kind": "AirflowEnvironment", "metadata": metadata}
    file.write_text(yaml.safe_dump({**resource, "spec": team.environment_spec(**SPEC)}))
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "airfield",
        *("render", "-f", file, "--cluster", "--helm", tool("helm")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(team.site.cluster.kubeconfig)},
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return list(yaml.safe_load_all(stdout))


def _filled(rendered: Any, live: Any) -> Any:
    """`rendered` with what only the cluster knows: the environment's uid, and the checksums, which tell of Secrets."""
    if isinstance(rendered, dict) and isinstance(live, dict):
        found = {key: _filled(value, live.get(key)) for key, value in rendered.items()}
        if rendered.get("uid") == NO_UID:
            found["uid"] = live["uid"]
        if CHECKSUM in rendered:
            found[CHECKSUM] = live[CHECKSUM]
        return found
    if isinstance(rendered, list) and isinstance(live, list) and len(rendered) == len(live):
        return [_filled(*pair) for pair in zip(rendered, live, strict=True)]
    return rendered


def _settled(obj: Json) -> Json:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata, "status": None}

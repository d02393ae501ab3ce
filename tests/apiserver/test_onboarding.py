"""docs/onboarding.md, done as it says: by a platform engineer, then by somebody of the team."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
import yaml

from airfield.kube.kinds import Ref
from localcluster import Cluster, tool
from operated_cluster import REPOSITORY, Site, Team, decoded, eventually

pytestmark = pytest.mark.apiserver

PAGE = REPOSITORY / "docs" / "onboarding.md"
PEOPLE = {"The platform team": {}, "The team": {"as": "erik@example.com", "as-groups": ["sales-engineers"]}}
"""Who follows the page from a heading that begins like this on."""
STATE = ("get", "afenv,pods", "-A", "-o=custom-columns=NAME:.metadata.name,STATUS:.status.conditions[*].message")
DURATION = re.compile(r"\b([0-9]+[dhms])+\b")


class Step(NamedTuple):
    """A file of the page, or a command with what it prints."""

    section: str
    text: str
    expected: str = ""


def steps() -> Iterator[Step]:
    section = ""
    for heading, kind, block in re.findall(
        r"^## ([^\n]+)$|^```(yaml|console)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        section = heading or section
        if kind == "yaml":
            yield Step(section, block)
        for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE) if block else ():
            yield Step(section, command, output)


def account(cluster: Cluster, folder: Path, name: str, person: object) -> Path:
    document = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    document["users"][0]["user"] |= person
    path = folder / f"{name}.kubeconfig"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def says(found: str, expected: str) -> bool:
    """Whether it is the same but for durations, widths of columns, and what the page leaves out."""
    plain = [" ".join(DURATION.sub("1s", text).split()) for text in (found, expected)]
    return re.fullmatch(".*".join(map(re.escape, (part.strip() for part in plain[1].split("…")))), plain[0]) is not None


async def offer_class(team: Team) -> None:
    """The quickstart's class, but for its databases: simulated pods hold none."""
    example = yaml.safe_load((REPOSITORY / "examples" / "quickstart" / "class.yaml").read_text(encoding="utf-8"))
    spec = {**example["spec"], "databaseServers": [team.server()], "stages": []}
    spec["defaults"]["database"] = {"server": {}}
    await team.put_resource("AirflowEnvironmentClass", "standard", spec)


async def fetch_dags(team: Team) -> None:
    """What Airflow would do if its containers ran, as soon as the environment has its database."""

    async def reached() -> bool:
        secret = await team.kube.get(Ref("v1", "Secret", "sales-dev", "reports-database"))
        assert secret is not None
        try:
            with team.site.in_database(decoded(secret)) as connection:
                connection.execute("INSERT INTO dag_bundle VALUES ('reports', true, now())")
        except psycopg.OperationalError as error:
            raise AssertionError("there is no database yet") from error
        return True

    await eventually(reached, 120)


async def test_every_command_of_the_page(team: Team, tmp_path: Path) -> None:
    await offer_class(team)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(follow, team.site, tmp_path))
        group.create_task(fetch_dags(team))


def follow(site: Site, tmp_path: Path) -> None:
    path = f"{tool('kubectl').parent}:{Path(sys.executable).parent}:/usr/bin:/bin"
    kubeconfig, done = Path(), 0
    for step in steps():
        for heading, person in PEOPLE.items():
            if step.section.startswith(heading):
                kubeconfig = account(site.cluster, tmp_path, heading, person)
        if file := re.match(r"# (\S+\.yaml)\n", step.text):
            (tmp_path / file[1]).write_text(step.text, encoding="utf-8")
            continue
        run = subprocess.run(
            ["/bin/bash", "-c", step.text],
            cwd=tmp_path,
            env={"PATH": path, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        said = run.stdout + run.stderr
        assert says(said, step.expected), f"$ {step.text}\n{said}\n{site.kubectl(*STATE)}"
        done += 1
    assert done >= 12

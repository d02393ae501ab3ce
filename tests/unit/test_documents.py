"""README.md and docs/: links lead somewhere, commands run after `make setup`, and the same names mean the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import keycloak_server

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(path: Path) -> str:
    """A page without what is between backticks."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


@page
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)]*)?\)", prose(path)):
        file = path.parent / target if target else path
        assert file.exists(), target
        if anchor:
            assert anchor.removeprefix("#") in anchors(file.read_text(encoding="utf-8")), f"{target}{anchor}"


@page
def test_commands_need_nothing_that_a_fresh_clone_lacks(path: Path) -> None:
    """`make setup` makes .venv, and puts no uv on PATH."""
    commands = re.compile(r"^.*(?:\buv run\b|(?<!/)\buv (?:pip|sync)\b).*$", re.MULTILINE)
    assert commands.findall(path.read_text(encoding="utf-8")) == []


def test_every_page_can_be_found() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [path for path in PAGES if path.parent == ROOT / "docs"]
    assert [path.name for path in pages if f"(docs/{path.name})" not in text] == []


def test_the_tests_helpers_are_told_apart() -> None:
    text = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    helpers = {path.name for path in (ROOT / "tests").glob("*.py")}
    assert {name for name in helpers if f"`{name}`" not in text} == set()


def test_the_namespace_is_that_of_the_quickstart() -> None:
    resource = yaml.safe_load((ROOT / "examples" / "quickstart" / "environment.yaml").read_text(encoding="utf-8"))
    namespace = resource["metadata"]["namespace"]
    for path in PAGES:
        used = set(re.findall(r"-n (team-\S+?)[`\s]", path.read_text(encoding="utf-8")))
        assert used <= {namespace}, path


def test_versions_are_those_of_the_tests() -> None:
    text = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| ([\w. -]+) \| (\d+\.\d+\.\d+) \|", text, re.MULTILINE))
    modules = {
        "Kubernetes": ("kubernetes", "k8s.io/kubernetes"),
        "Helm": ("helm", "helm.sh/helm/v4"),
        "Gateway API": ("gateway-api", "sigs.k8s.io/gateway-api"),
        "Traefik": ("traefik", "github.com/traefik/traefik/v3"),
        "cert-manager": ("companions", "github.com/cert-manager/cert-manager"),
        "metrics-server": ("metrics-server", "sigs.k8s.io/metrics-server"),
    }
    used = {
        name: re.findall(rf"\b{re.escape(required)} v(\S+)", (ROOT / f"tools/go/{module}/go.mod").read_text())[0]
        for name, (module, required) in modules.items()
    }
    assert {name: told.pop(name, None) for name in used} == used
    image = tomllib.loads((ROOT / "images" / "airflow" / "pyproject.toml").read_text())["project"]["version"]
    assert told == {"Airflow": image, "Keycloak": keycloak_server.VERSION}


def test_every_threat_has_a_test() -> None:
    """Each line of a table names tests, and they exist."""
    text = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
    rows = [
        line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| Attempt", "| Mistake"))
    ]
    assert len(rows) >= 20
    for row in rows:
        tests = re.findall(r"`(tests/\S+?)::(test_\w+)`", row)
        assert tests, row
        for file, name in tests:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name

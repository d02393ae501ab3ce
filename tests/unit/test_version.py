import tomllib
from pathlib import Path

import yaml

from airfield import __version__

REPOSITORY = Path(__file__).parents[2]


def test_what_the_operator_says_of_itself_is_what_is_released() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((REPOSITORY / "charts" / "airfield" / "Chart.yaml").read_text())
    assert {project["version"], chart["appVersion"]} == {__version__}

import tomllib
from pathlib import Path

import yaml

from airfield import __version__
from imagebuild.images import RECIPES

REPOSITORY = Path(__file__).parents[2]


def test_what_the_operator_says_of_itself_is_what_is_released() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((REPOSITORY / "charts" / "airfield" / "Chart.yaml").read_text())
    assert {project["version"], chart["version"], chart["appVersion"]} == {__version__}
    values = yaml.safe_load((REPOSITORY / "charts" / "airfield" / "values.yaml").read_text())
    image = f"airfield/operator:{__version__}"  # an upgrade with a tag that is there already would change nothing
    assert {values["image"], RECIPES["operator"].reference} == {image}
    label = f'org.opencontainers.image.version="{__version__}"'
    assert label in RECIPES["operator"].containerfile.read_text()

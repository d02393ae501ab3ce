"""What users write into their environment's settings, as Airflow reads it."""

import json

import pytest

from e2e.conftest import HOSTILE
from e2e.environments import Environment

pytestmark = pytest.mark.node

READ = """
import json, os
from airflow.configuration import conf
print(json.dumps([conf.get("e2e", "hostile"), os.environ["HOSTILE"], os.environ["HOSTILE_SECRET"]]))
print(conf.get("core", "executor"))
"""


def test_texts_arrive_as_they_were_written(bystander: Environment) -> None:
    said = bystander.kubectl("exec", "deployment/airflow-dag-processor", "--", "python", "-c", READ).splitlines()

    assert json.loads(said[-2]) == [HOSTILE] * 3
    assert said[-1] == "LocalExecutor"

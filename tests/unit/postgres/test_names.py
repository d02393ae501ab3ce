import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.postgres.names import (
    TEMPLATE_PREFIX,
    database_name,
    role_name,
    template_digest,
    template_name,
    unfinished_name,
)

label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
subdomain = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", fullmatch=True)


@given(label, subdomain)
def test_a_database_name_fits_and_needs_no_quotes(namespace: str, name: str) -> None:
    made = database_name(namespace, name)
    assert re.fullmatch(r"airflow_[a-z0-9_]*_[0-9a-f]{8}", made)
    assert len(made.encode()) <= 63
    assert made == database_name(namespace, name)
    assert not made.startswith(TEMPLATE_PREFIX)
    assert template_digest(made) is None
    assert role_name(namespace, name) == made
    assert len(unfinished_name(made)) <= 63


@given(label, subdomain, label, subdomain)
def test_different_environments_have_different_databases(a: str, b: str, c: str, d: str) -> None:
    assert ((a, b) == (c, d)) == (database_name(a, b) == database_name(c, d))


def test_readable() -> None:
    assert database_name("team-a", "prod").startswith("airflow_team_a_prod_")
    assert database_name("a-b", "c") != database_name("a", "b-c")
    assert database_name("a" * 63, "b" * 200) != database_name("a" * 63, "c" * 200)


@given(st.from_regex(r"[a-z0-9]{1,36}", fullmatch=True))
def test_a_template_name_gives_its_digest_back(digest: str) -> None:
    assert template_digest(template_name(digest)) == digest
    assert len(template_name(digest) + "_building") <= 63


@pytest.mark.parametrize("digest", ["", "sha256:abc", "ABC", "a_b", "a" * 37, "a\n"])
def test_an_unusable_digest_is_named(digest: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(digest))):
        template_name(digest)


@pytest.mark.parametrize("name", ["airfield_template_", "airfield_template_abc_building", "postgres", "airflow_a_b"])
def test_other_names_are_no_templates(name: str) -> None:
    assert template_digest(name) is None

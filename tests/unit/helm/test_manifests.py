from __future__ import annotations

from typing import Any

import pytest

from airfield.helm.manifests import HelmError, parse

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("off", False),
        ("'yes'", "yes"),
        ("~", None),
        ("12", 12),
        ("-3", -3),
        ("0644", 0o644),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        # Strings to Kubernetes, though not to YAML 1.1 as PyYAML reads it.
        ("22:22", "22:22"),
        ("1:30.5", "1:30.5"),
        ("2026-11-21", "2026-11-21"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("100m", "100m"),
        ("e3", "e3"),
        ("-", [None]),
    ],
)
def test_scalars_are_read_as_kubernetes_does(text: str, value: Any) -> None:
    (document,) = parse(f"{HEAD}value:\n  {text}\n".encode())
    assert document["value"] == value
    assert type(document["value"]) is type(value)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "renders to more than 500000 values"),
        ("x: &x [*x]\n", "renders to more than 500000 values"),
        ("x: !!python/object/apply:os.system [true]\n", "YAML that cannot be read"),
        ("x: [1,\n", "YAML that cannot be read"),
        ("x: \x00\n", "YAML that cannot be read"),
        ("---\n- 1\n", "no apiVersion, kind or metadata.name: \\[1\\]"),
        (f"---\n{HEAD}", "renders ConfigMap a twice"),
        ("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: 7}\n", "no apiVersion, kind or metadata.name"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(HelmError, match=message):
        parse(f"{HEAD}{text}".encode())


def test_the_same_name_in_two_namespaces_or_kinds_is_no_duplicate() -> None:
    other = HEAD.replace("{name: a}", "{name: a, namespace: b}")
    assert len(parse("---\n".join([HEAD, other, HEAD.replace("ConfigMap", "Secret")]).encode())) == 3

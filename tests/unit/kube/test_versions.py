"""The binary form of lists: what is asked for is found, whatever else there is; what is wrong is a ValueError."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.kube import versions
from airfield.kube.versions import MAGIC

NAMES = st.text(max_size=300)
OBJECTS = st.lists(st.tuples(NAMES, NAMES, st.integers(1, 2**63).map(str)), max_size=5)


def number(value: int) -> bytes:
    head, rest = value & 127, value >> 7
    return bytes([head | 128]) + number(rest) if rest else bytes([head])


def message(*fields: tuple[int, bytes | int | str]) -> bytes:
    """As protobuf writes it: numbers, and whatever has a length."""
    found = b""
    for key, value in fields:
        if isinstance(value, int):
            found += number(key << 3) + number(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            found += number(key << 3 | 2) + number(len(data)) + data
    return found


def answer(objects: list[tuple[str, str, str]], version: str = "7", token: str = "") -> bytes:
    """A list as the API server sends it."""
    label, managed = message((1, "label"), (2, "x")), b"\xff" * 200
    items = []
    for space, name, of in objects:
        names = message((1, name), (2, "generated-"), (3, space), (4, ""), (5, "uid"), (6, of), (7, 2**40))
        items.append(message((1, names + message((11, label), (17, managed), (99, 1)))))
    page = message((1, message((1, ""), (2, version), (3, token), (4, 12)))) + b"".join(message((2, i)) for i in items)
    kind = message((1, "meta.k8s.io/v1"), (2, "PartialObjectMetadataList"))
    return MAGIC + message((1, kind), (2, page), (3, ""), (4, ""))


@given(OBJECTS, NAMES.filter(bool), NAMES)
def test_what_is_asked_for_is_found(objects: list[tuple[str, str, str]], version: str, token: str) -> None:
    assert versions.read(answer(objects, version, token)) == (objects, version, token)


def test_fields_of_fixed_length_are_stepped_over() -> None:
    metadata = message((1, "a"), (3, "b"), (6, "5"))
    fixed = number(20 << 3 | 1) + bytes(8) + number(21 << 3 | 5) + bytes(4)
    body = MAGIC + message((2, message((1, message((2, "7"))), (2, fixed + message((1, metadata))))))
    assert versions.read(body).objects == [("b", "a", "5")]


@given(OBJECTS, st.integers(0, 2000))
def test_what_breaks_off_is_refused(objects: list[tuple[str, str, str]], length: int) -> None:
    """Unless only what comes after the list is missing."""
    body = answer(objects)[:length]
    try:
        found = versions.read(body)
    except ValueError:
        return
    assert found.objects == objects


@given(st.binary(max_size=200))
def test_garbage(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        versions.read(MAGIC + body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"kind": "List"}', "binary form"),
        (MAGIC, "no version"),
        (MAGIC + message((2, message((2, message((1, message((3, "b")))))))), "no name"),
        (MAGIC + message((2, b"\x0b")), "form 3"),
        (MAGIC + message((2, b"\x12\x7fabc")), "breaks off"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        versions.read(body)

"""What makes the process count as dead."""

import pytest

from airfield.runtime.progress import Signs, problems


@pytest.mark.parametrize(
    ("signs", "resync", "words"),
    [
        (Signs(0, 0, 0, 0, 0), 600, []),
        (Signs(300, 3600, 1800, 0, 60), 600, []),
        (Signs(301, 301, 0, 0, 0), 600, ["301 s"]),
        (Signs(0, 3601, 0, 0, 0), 600, ["a key has waited for its own handler for 3601 s"]),
        (Signs(0, 0, 1801, 0, 0), 600, ["listed"]),
        (Signs(0, 0, 299, 0, 0), 10, []),
        (Signs(0, 0, 301, 0, 0), 10, ["listed"]),
        (Signs(0, 0, 0, 1800, 0), 600, []),
        (Signs(0, 0, 0, 1801, 0), 600, ["a watch has said nothing for 1801 s"]),
        (Signs(0, 0, 0, 0, 61), 600, ["Lease"]),
        (Signs(999, 9999, 9999, 9999, 99), 600, ["keys", "a key", "listed", "a watch", "Lease"]),
    ],
)
def test_problems(signs: Signs, resync: float, words: list[str]) -> None:
    found = problems(signs, resync)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))

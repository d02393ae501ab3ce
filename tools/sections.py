"""Sections of a document that a program writes, between two markers."""

from pathlib import Path


def fill(document: Path, name: str, section: str) -> None:
    """Put a section between the markers `<!-- name:begin -->` and `<!-- name:end -->`.

    Raises:
        ValueError: they are not there.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = document.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{document} lacks the markers {begin} and {end}; put them where the section shall stand")
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    document.write_text(f"{before}{begin}\n{section}\n{end}{after}", encoding="utf-8")

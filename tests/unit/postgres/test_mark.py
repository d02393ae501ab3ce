import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.postgres.mark import Mark

MARK = Mark(environment="team-a/prod", cluster="7b0c", schema="abc")
text = st.text(max_size=20)


@given(st.builds(Mark, text, text, text))
def test_what_is_written_can_be_read(mark: Mark) -> None:
    assert Mark.parse(mark.dump()) == mark


@given(st.none() | st.text())
def test_any_comment_can_be_read(comment: str | None) -> None:
    assert Mark.parse(comment) is None


@pytest.mark.parametrize(
    "comment",
    [
        "[" * 900,
        '{"airfield": 2, "environment": "a/b", "cluster": "c", "schema": "d"}',
        '{"airfield": 1, "environment": "a/b", "cluster": "c"}',
        '{"airfield": 1, "environment": ["a/b"], "cluster": "c", "schema": "d"}',
        '{"airfield": 1}',
        MARK.dump() + " " * 1000,
        "1",
    ],
)
def test_foreign_comments_are_no_marks(comment: str) -> None:
    assert Mark.parse(comment) is None


def test_ownership_is_environment_and_cluster() -> None:
    assert MARK.same_owner(Mark("team-a/prod", "7b0c", "other"))
    assert not MARK.same_owner(Mark("team-a/prod", "8888", "abc"))
    assert not MARK.same_owner(Mark("team-b/prod", "7b0c", "abc"))
    assert not MARK.same_owner(None)


def test_a_mark_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="1000"):
        Mark("n" * 1000, "c", "s").dump()

"""Labels by which an organisation tells whose an environment is, what it costs and what its data are."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from airfield.api.base import LIST_SET, TEXT, LabelKey, LabelValue, Model, Rule, list_map

_OWNED_PREFIXES: Final = ("airfield.dev/", "app.kubernetes.io/")

GovernanceLabels = Annotated[
    dict[LabelKey, LabelValue],
    Field(max_length=24),
    Rule(
        f"!self.exists(key, {' || '.join(f'key.startsWith({prefix!r})' for prefix in _OWNED_PREFIXES)})",
        f"labels under {' and '.join(_OWNED_PREFIXES)} are the operator's own",
        lambda labels: not any(key.startswith(_OWNED_PREFIXES) for key in labels),
    ),
]


class RequiredLabel(Model):
    """A label without which no environment is made."""

    key: LabelKey = Field(description="The label: `data-classification`.")
    values: Annotated[tuple[LabelValue, ...], Field(min_length=1, max_length=32), LIST_SET] | None = Field(
        default=None, description="What it may say; anything but nothing if absent."
    )
    description: Annotated[str, StringConstraints(max_length=256, pattern=TEXT)] | None = Field(
        default=None, description="What it is for: shown to whoever lacks it."
    )


RequiredLabels = Annotated[tuple[RequiredLabel, ...], Field(max_length=16), list_map("key")]

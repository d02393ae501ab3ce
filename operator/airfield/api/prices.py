"""The price book of a class."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from airfield.api.base import LabelKey, Model

COST_CENTRE: Final = "cost-centre"
"""The label that names the cost centre, where a class names no other."""

Price = Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?$")]
"""A decimal number in a string, so that nothing rounds it: `0.0325`."""


class Prices(Model):
    """What environments of the class cost. A month of storage is 730 hours, whichever month it is."""

    currency: Annotated[str, StringConstraints(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$")] = Field(
        description="Currency of the prices, by ISO 4217: `EUR`."
    )
    cpu_hour: Price = Field(default="0", description="Price of one core that is requested for an hour.")
    memory_gib_hour: Price = Field(default="0", description="Price of 1 GiB of memory that is requested for an hour.")
    storage_gib_month: Price = Field(
        default="0", description="Price of 1 GiB of volumes for a month of 730 hours; charged by the second."
    )
    cost_centre_label: LabelKey | None = Field(
        default=None,
        description=f"The label of environment or tenant that names the cost centre; `{COST_CENTRE}` if absent.",
    )

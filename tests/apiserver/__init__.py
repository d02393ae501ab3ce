"""Tests at real API servers. A package, so that shared clusters with an operator end with the last of them."""

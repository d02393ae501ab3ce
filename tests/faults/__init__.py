"""Faults between the operator and the API server. A package, so that what they share ends with the last of them."""

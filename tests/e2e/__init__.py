"""Tests on a real node. A package, so that what they share ends with the last of them."""

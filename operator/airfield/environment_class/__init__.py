"""Classes: keeps a pre-migrated template database for every catalog version on every server of the class."""

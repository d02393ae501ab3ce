"""Airfield: a Kubernetes operator that provisions and runs fleets of Apache Airflow environments."""

__version__ = "0.2.0"

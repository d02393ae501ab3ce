"""Airfield: a Kubernetes operator that provisions and runs fleets of Apache Airflow environments."""

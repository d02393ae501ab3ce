"""Airflow as the operator meets it: its keys, its first user, its health, its REST API."""

"""Machinery that knows neither Airflow nor Kubernetes: work queue, metrics, logs."""

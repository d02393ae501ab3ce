"""Adapter to Helm: renders a chart to plain dicts."""

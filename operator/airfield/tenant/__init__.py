"""Tenants: for now, who claims which namespace, and how many environments that makes."""

"""Tenants: their namespaces, and what becomes of them when a tenant goes."""

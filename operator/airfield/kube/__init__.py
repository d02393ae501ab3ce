"""Adapter to the Kubernetes API: objects are plain dicts, writes are server-side apply."""

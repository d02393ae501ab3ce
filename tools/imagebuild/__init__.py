"""Builds the project's container images with Debian packages and PyPI alone: no Docker, no image registry."""

from imagebuild.build import Image, build

__all__ = ["Image", "build"]

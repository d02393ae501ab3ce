"""Builds the project's container images on a bare Debian machine: no Docker, no image registry, only Debian packages and PyPI."""

from imagebuild.build import Image, build

__all__ = ["Image", "build"]

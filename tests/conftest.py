"""What all tests share: a busy machine fails no test of properties for being slow."""

from hypothesis import settings

settings.register_profile("airfield", deadline=None)
settings.load_profile("airfield")

from hypothesis import settings

settings.register_profile("decisions", max_examples=60)
settings.load_profile("decisions")

"""Properties here are judged by their outcome; how long an example takes depends on the machine."""

from hypothesis import settings

settings.register_profile("realtime", deadline=None)
settings.load_profile("realtime")

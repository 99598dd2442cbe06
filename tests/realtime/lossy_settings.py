"""The settings with a channel layer that drops and reorders."""

from codecrafter.settings import *  # noqa: F403

CHANNEL_LAYERS["default"]["BACKEND"] = "tests.realtime.lossy_layer.LossyLayer"  # noqa: F405

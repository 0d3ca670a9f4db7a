"""What a prediction turned out to be worth: its truth, its value."""

from mlobs.release.quality import Quality

__all__ = ["Quality"]

"""Reference profiles: what a model's inputs and outputs looked like when it was made, as counts in fixed bins."""

from mlobs.profile.feature import Feature
from mlobs.profile.profile import Profile

__all__ = ["Feature", "Profile"]

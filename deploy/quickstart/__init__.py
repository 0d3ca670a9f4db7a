"""A service to look at: it says whether a flat will sell within a month, and mlobs watches it."""

"""Finds the fonts of charts before the first test, since matplotlib starts fc-list for that where it was never used."""

import matplotlib.font_manager  # noqa: F401

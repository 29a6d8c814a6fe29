"""How a measurement fails."""


class PerfError(Exception):
    """It cannot go on; the text tells a person why, in the broker's own words where it has any."""

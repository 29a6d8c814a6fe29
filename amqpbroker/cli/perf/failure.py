"""Failure of a measurement."""


class PerfError(Exception):
    """It cannot go on; the text tells a person why, in the broker's own words where it has any."""


def too_large(octets: int) -> PerfError:
    """What to say of a frame that no buffer holds."""
    return PerfError(f"the broker sent a frame of {octets} octets, more than was agreed on")

"""Copying of whole stores: the interfaces to a source and a target, and the division and merging of their records."""

"""The journal: a log of batches in segment files."""

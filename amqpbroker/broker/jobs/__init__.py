"""Jobs: messages whose states and results can be looked up."""

"""Dead letters of a queue, and the originals of messages that return."""

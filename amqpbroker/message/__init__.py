"""Messages, and what keepers of them know of a copy."""

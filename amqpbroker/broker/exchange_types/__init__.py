"""The exchange types, one a module; `registry` builds them by name."""

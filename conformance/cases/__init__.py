"""The cases, one module an area. A case says what to do, never what should come of it."""

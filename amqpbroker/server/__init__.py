"""Listeners, sockets and the event loop."""

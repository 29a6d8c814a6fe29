"""Placement: which broker leads each vhost, and which one follows it."""

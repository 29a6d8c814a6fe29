"""Internal limits of the broker, beside RabbitMQ's settings. Users cannot set these limits; tests lower them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of caches, buffers and batches.

    unwritten_bytes: memory of operations and answers that wait for the disk; above it, clients that add to it are not
    read. unread_bytes: answers that wait for a client that does not read; above it, the client is not read either.
    routes: routes that a channel caches. few_routes: routes that a channel caches in any case. all_routes: routes that
    the channels of a vhost cache together, before a channel with more than `few_routes` drops its own.
    returns: returned copies that are collected while the disk is stuck, before each is kept only once.
    releases: messages that a delayed exchange releases in one event loop iteration.
    unswept_bytes: delayed messages that come in before a delayed exchange looks which of its messages can leave memory.
    segment_bytes: size from which the journal begins another segment.
    guesses: pairs of user and address whose failed logins are remembered.
    """

    unwritten_bytes: int = 16 * 1024 * 1024
    unread_bytes: int = 8 * 1024 * 1024
    routes: int = 16_384
    few_routes: int = 256
    all_routes: int = 131_072
    returns: int = 20_000
    releases: int = 1000
    unswept_bytes: int = 4 * 1024 * 1024
    segment_bytes: int = 64 * 1024 * 1024
    guesses: int = 10_000


BOUNDS = Bounds()

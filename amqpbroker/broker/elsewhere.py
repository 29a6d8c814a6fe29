"""Vhosts that other brokers lead."""

from abc import ABCMeta, abstractmethod
from typing import Final, final


class Elsewhere(metaclass=ABCMeta):
    """The vhosts that other brokers lead, as far as this broker knows. It answers from memory."""

    @abstractmethod
    def has(self, vhost: str) -> bool:
        """Return whether the vhost exists and this broker does not lead it. It may have no leader at the moment."""


@final
class _Nowhere(Elsewhere):
    """For a broker that leads all vhosts."""

    def has(self, vhost: str) -> bool:
        return False


NOWHERE: Final[Elsewhere] = _Nowhere()

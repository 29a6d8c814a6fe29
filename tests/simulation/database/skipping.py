"""A scheduler whose time can be moved without a call, where nothing happens meanwhile."""

from tests.simulation.scheduler import Scheduler


class Skipping(Scheduler):
    """Saves the change of threads for most messages: nobody else could run before they arrive."""

    def __init__(self) -> None:
        super().__init__()
        self._until = 0

    def run(self, until: int) -> None:
        self._until = until
        super().run(until)

    def skip(self, delay: int) -> bool:
        """Move the time unless another call is due meanwhile, or the end of `run`; return whether it was moved."""
        end = self.now + delay
        heap = self._heap
        if delay and (end > self._until or (heap and heap[0][0] <= end)):
            return False
        self.now = end
        return True

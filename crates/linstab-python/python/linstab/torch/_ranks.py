"""Work over the processes of ``torchrun``: samples are divided, and what each process saw is shared with the others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, distributed

from ..errors import ModelError

__all__ = ["Ranks"]


class Ranks:
    """The processes that work together: one, unless ``torch.distributed`` is initialized. They talk over ``device``."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        together = distributed.is_available() and distributed.is_initialized()
        self.count = distributed.get_world_size() if together else 1
        self.rank = distributed.get_rank() if together else 0

    def share(self, samples: int) -> tuple[int, int]:
        """First sample and one past the last that this process works on."""
        return self._bounds(samples, self.rank)

    def check_same(self, fingerprint: str) -> None:
        """Refuses processes that hold different weights or samples."""
        if self.count == 1:
            return
        found: list[str | None] = [None] * self.count
        distributed.all_gather_object(found, fingerprint)
        if len(set(found)) > 1:
            raise ModelError(
                "processes hold different weights or samples: broadcast the weights, and give each process all of the data "
                "(samples are divided here, so no DistributedSampler is needed)"
            )

    def gather(self, own: Tensor, samples: int) -> Tensor:
        """Rows of all samples, from the rows that each process has of its share, on the device that these are on."""
        if self.count == 1:
            return own
        home, own = own.device, own.to(self.device)
        bounds = [self._bounds(samples, rank) for rank in range(self.count)]
        longest = max(stop - start for start, stop in bounds)
        padded = own.new_zeros(longest, *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(self.count)]
        distributed.all_gather(parts, padded)
        return torch.cat([part[: stop - start] for part, (start, stop) in zip(parts, bounds)]).to(home)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.count == 1:
            return flag
        flags: list[bool | None] = [None] * self.count
        distributed.all_gather_object(flags, flag)
        return any(flags)

    def add(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        if self.count == 1:
            return values
        total = values.to(self.device)
        distributed.all_reduce(total)
        return total.to(values.device)

    def wait(self) -> None:
        """Goes on when all processes have come here."""
        if self.count > 1:
            distributed.barrier()

    def first(self, work: Callable[[], object]) -> None:
        """Runs ``work`` in the first process; the others wait for it, and fail as it fails."""
        failure: list[Exception | None] = [None]
        if self.rank == 0:
            try:
                work()
            except Exception as error:
                failure = [error]
        if self.count > 1:
            distributed.broadcast_object_list(failure, device=self.device)
        if failure[0] is not None:
            raise failure[0]

    def _bounds(self, samples: int, rank: int) -> tuple[int, int]:
        return samples * rank // self.count, samples * (rank + 1) // self.count

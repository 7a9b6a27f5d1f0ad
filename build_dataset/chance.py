"""Random draws that mean the same on every machine and under every numpy: raw PCG64 output and nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Chance:
    """A seeded stream. Its bits come from ``numpy.random.PCG64``, whose raw output numpy keeps stable for ever."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def raw(self, size: int) -> npt.NDArray[np.uint64]:
        """``size`` random 64-bit numbers."""
        return np.asarray(self._bits.random_raw(size), np.uint64)

    def below(self, limit: int, size: int) -> npt.NDArray[np.int64]:
        """``size`` whole numbers from 0 to ``limit`` - 1; ``limit`` at most 2^31, so the bias is below 2^-32."""
        return ((self.raw(size) >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32)).astype(np.int64)

    def order(self, size: int) -> npt.NDArray[np.int64]:
        """A random order of 0 to ``size`` - 1."""
        return np.argsort(self.raw(size))

    def order_within(self, group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The places of ``group`` by ascending value (0 to 2^30), equal values in random order."""
        return np.argsort((group.astype(np.uint64) << np.uint64(34)) | (self.raw(len(group)) >> np.uint64(30)))

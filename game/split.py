"""Which split a puzzle belongs to: decided by its numbers alone, everywhere in the project.

Two puzzles with the same sorted numbers are always in the same split, whatever their target, so no
``test`` puzzle shares its numbers with anything a model was trained on.

The hash starts at 0 and absorbs the sorted numbers one by one: add the number and 0x9E3779B97F4A7C15,
then apply the SplitMix64 finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), all modulo 2^64. The bucket is the hash modulo 1,000: below 50 is ``validation``,
below 100 is ``test``, the rest is ``train``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "validation", "test")
_BUCKETS, _VALIDATION_BELOW, _TEST_BELOW = 1000, 50, 100
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 2**64 - 1


def split_of(nums: Sequence[int]) -> str:
    """``train`` (90%), ``validation`` (5%) or ``test`` (5%).

    >>> split_of([7, 55, 36, 19]) == split_of([19, 36, 55, 7])
    True
    """
    state = 0
    for number in sorted(nums):
        state = (state + int(number) + _GOLDEN) & _MASK
        state = ((state ^ (state >> 30)) * _FIRST) & _MASK
        state = ((state ^ (state >> 27)) * _SECOND) & _MASK
        state ^= state >> 31
    bucket = state % _BUCKETS
    return "validation" if bucket < _VALIDATION_BELOW else "test" if bucket < _TEST_BELOW else "train"


def hash_rows(nums: npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    """The hash of each row of an array of shape (rows, numbers per puzzle), shape (rows,)."""
    state = np.zeros(len(nums), np.uint64)
    for column in np.sort(nums, axis=1).astype(np.uint64).T:
        state = absorb(state, column)
    return state


def absorb(state: npt.NDArray[np.uint64], column: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One more number in each hash, both of shape (rows,)."""
    state = state + column + np.uint64(_GOLDEN)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
    return state ^ (state >> np.uint64(31))


def split_of_hashes(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.int8]:
    """The split of each hash as an index into ``SPLITS``, shape (rows,)."""
    bucket = state % np.uint64(_BUCKETS)
    return np.where(bucket < _VALIDATION_BELOW, 1, np.where(bucket < _TEST_BELOW, 2, 0)).astype(np.int8)


def split_of_rows(nums: npt.NDArray[np.integer]) -> npt.NDArray[np.int8]:
    """``split_of`` for an array of shape (rows, numbers per puzzle): indices into ``SPLITS``, shape (rows,)."""
    return split_of_hashes(hash_rows(nums))

"""Keep large tensors in the heap, and work through sets of images in parts that fit the memory.

By default glibc hands every large block back to the system as soon as it is freed, and the page faults of the next one
cost up to half of the time of a network. The price of keeping them is memory that stays with the process.

    keep_heap()      # once, before the first large tensor
    torch.split(images, at_once(32, side))
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import OutOfMemory

SWITCH = "PORTRAITIST_NO_HEAP"
# Numbers of <malloc.h>.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
LARGEST_BLOCK = 1 << 30
NEVER = 2**31 - 1
SIDE = 64
"""Side of images, in pixels, that counts of images at a time are given for."""


def keep_heap() -> bool:
    """Tell glibc to reuse large blocks; say whether it was told.

    Nothing happens on other systems, with other allocators, or where the environment variable
    ``PORTRAITIST_NO_HEAP`` is 1.
    """
    if not sys.platform.startswith("linux") or os.environ.get(SWITCH) == "1":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((M_MMAP_THRESHOLD, LARGEST_BLOCK), (M_TRIM_THRESHOLD, NEVER), (M_MMAP_MAX, 0))
    return all([mallopt(name, value) == 1 for name, value in settings])


@contextmanager
def memory_told() -> Iterator[None]:
    """Turn what Python and PyTorch raise when the memory is full into :class:`OutOfMemory`.

    Raises:
        OutOfMemory: The work in the block does not fit.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_full(error):
            raise
        raise OutOfMemory(
            "There is not enough memory.", "Use a smaller size or batch, or close other programs."
        ) from error


def is_full(error: BaseException) -> bool:
    """Tell whether an error says that the memory is full; PyTorch has no type of its own for the processor's."""
    said = any(f"{word} memory" in str(error) for word in ("allocate", "enough", "out of"))
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and said)


def at_once(count: int, side: int) -> int:
    """Return how many images of ``side`` pixels a network sees at a time: no more pixels than ``count`` of 64 have.

    It is ``count`` up to 64 pixels, and at least 1.
    """
    return max(count * SIDE**2 // max(side, SIDE) ** 2, 1)

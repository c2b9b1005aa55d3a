"""Pictures in and out, sets of them, and the order in which training sees them.

- ``images``: the one decoder and the one writer; resizing; pixels to tensors and back
- ``containers``: what a file's header says, read before decoding
- ``folder``: ``ImageSet``, a set with one size, range and layout, with attributes and held-out splits
- ``sources``, ``lmdb``: where a set lies: a folder, a zip, an LMDB of several resolutions
- ``sampler``: ``BatchOrder``, an endless order that resumes anywhere; ``ImageBatches`` of one or several sets
- ``sheet``: many images in one picture
- ``prepare``: a folder of pictures into a set of aligned faces
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .folder import ImageSet as ImageSet
    from .images import read_image as read_image
    from .images import resize as resize
    from .images import to_array as to_array
    from .images import to_tensor as to_tensor
    from .images import write_image as write_image
    from .sampler import BatchOrder as BatchOrder
    from .sampler import ImageBatches as ImageBatches

__getattr__ = lazily(
    __name__,
    {
        "BatchOrder": "sampler",
        "ImageBatches": "sampler",
        "ImageSet": "folder",
        "read_image": "images",
        "resize": "images",
        "to_array": "images",
        "to_tensor": "images",
        "write_image": "images",
    },
)
__all__ = [
    "BatchOrder",
    "ImageBatches",
    "ImageSet",
    "read_image",
    "resize",
    "to_array",
    "to_tensor",
    "write_image",
]

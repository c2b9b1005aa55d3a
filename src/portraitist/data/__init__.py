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

from .folder import ImageSet
from .images import read_image, resize, to_array, to_tensor, write_image
from .sampler import BatchOrder, ImageBatches

__all__ = ["BatchOrder", "ImageBatches", "ImageSet", "read_image", "resize", "to_array", "to_tensor", "write_image"]

"""Networks for programs without PyTorch: ONNX files, and a page that draws in a browser without a network.

- ``drawable``: what can be exported: painters, translators, styles with their encoder (``Drawable``).
- ``graph``: a network of PyTorch as ONNX, and its comparison with it.
- ``quantised``: the same in eight bits, and what that changes.
- ``files``: a file, its format told by its ending (``export``, ``rewrite``).
- ``offline``: the page (``write_page``), its networks (``page_networks``), and those that find faces (``wired``).
"""

from .drawable import Drawable, find_drawable
from .files import Exported, export, rewrite

__all__ = ["Drawable", "Exported", "export", "find_drawable", "rewrite"]

"""A page and an HTTP service on this machine, for ``portraitist serve``; needs the extra ``web``.

    serve(Studio(["toon3d"]), port=8765, say=print)     # until it is interrupted
    app = create_app(Studio())                          # an ASGI application, for a server of your own

- ``wanted``: what a request may ask for, and its ranges.
- ``studio``: what draws, on one thread.
- ``jobs``: the queue with its bound, progress, cancelling, and how long results are kept.
- ``uploads``: the photo and the parameters of a request, bounded in size and time, in memory alone.
- ``guard``: Host, Origin and token are checked before anything else, and every answer has its security headers.
- ``app``: the addresses. ``document``: their description (OpenAPI). ``server``: the socket.
- ``page``: the page, plain files without a build step.
"""

from .app import create_app
from .limits import Limits
from .server import serve
from .studio import Studio
from .wanted import StylizerSettings, Wanted

__all__ = ["Limits", "Studio", "StylizerSettings", "Wanted", "create_app", "serve"]

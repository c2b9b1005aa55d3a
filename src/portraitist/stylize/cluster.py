"""A folder of photos on many machines: a Dask scheduler hands the photos to workers, each of which holds what redraws.

    cluster = Cluster("tcp://10.0.0.1:8786", partial(Stylizer.load, ["toon3d"]))
    stylize_files(Stylizer.load(["toon3d"]), Path("photos"), Path("out"), Options(), elsewhere=cluster)

Photos are read and pictures are written by the process that asks, so only that needs to see the folders, and
resumption, report and errors are those of one machine. Photos go out ahead of the walk over the folder and come back in
its order. What was with a worker that dies goes to another; what has killed several is listed as failed.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cloudpickle
from distributed import Client, Future, KilledWorker, Worker, WorkerPlugin, get_worker

from ..data.folder_run import FileReport, Made, settings_digest
from ..errors import BadImage, PortraitistError, UsageError
from .batch import PhotoWork, draw
from .choices import Options
from .redraw import Redrawer

log = logging.getLogger("portraitist")

CONNECTED_WITHIN = 15
"""Seconds in which the scheduler must answer, and have a worker."""
ASKED_EVERY = 30
"""Seconds after which the workers are counted again while a photo is waited for."""
LEAST_AHEAD = 4


class Cluster:
    """The workers of a Dask scheduler, which draw in place of this process."""

    def __init__(self, address: str, load: Callable[[], Redrawer]) -> None:
        """Name a scheduler.

        Args:
            address: Of the scheduler, such as ``tcp://10.0.0.1:8786``.
            load: Loads, in a worker, what redraws here too; models that it names by file must lie there as well.
        """
        self.address, self.load = address, load

    @contextmanager
    def working(
        self,
        work: PhotoWork,
        names: Sequence[str],
        read: Callable[[str], bytes],
        is_finished: Callable[[str, str], bool],
    ) -> Iterator[tuple[_Ahead, Callable[[str], bytes]]]:
        """Draw the photos of a run, as ``batch.Elsewhere`` says.

        Raises:
            UsageError: Nobody answers at the address, or there is no worker.
        """
        client = self._connected()
        try:
            held = _Held(cloudpickle.dumps(self.load), settings_digest(work.redrawer.settings))
            client.register_plugin(held, name=held.name)
            try:
                ahead = _Ahead(client, held.name, work, names, read, is_finished)
                yield ahead, ahead.read
                ahead.cancel()
            finally:
                client.unregister_worker_plugin(held.name)
        finally:
            client.close()

    def _connected(self) -> Client:
        try:
            client = Client(self.address, timeout=CONNECTED_WITHIN, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"No Dask scheduler answers at {self.address}.",
                "Start one with `dask scheduler`, and give its address.",
            ) from error
        try:
            client.wait_for_workers(1, timeout=CONNECTED_WITHIN)
        except TimeoutError as error:
            client.close()
            raise UsageError(
                f"The scheduler at {self.address} has no workers.",
                f"Start some with `dask worker {self.address} --nthreads 1`.",
            ) from error
        return client


class _Ahead:
    """Work that is done by workers: photos are sent to them before the run asks for the pictures."""

    def __init__(
        self,
        client: Client,
        held: str,
        work: PhotoWork,
        names: Sequence[str],
        read: Callable[[str], bytes],
        is_finished: Callable[[str, str], bool],
    ) -> None:
        self._client, self._held, self._work = client, held, work
        self._coming = iter(names)
        self._read, self._is_finished = read, is_finished
        self._ready: dict[str, bytes | BadImage] = {}
        self._drawn: dict[str, Future[Made | PortraitistError]] = {}

    def planned(self, name: str) -> list[str]:
        """Return what ``batch.PhotoWork`` does."""
        return self._work.planned(name)

    def is_current(self, line: FileReport) -> bool:
        """Return what ``batch.PhotoWork`` does."""
        return self._work.is_current(line)

    def read(self, name: str) -> bytes:
        """Return the bytes of a photo, after those that follow it went out.

        Raises:
            BadImage: It cannot be read.
        """
        most = max(2 * sum(self._client.nthreads().values()), LEAST_AHEAD)
        while len(self._ready) < most and (following := next(self._coming, None)) is not None:
            self._send(following)
        found = self._ready.pop(name)
        if isinstance(found, BadImage):
            raise found
        return found

    def _send(self, name: str) -> None:
        try:
            data = self._ready[name] = self._read(name)
        except BadImage as error:
            self._ready[name] = error
            return
        if not self._is_finished(name, hashlib.sha256(data).hexdigest()):
            stem, options = self._work.photos[name].stem, self._work.options
            self._drawn[name] = self._client.submit(_drawn, self._held, data, stem, options, pure=False)

    def make(self, name: str, data: bytes) -> Made:
        """Return what a worker made of a photo.

        Raises:
            BadImage: The photo cannot be used, or several workers died of it.
        """
        future = self._drawn.pop(name)
        while True:
            try:
                drawn: Made | PortraitistError = future.result(timeout=ASKED_EVERY)
            except TimeoutError:
                if not self._client.nthreads():
                    log.warning("The cluster has no worker; %s waits for one.", name)
            except KilledWorker as error:
                raise BadImage(
                    "Several workers died while they drew it.",
                    "Look at their logs; the same command tries again.",
                    kind="error",
                ) from error
            else:
                if isinstance(drawn, PortraitistError):
                    raise drawn
                return drawn

    def cancel(self) -> None:
        """Take back what was sent and not asked for."""
        self._client.cancel(list(self._drawn.values()))


class _Held(WorkerPlugin):
    """What redraws, in a worker: loaded when it is first needed, and kept for the run, whose own it is."""

    def __init__(self, load: bytes, settings: str) -> None:
        self.load, self.settings = load, settings
        self.name = f"portraitist-{secrets.token_hex(8)}"

    def setup(self, worker: Worker) -> None:
        self.one = threading.Lock()
        self.redrawer: Redrawer | None = None

    def draw(self, data: bytes, stem: str, options: Options) -> Made:
        with self.one:  # threads of a worker share what redraws
            if self.redrawer is None:
                redrawer: Redrawer = cloudpickle.loads(self.load)()
                if settings_digest(redrawer.settings) != self.settings:
                    raise UsageError(
                        "A worker would draw other pictures than this machine: its program or its models differ.",
                        "Install the same version and the same models everywhere.",
                    )
                self.redrawer = redrawer
            return draw(self.redrawer, data, stem, options)


def _drawn(held: str, data: bytes, stem: str, options: Options) -> Made | PortraitistError:
    """Draw a photo in a worker; an error of the photo is an answer, with which no worker's log is filled."""
    plugin: Any = get_worker().plugins[held]
    try:
        made: Made = plugin.draw(data, stem, options)
    except PortraitistError as error:
        return error
    return made

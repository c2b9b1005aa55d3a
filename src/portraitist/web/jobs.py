"""The queue: a bound, one worker thread, progress, cancelling, and results that are not kept for long.

    async with JobQueue(limits).running() as queue:
        with queue.place():                                 # refused where the queue is full
            photo = ...                                     # so that no photo is read that has no place
            job = queue.put(lambda report: studio.draw(photo, wanted, report))
        await job.over.wait()

All but the work itself happens on the event loop, so that nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Literal, Self, TypeVar

from .limits import Limits
from .refusals import Failure, Refused, failure_of
from .studio import Report

T = TypeVar("T")

Work = Callable[[Report], Mapping[str, bytes]]
"""Makes files: name -> content."""
State = Literal["waiting", "drawing", "done", "failed", "cancelled"]
MOST_KEPT = 64
"""Jobs that are over and remembered."""


class Stopped(Exception):
    """Ends the work of a job that was cancelled."""


class Job:
    """One request in the queue, as the event loop sees it.

    Attributes:
        id: A name that cannot be guessed.
        state: Where it stands.
        steps: Steps done of the face in hand, and their number; (0, 0) where there are none.
        faces: How many faces are drawn, 0 while they are not found.
        files: Name -> content, of those that wait to be fetched.
        failure: Why it failed.
        over: Set at its end.
    """

    def __init__(self, work: Work) -> None:
        self.id = secrets.token_urlsafe(16)
        self.state: State = "waiting"
        self.steps, self.faces = (0, 0), 0
        self.files: dict[str, bytes] = {}
        self.failure: Failure | None = None
        self.over = asyncio.Event()
        self.news = asyncio.Event()
        self.stop = threading.Event()
        self._work: Work | None = work

    def tell(self) -> None:
        """Wake those who follow it."""
        self.news.set()
        self.news = asyncio.Event()

    def run(self, report: Report) -> Mapping[str, bytes] | Failure | None:
        """Do the work, on the worker thread; None where it was stopped. No error leaves it, nor the photo stays."""
        work, self._work = self._work, None
        assert work is not None
        try:
            report.check()
            return work(report)
        except Stopped:
            return None
        except Exception as error:
            return failure_of(error)

    def end(self, made: Mapping[str, bytes] | Failure | None) -> None:
        """Take note of what became of it."""
        self._work = None
        if made is None or self.stop.is_set():
            self.state = "cancelled"
        elif isinstance(made, Failure):
            self.state, self.failure = "failed", made
        else:
            self.state, self.files = "done", dict(made)
        self.over.set()
        self.tell()


class _Report:
    """Carries news of a drawing from the worker thread to the event loop, and the wish to stop back."""

    def __init__(self, job: Job, seconds: float) -> None:
        self._job, self._loop = job, asyncio.get_running_loop()
        self._end, self._seconds = time.monotonic() + seconds, seconds

    def check(self) -> None:
        if self._job.stop.is_set():
            raise Stopped
        if time.monotonic() > self._end:
            raise Refused(
                504,
                "slow",
                f"The drawing was stopped after {self._seconds:g} seconds.",
                "Ask for fewer steps, styles or faces.",
            )

    def found(self, faces: int) -> None:
        self.check()
        self._tell(faces=faces)

    def step(self, done: int, total: int) -> None:
        self.check()
        self._tell(steps=(done, total))

    def _tell(self, **news: object) -> None:
        def take() -> None:
            vars(self._job).update(news)
            self._job.tell()

        self._loop.call_soon_threadsafe(take)


class JobQueue:
    """Jobs in the order they came, drawn one at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[Job] = deque()
        self._coming = 0
        self._jobs: dict[str, Job] = {}
        self._drawing: Job | None = None
        self._put = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "portraitist")
        self._usual = 1.0
        """Seconds that a drawing took, of late."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Draw while the block runs; at its end all jobs are cancelled."""
        worker = asyncio.create_task(self._draw())
        try:
            yield self
        finally:
            worker.cancel()
            for job in [*self._jobs.values()]:
                self.drop(job)
            await asyncio.to_thread(self._thread.shutdown)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue while a photo is read.

        Raises:
            Refused: The queue is full.
        """
        if len(self) >= self._limits.waiting:
            seconds = min(max(math.ceil(self._usual * len(self)), 1), 60)
            raise Refused(
                503,
                "full",
                f"The queue is full: {len(self)} photos wait.",
                f"Try again in {seconds} seconds.",
                {"Retry-After": str(seconds)},
            )
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def __len__(self) -> int:
        return len(self._waiting) + self._coming

    def put(self, work: Work) -> Job:
        """Queue work; inside :meth:`place`."""
        job = Job(work)
        self._jobs[job.id] = job
        self._waiting.append(job)
        self._put.set()
        return job

    def get(self, name: str) -> Job:
        """Return the job of an id.

        Raises:
            Refused: There is none, or none any more.
        """
        if name not in self._jobs:
            raise Refused(404, "no-job", "There is no such job, or it is over and forgotten.", "Begin another.")
        return self._jobs[name]

    def place_of(self, job: Job) -> int:
        """Return how many drawings come before a job's: 0 once it has begun."""
        ahead = 0 if self._drawing is None else 1
        return self._waiting.index(job) + ahead if job in self._waiting else 0

    def drop(self, job: Job) -> None:
        """Forget a job and its files; one that waits or is drawn is cancelled."""
        self._jobs.pop(job.id, None)
        job.files.clear()
        job.stop.set()
        if job in self._waiting:
            self._waiting.remove(job)
            job.end(None)
            self._tell_places()

    async def on_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Call something short on the worker thread, after the drawing in hand."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _draw(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._waiting:
                self._put.clear()
                await self._put.wait()
            job = self._drawing = self._waiting.popleft()
            job.state = "drawing"
            job.tell()
            self._tell_places()
            begun = time.monotonic()
            try:
                made = await self.on_thread(job.run, _Report(job, self._limits.draw_seconds))
            except asyncio.CancelledError:
                job.end(None)
                raise
            self._drawing = None
            self._usual = (self._usual + time.monotonic() - begun) / 2
            job.end(made)
            del made
            loop.call_later(self._limits.keep_seconds, self.drop, job)
            self._make_room()

    def _tell_places(self) -> None:
        for job in self._waiting:
            job.tell()

    def _make_room(self) -> None:
        """Forget the oldest jobs that are over, while they are too many or their files too large."""
        over = deque(job for job in self._jobs.values() if job.over.is_set())
        while len(over) > MOST_KEPT or _bytes(over) > self._limits.kept_bytes:
            self.drop(over.popleft())


def _bytes(jobs: deque[Job]) -> int:
    return sum(len(content) for job in jobs for content in job.files.values())

"""The course of every run: lock, settings, resume, train, log, snapshot, stop.

A kind of training says in a :class:`Run` what it trains, what it logs and what it writes in the end.

    path = Finetuning(...).go()
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from ..errors import NonFinite, StorageError, require
from ..files import write_bytes
from .distributed import RANK_TIMEOUT, Precision, ProcessGroup, check_identical, process_group
from .folder import (
    ALLOWED,
    LIBRARIES,
    SAMPLES,
    SNAPSHOTS,
    check_allowed,
    check_config,
    differences,
    libraries,
    locked,
    passed,
    read_config,
)
from .log import RunLog
from .loop import Objective, Schedule, fit
from .signals import Asked, Interrupted, graceful_shutdown
from .snapshot import clean_partial, resume, write_snapshot
from .state import State

NOT_FINITE = "not-finite.json"
"""Names the pictures of the step in which NaN or infinity appeared."""
NAMED = 8
log = logging.getLogger("portraitist")
S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out, whatever it trains."""

    device: str = "cpu"
    precision: Precision = "fp32"
    """``bf16`` runs the networks in mixed precision."""
    rank_timeout: float = RANK_TIMEOUT
    """Seconds that processes wait for each other."""
    quiet: bool = False
    """Show no progress bar."""
    allow: frozenset[str] = frozenset()
    """Settings, by their dotted names, that may differ from those that a run in the folder began with."""


class RunSettings(Schedule, Protocol):
    """What a run asks of the settings of a training."""

    @property
    def tick(self) -> int:
        """Images between lines of statistics."""

    @property
    def snapshot(self) -> int:
        """Images between snapshots and sheets of samples."""


class Run(ABC, Generic[S]):
    """One training in a run folder."""

    may_change: frozenset[str] = frozenset({"images", "tick", "snapshot", "version", LIBRARIES})
    """Settings that may differ when the run is continued."""
    facts: frozenset[str] = frozenset(
        "data attributes base networks looks persons encoder painter translator panel teacher style start stage "
        "groups exemplars paths seed held_out photos".split()
    )
    """What a run began with and sees, which no option lets change."""

    def __init__(self, out: Path, training: RunSettings, data: str, options: RunOptions) -> None:
        """Choose the folder.

        Args:
            out: The run folder.
            training: Settings.
            data: Digest of the data, equal in all processes.
            options: How to carry it out.

        Raises:
            UsageError: A package that only training needs is not installed.
        """
        require("Training", "train", "tensorboard", "matplotlib")
        self.out, self.training, self.data, self.options = out, training, data, options

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return all that must stay the same when the run is continued, as JSON holds it."""

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The config and the versions of libraries, for the run folder and the header of what is written."""
        return {**self.config(), LIBRARIES: libraries()}

    def upgraded(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a config that an earlier version wrote under the names of today."""
        return config

    @abstractmethod
    def start(self, device: str) -> S:
        """Return the state that training begins with."""

    def prepare(self, state: S, group: ProcessGroup, asked: Asked) -> None:
        """Do what comes before the first step of a new training, in all processes; nothing by default.

        Raises:
            Interrupted: A signal came.
        """

    @abstractmethod
    def objective(self, state: S) -> Objective[S]:
        """Return what is minimised."""

    @abstractmethod
    def pictures(self, state: S) -> list[str]:
        """Return what the pictures of the step that begins are called."""

    def begin(self, state: S, run: RunLog) -> None:
        """Look at a training before its first step; process 0 only."""

    @abstractmethod
    def tick(self, state: S) -> dict[str, float]:
        """Return numbers for the log; process 0 only."""

    @abstractmethod
    def samples(self, state: S, run: RunLog) -> None:
        """Draw a sheet beside a snapshot; process 0 only."""

    def check_processes(self, count: int) -> None:
        """Refuse a number of processes that a batch cannot be shared among; nothing by default.

        Raises:
            UsageError: It is one, and why.
        """

    def is_over(self, state: S) -> bool:
        """Tell whether the training ends before all images were seen."""
        return False

    @property
    @abstractmethod
    def path(self) -> Path:
        """The file that the run writes."""

    @abstractmethod
    def finish(self, state: S) -> Path:
        """Write what was trained and return :attr:`path`; process 0 only."""

    def go(self) -> Path:
        """Train, or continue what was begun in the folder, and return the file written.

        Raises:
            Interrupted: A signal came; a snapshot was written.
            PortraitistError: See its subclasses.
        """
        o = self.options
        with (
            process_group(o.device, o.precision, o.rank_timeout) as group,
            graceful_shutdown() as asked,
            locked(self.out) if group.rank == 0 else nullcontext(),
        ):
            check_allowed(o.allow, self.settings, self.facts)
            self.check_processes(group.size)
            if group.rank == 0:
                check_config(
                    self.out, self.settings, may_change=self.may_change, upgrade=self.upgraded, allowed=o.allow
                )
            group.barrier()
            self.settings |= {key: value for key, value in read_config(self.out).items() if key == ALLOWED}
            check_identical(group, "data set", self.data)
            state = self.start(group.device)
            used = resume(self.out / SNAPSHOTS, state, self.differences)
            check_identical(group, "run folder", state.images)
            if used is not None:
                log.info("continuing from %s", used.name)
            else:
                self.prepare(state, group, asked)
            with self._recorded(state, group) as recorder:

                def on_step(state: S, report: dict[str, Tensor]) -> bool:
                    if recorder is not None:
                        recorder.step(state, report)
                    stopped = asked.anywhere(group)
                    return group.broadcast(self.is_over(state)) or stopped is not None

                if not group.broadcast(self.is_over(state)):
                    try:
                        fit(state, self.objective(state), on_step, group)
                    except NonFinite as error:
                        raise self._named(error, state, group) from error
            if group.rank != 0:
                return self.path
            write_snapshot(self.out / SNAPSHOTS, state, self.settings)
            if asked.number is not None:
                raise Interrupted(asked.number)
            return self.finish(state)

    def differences(self, settings: Mapping[str, Any]) -> list[str]:
        """Return a line for each setting, of those that a snapshot holds, that is not this run's."""
        let_through = self.may_change | self.options.allow | {*self.settings.get(ALLOWED, ()), ALLOWED}
        return differences(self.upgraded(dict(settings)), self.settings, let_through)

    def _named(self, error: NonFinite, state: S, group: ProcessGroup) -> NonFinite:
        """Return the error with the pictures of the step, which the run folder lists too."""
        names = self.pictures(state)
        known = list(dict.fromkeys(names))
        shown = ", ".join(known[:NAMED]) + (f" and {len(known) - NAMED} more" if len(known) > NAMED else "")
        found = {"error": error.message, "images": state.images, "step": state.step, "pictures": names}
        if group.rank == 0:
            try:
                write_bytes(self.out / NOT_FINITE, json.dumps(found, indent=1).encode(), overwrite=True)
            except StorageError as full:
                log.warning("%s could not be written: %s", NOT_FINITE, full)
        return NonFinite(
            f"{error.message} The pictures of that step were {shown} ({self.out / NOT_FINITE}).", error.cure
        )

    @contextmanager
    def _recorded(self, state: S, group: ProcessGroup) -> Iterator[RunRecorder[S] | None]:
        """Keep the log open in process 0; the others record nothing."""
        if group.rank != 0:
            yield None
            return
        for folder in (self.out, self.out / SAMPLES):
            clean_partial(folder)
        images = self.training.images
        with RunLog(self.out, images, state.images, state.tally, state.symptoms, quiet=self.options.quiet) as run:
            if not state.images:
                self.begin(state, run)
            yield RunRecorder(self, run, state.images)


class RunRecorder(Generic[S]):
    """What one process does beside training: it scores, logs, draws samples and writes snapshots."""

    def __init__(self, owner: Run[S], run: RunLog, images: int) -> None:
        self.owner, self.run, self.images = owner, run, images

    def step(self, state: S, report: dict[str, Tensor]) -> None:
        """Count one step, and do what is due after it."""
        owner, each = self.owner, state.images - self.images
        self.images = state.images
        self.run.add(each, report)
        if passed(state.images, each, owner.training.tick):
            self.run.tick(state.images, owner.tick(state))
        if passed(state.images, each, owner.training.snapshot):
            # In this order: a run that is killed between the two goes on from before both, and draws the sheet again.
            owner.samples(state, self.run)
            write_snapshot(owner.out / SNAPSHOTS, state, owner.settings)

"""Fixtures that every test may use."""

from __future__ import annotations

import copy
import gc
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data import ImageSet, write_image
from portraitist.io import catalogue
from portraitist.io.headers import Header
from portraitist.io.model_file import Model
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.networks.features import DiscriminatorFeatures, Features

REPOSITORY = Path(__file__).resolve().parents[1]

# Keep the tests' numbers independent of the machine's core count, and leave its other cores to the other workers.
torch.set_num_threads(1)
# What is collected stays to the end: to search it for garbage again and again took a quarter of the time of collecting.
gc.disable()


def pytest_collection_finish() -> None:
    """Search for garbage among what the tests make, not among what they are made of."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker for each core that this process may use, of four at most; on one core the tests run in this process.

    A worker and what it starts take about 2 GiB, and the tests that run one after the other bound the time from there.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, 4) if cores > 1 else 0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, so that they share its fixtures; those that take minutes come first.

    Tests that serve, drive a browser, start processes or measure the machine name the group ``machine``: they run one
    after the other.
    """
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    assert group
    return 0 if group.args == ("machine",) else 1 if item.get_closest_marker("recipe") else 2


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> None:
    """Build what several tests share from the same random numbers, whichever test asks for it first."""
    if fixturedef.scope != "function":
        _seed()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Give each test the same random numbers, in whatever order the workers run them."""
    _seed()


def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def shared() -> Path:
    """The folder of real images and other programs' golden files; tests that need it skip without it."""
    folder = Path(os.environ.get("PORTRAITIST_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the folder of shared data (PORTRAITIST_SHARED)")
    return folder


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    """An untrained base of 16 pixels; tests must not change it."""
    return make_model(seed=0, name="tiny")


@pytest.fixture(scope="session")
def tiny_style(tiny_model: Model) -> Model:
    """The tiny base with other colours and other coarse weights, as a fine-tuning would leave it."""
    return restyled(tiny_model, "wild")


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the user's models; nothing is bundled."""
    folder = tmp_path / "user models"
    monkeypatch.setenv("PORTRAITIST_MODELS", str(folder))
    monkeypatch.setattr(catalogue, "bundled_folder", lambda: tmp_path / "bundled")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """The ten pictures of :func:`smooth_pictures`."""
    return smooth_pictures(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def features(tiny_model: Model) -> Features:
    """What the discriminator of the tiny base sees; tests must not change it."""
    return DiscriminatorFeatures(tiny_model.require_discriminator("to look through"))


def smooth_pictures(folder: Path) -> ImageSet:
    """Write ten pictures of 32 pixels in squares of 4, and open them."""
    random = np.random.default_rng(0)
    for i in range(10):
        smooth = np.kron(random.integers(0, 255, (8, 8, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        write_image(folder / f"{i:02d}.png", smooth)
    return ImageSet.open(folder, 32)


def make_model(seed: int = 0, name: str = "", resolution: int = 16) -> Model:
    """Make an untrained model of few channels."""
    channels = (8,) * (resolution.bit_length() - 2)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = Generator(GeneratorAnatomy(resolution, channels, 16, 16, 2)).eval()
        discriminator = Discriminator(DiscriminatorAnatomy(resolution, channels)).eval()
        torch.nn.init.normal_(generator.w_mean, std=0.1)
    header = Header(generator.anatomy, discriminator.anatomy, name=name, licence="CC0-1.0", credit="Nobody")
    return Model(generator, discriminator, header)


def restyled(base: Model, name: str, seed: int = 1) -> Model:
    """Copy a model and change its ToRGB layers and its first convolution."""
    generator = copy.deepcopy(base.generator)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, p in generator.named_parameters():
            if "to_rgb" in key or "blocks.4.conv1.weight" in key:
                p += torch.randn(p.shape, generator=random) * 0.3
    return Model(generator, base.discriminator, replace(base.header, name=name, licence="CC-BY-4.0"))

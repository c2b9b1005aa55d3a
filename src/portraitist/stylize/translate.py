"""Draw photos with a translator: find and align the face, put it on white, translate, put the result on white.

The background is removed as photo2cartoon does it, before and after. The group of a person is given; or, where that is
asked for, predicted by the classifier on the discriminator of photos, without one by the chooser of the base `faces`.

    artist = PictureTranslator.load("runs/groups", group="men")
    found = artist.stylize("me.jpg", which="largest")
    write_image("me.men.png", found.faces[0].drawing)
    write_image("why.png", found.sheet())       # with attention maps, as Fig. 7 of the few-shot paper

Translators of MUNIT (Huang et al. 2018, arXiv:1804.04732) and DRIT++ (Lee et al. 2020, arXiv:1905.01270) draw a photo
in many appearances, their words are styles and attributes: by themselves in the mean of the prior, and beside it in
random ones and in those of reference drawings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.images import Opacity, Pixels, resize, to_array, to_tensor
from ..data.sheet import beside
from ..errors import BadImage, NoFaceFound, UsageError
from ..faces import AlignedFace, FaceFinder, align, finder_named
from ..faces.align import Framing
from ..faces.background import Mask, composite, cut_out, person_or_oval
from ..faces.paste import paste_all
from ..io.catalogue import find_translator, name_of
from ..io.translator_files import StoredTranslator, load_translator
from ..networks.branches import TranslatorSystem
from ..networks.translator_anatomy import AUTO
from ..ops.colour import greyed
from .appearance import Appearance
from .choices import Which
from .crops import Photo, as_aligned_face, check_size, faces_of, one_thread, opened
from .paths import PathRule, group_rule
from .portraits import SMALLEST_PICTURE
from .shown import Shown, with_faces

SURE = 2 / 3
"""The classifier's probability below which a group must be named; of two groups one always has a half."""
# From cold to hot, as attention maps are drawn in the papers.
_HEAT = np.array([[0, 0, 128], [0, 96, 255], [64, 255, 192], [255, 224, 0], [255, 32, 0]], dtype=np.float32)


@dataclass(frozen=True)
class TranslatedFace(Shown):
    """One face of a photo, drawn."""

    aligned: AlignedFace
    """The crop, and where it lies in the photo; on white where the background was taken away."""
    group: str
    drawing: Pixels
    """``uint8 [S, S, 3]``; on white where the background was taken away."""
    mask: Mask | None
    """How much of each pixel is the person; None where the background was kept."""
    unmasked: Pixels = field(repr=False)
    """The drawing before it was put on white, which is what goes back into the photo."""
    stages: tuple[Pixels, ...] = field(repr=False)
    """Photo, attention on it, drawing, attention on that, photo again, further drawings; without what there is not."""
    further: Mapping[str, tuple[Pixels, Pixels]] = field(default_factory=dict, repr=False)
    """Drawings in other appearances by their names, each as ``drawing`` and as ``unmasked``."""

    def named(self) -> dict[str, Pixels]:
        """Return the drawing, as ``drawing``, and those in other appearances under their names."""
        return {"drawing": self.drawing, **{name: drawing for name, (drawing, _) in self.further.items()}}

    def picture(self, style: str = "", rendering: str = "") -> Pixels:
        """Return the drawing, or that in the appearance ``rendering``; a translator has one style."""
        return self.further[rendering][0] if rendering else self.drawing

    def whole(self, rendering: str = "") -> Pixels:
        """Return the same before it was put on white."""
        return self.further[rendering][1] if rendering else self.unmasked


@dataclass(frozen=True)
class TranslatedFaces(Shown):
    """All faces of a photo, drawn."""

    photo: Pixels
    faces: tuple[TranslatedFace, ...]
    """The largest face first."""
    opacity: Opacity | None = None
    """Of the photo, ``uint8 [H, W]``; None where all of it is opaque."""

    def named(self) -> dict[str, Pixels]:
        """Return all drawings, those of further faces as ``face2.drawing``."""
        return with_faces([face.named() for face in self.faces])

    def pasted(self, style: str = "", rendering: str = "") -> Pixels:
        """Return the photo with every person drawn in their place, before the photo's own background."""
        return paste_all(self.photo, [(face.whole(rendering), face.aligned, face.mask) for face in self.faces])

    def sheet(self, height: int = SMALLEST_PICTURE) -> Pixels:
        """Return a row per face: photo, attention, drawing, attention of the way back, photo again."""
        return np.concatenate([beside(face.stages, height) for face in self.faces], axis=0)


class PictureTranslator:
    """Photos in, drawings out.

    Args:
        stored: The translator.
        group: Whose branch, or ``auto`` to let the classifier or a chooser predict it; may be empty where there is
            only one group.
        name: What pictures are called by; the translator's own name when empty.
        finder: Finds faces; the first of ``faces.FINDERS`` when None.
        keep_background: Leave what is behind a person in the photo, and what the translator draws there.
        appearance: Which appearances faces are drawn in beside the mean one; for translators of MUNIT and DRIT++ alone.
        seed: Of the random appearances.
        device: ``cpu`` or ``cuda``.

    Raises:
        UsageError: There is no such group, none was named, or nothing predicts one, or there is no appearance.
        NoFaceFound: There is no face in a reference.
    """

    def __init__(
        self,
        stored: StoredTranslator,
        *,
        group: str = "",
        name: str = "",
        finder: FaceFinder | None = None,
        keep_background: bool = False,
        appearance: Appearance | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.system: TranslatorSystem = stored.system.to(device).eval().requires_grad_(False)
        self.digest, self.device, self.keep_background = stored.digest, device, keep_background
        self.side = stored.system.anatomy.drawn
        """At which it draws, in pixels."""
        self.name = name or stored.header.name or "drawing"
        self._finder, self.framing, self.grey = finder, stored.header.framing, stored.header.grey
        self.group = self._checked(group)
        self.appearance, self.seed = appearance or Appearance(), seed
        if self.appearance.names and not stored.system.anatomy.appearance:
            raise UsageError(
                f"A translator of the kind {stored.system.anatomy.kind} draws a photo in one way.",
                "Leave out --appearance and --reference, or train one with --preset munit or drit.",
            )

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        group: str = "",
        name: str = "",
        finder: FaceFinder | None = None,
        keep_background: bool = False,
        appearance: Appearance | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> Self:
        """Load a translator by file, by run folder or by name.

        Args:
            path: What to load.
            group: As the constructor.
            name: What pictures are called by; the translator's own name, or that of the folder or file, when empty.
            finder: As the constructor.
            keep_background: As the constructor.
            appearance: As the constructor.
            seed: As the constructor.
            device: As the constructor.

        Raises:
            BadModel: The file is damaged, incomplete or of another kind.
            UsageError: As the constructor.
        """
        file = find_translator(path)
        stored = load_translator(file)
        return cls(
            stored,
            group=group,
            name=name or stored.header.name or name_of(file),
            finder=finder,
            keep_background=keep_background,
            appearance=appearance,
            seed=seed,
            device=device,
        )

    @property
    def styles(self) -> tuple[str, ...]:
        """The one name that its pictures bear."""
        return (self.name,)

    @property
    def further(self) -> tuple[str, ...]:
        """The names of further renderings: random1, random2, ..., then the references."""
        return self.appearance.names

    @property
    def settings(self) -> dict[str, object]:
        """What determines the pictures, beside the photo."""
        return {
            "translator": self.digest,
            "group": self.group,
            "finder": repr(self.finder),
            "keep_background": self.keep_background,
            "side": self.side,
            "device": self.device,
            **({"grey": True} if self.grey else {}),
            **({} if self.framing == "ffhq" else {"framing": self.framing}),
            **({"chooser": self._rule.stored.digest} if self.group == AUTO and self._rule else {}),
            **({"appearance": [*self.appearance.settings, self.seed]} if self.further else {}),
        }

    @cached_property
    def finder(self) -> FaceFinder:
        """What finds faces."""
        return self._finder or finder_named()

    def stylize(
        self,
        photo: Photo,
        *,
        which: Which | int = "all",
        aligned: bool = False,
        size: int | None = None,
    ) -> TranslatedFaces:
        """Draw the faces of one photo.

        Args:
            photo: A file, its bytes, or pixels ``uint8 [H, W, 3]``.
            which: All faces, the largest, or one by its number (1 is the largest).
            aligned: The photo is an aligned square crop already; no face is searched.
            size: Side of the pictures; that at which the translator draws, but at least 256, when None.

        Raises:
            NoFaceFound: There is no face, or none of that number.
            BadImage: The photo cannot be read, or what predicts the group of a face is not sure.
            UsageError: The pixels have another layout, or ``which`` does not select faces.
        """
        check_size(size)
        # The person is separated from the background on more pixels than a small translator has.
        side = max(self.side, SMALLEST_PICTURE)
        photo, opacity = opened(photo)
        pixels, crops = faces_of(photo, None if aligned else self.finder, which, side, framing=self.framing)
        return TranslatedFaces(pixels, tuple(self.draw(crop, size) for crop in crops), opacity)

    def draw(self, crop: AlignedFace, size: int | None = None) -> TranslatedFace:
        """Draw one aligned face, alone and by one thread, so that it depends on nothing but itself."""
        face, photo, mask = self._seen(crop.image)
        side = size or max(self.side, SMALLEST_PICTURE)
        with one_thread(), torch.no_grad():
            group = self._predicted(crop.image, face) if self.group == AUTO else self.group
            drawn, before, after = self._steps(photo, group)
            dressed = {
                name: self._picture(self.system.to_drawing(photo, group, worn).image)
                for name, worn in self._worn(group).items()
            }

        def finished(picture: Pixels) -> tuple[Pixels, Pixels]:
            unmasked = resize(picture, side)
            return unmasked if mask is None else composite(unmasked, mask), unmasked

        drawing, unmasked = finished(drawn)
        further = {name: finished(picture) for name, picture in dressed.items()}
        stages = (face, *(resize(p, side) for p in before), drawing, *(resize(p, side) for p in after))
        stages = (*stages, *(picture for picture, _ in further.values()))
        return TranslatedFace(replace(crop, image=face), group, drawing, mask, unmasked, stages, further)

    def _seen(self, crop: Pixels) -> tuple[Pixels, Tensor, Mask | None]:
        """Return an aligned face as the translator sees it, that as [1, 3, R, R], and how much of it is the person."""
        mask = None if self.keep_background else person_or_oval(crop)
        face = crop if mask is None else composite(crop, mask)
        return face, to_tensor(resize(face, self.side))[None].to(self.device), mask

    def _worn(self, group: str) -> dict[str, Tensor]:
        """Return the further appearances, [1, 8] each, as the branch of a group draws them; found once."""
        if group not in self._appearances:
            numbers, random = self.system.anatomy.appearance, torch.Generator().manual_seed(self.seed)
            # One by one: the first do not depend on the count.
            drawn = [torch.randn(1, numbers, generator=random) for _ in range(self.appearance.random)]
            found = [one.to(self.device) * self.appearance.truncation for one in drawn]
            path = self.system.to_drawing.path(group)
            found += [path.appearance_of(picture) for picture in self._references]
            self._appearances[group] = dict(zip(self.appearance.names, found, strict=True))
        return self._appearances[group]

    @cached_property
    def _appearances(self) -> dict[str, dict[str, Tensor]]:
        return {}

    @cached_property
    def _references(self) -> list[Tensor]:
        """The reference drawings as the translator sees them, [1, 3, R, R] each."""
        side, found = max(self.side, SMALLEST_PICTURE), []
        for reference in self.appearance.references:
            finder = None if reference.aligned else self.finder
            _, (crop,) = faces_of(reference.pixels, finder, "largest", side, framing=self.framing)
            found.append(self._seen(crop.image)[1])
        return found

    def _steps(self, photo: Tensor, group: str) -> tuple[Pixels, list[Pixels], list[Pixels]]:
        """Return the drawing; attention on the photo; attention on the drawing and the photo again, as far as known."""
        there = self.system.to_drawing(photo, group)
        before = [] if there.attention is None else [heat_map(photo[0], there.attention[0, 0])]
        after: list[Pixels] = []
        if self.system.to_photo is not None:
            back = self.system.to_photo(there.image, group)
            if back.attention is not None:
                after.append(heat_map(there.image[0], back.attention[0, 0]))
            after.append(to_array(back.image[0]))
        return self._picture(there.image), before, after

    def _picture(self, drawn: Tensor) -> Pixels:
        """Return a drawing [1, 3, R, R] as it is shown."""
        return to_array((greyed(drawn) if self.grey else drawn)[0])

    def _checked(self, group: str) -> str:
        groups = self.system.groups
        if group in ("", AUTO) and len(groups) == 1:
            return groups[0]
        known = ", ".join(groups)
        if group == AUTO:
            if not self._predicts:
                raise UsageError("Nothing predicts the groups of this translator.", f"Name one with --group: {known}.")
        elif group not in groups:
            said = f"There is no group '{group}'." if group else "The group of the people must be named."
            choice = f", or {AUTO} to have it predicted" if self._predicts else ""
            raise UsageError(said, f"Give --group with one of {known}{choice}.")
        return group

    @property
    def _classifies(self) -> bool:
        return self.system.of_photos is not None and self.system.of_photos.anatomy.groups > 0

    @property
    def _predicts(self) -> bool:
        return self._classifies or self._rule is not None

    @cached_property
    def _rule(self) -> PathRule | None:
        """What chooses in the place of a classifier; None where there is one, or no chooser that knows these photos."""
        return None if self._classifies or self.framing != "ffhq" else group_rule(self.system.groups)

    def _predicted(self, crop: Pixels, face: Pixels) -> str:
        """Return the group of a person.

        Args:
            crop: The aligned face with its background, which a chooser sees.
            face: The same as the translator and its classifier see it.
        """
        if self._rule is None:
            return self._classified(to_tensor(resize(face, self.system.anatomy.resolution))[None].to(self.device))
        group = self._rule.path(to_tensor(crop)[None])
        if group is None:
            raise BadImage("The group of this person is not sure enough.", "Name it with --group.", kind="group")
        return group

    def _classified(self, photo: Tensor) -> str:
        """Let the classifier predict the group of a photo [1, 3, R, R]."""
        assert self.system.of_photos is not None
        logits = self.system.of_photos(photo).groups
        assert logits is not None
        shares = logits[0].softmax(0)
        best = int(shares.argmax())
        if shares[best] < SURE:
            said = ", ".join(f"{g} {p:.0%}" for g, p in zip(self.system.groups, shares.tolist(), strict=True))
            raise BadImage(f"The classifier is not sure of the group ({said}).", "Name it with --group.", kind="group")
        return self.system.groups[best]


def onto_white(
    side: int, finder: FaceFinder | None, framing: Framing = "ffhq"
) -> Callable[[Pixels, str], list[AlignedFace]]:
    """Return what :func:`..data.prepare.prepare` asks for: it cuts the faces of a picture out and puts them on white.

    Args:
        side: Of the faces, in pixels; the person is separated from the background on 256 at least.
        finder: Finds faces; None takes each picture as an aligned face.
        framing: How faces are cut out.
    """
    wide = max(side, SMALLEST_PICTURE)

    def cut(picture: Pixels, name: str) -> list[AlignedFace]:
        if finder is None:
            faces = [as_aligned_face(picture, wide)]
        else:
            faces = [align(picture, face.landmarks, wide, framing) for face in finder.find(picture)]
        found: list[AlignedFace] = []
        nobody: NoFaceFound | None = None
        for face in faces:
            try:
                found.append(replace(face, image=cut_out(face.image)))
            except NoFaceFound as error:
                nobody = error
        if nobody is not None and not found:  # of several faces, those that stand out are of use
            raise nobody
        return found

    return cut


def heat_map(picture: Tensor, attention: Tensor) -> Pixels:
    """Lay attention [h, w], from its least to its most, in colours over a picture [3, R, R] in [-1, 1]."""
    low, high = attention.min(), attention.max()
    levels = ((attention - low) / (high - low).clamp(min=1e-12)).cpu().numpy()
    side = picture.shape[-1]
    tones: npt.NDArray[np.float32] = np.linspace(0, 1, len(_HEAT), dtype=np.float32)
    colours = np.stack([np.interp(levels, tones, _HEAT[:, k]) for k in range(3)], -1)
    heat = resize(np.rint(colours).astype(np.uint8), side).astype(np.float32)
    mixed: Pixels = np.rint((heat + to_array(picture).astype(np.float32)) / 2).astype(np.uint8)
    return mixed

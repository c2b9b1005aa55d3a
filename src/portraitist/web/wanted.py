"""What a request may ask for: the parameters of the HTTP service, their ranges and their defaults.

A new setting of the Stylizer is a field of :class:`StylizerSettings` here, and a line in ``Studio``: the service, its
OpenAPI document and the errors follow from the fields.

    wanted = Wanted.read([("style", "toon3d"), ("strength", "0.8"), ("face", "largest")])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError
from ..stylize.choices import Options

MOST_STYLES = 8
LARGEST_SIDE = 2048
MOST_STEPS = 500


class StylizerSettings(BaseModel):
    """What determines a Stylizer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    style: Annotated[
        tuple[Annotated[str, Field(max_length=400)], ...],
        Field(
            max_length=MOST_STYLES,
            description="Name of a style, or a mixture such as toon3d:0.6+charcoal:0.4; may be repeated. The default "
            "styles of the service when left out.",
        ),
    ] = ()
    attribute: Annotated[
        str | None,
        Field(max_length=100, description="Path of styles that have several; each face chooses when left out or auto."),
    ] = None
    strength: Annotated[float, Field(ge=0, le=1.5, description="0 draws no style, 1 the style as trained.")] = 1.0
    detail: Annotated[
        float, Field(ge=0, le=1, description="How far pictures take from the photo what its code does not hold.")
    ] = 1.0
    refine: Annotated[
        int, Field(ge=0, le=MOST_STEPS, description="Steps that improve the likeness, from the encoder's code.")
    ] = 0
    seed: Annotated[int, Field(ge=0, lt=2**63, description="Of all random numbers.")] = 0


class Wanted(StylizerSettings):
    """All that a request may ask for."""

    face: Annotated[
        Literal["all", "largest"] | Annotated[int, Field(ge=1, le=1000)],
        Field(description="Which faces: all, largest, or the number of one (1 is the largest)."),
    ] = "all"
    aligned: Annotated[bool, Field(description="The photo is an aligned square face already.")] = False
    paste_back: Annotated[bool, Field(description="Blend the redrawn faces back into the photo.")] = False
    sheet: Annotated[bool, Field(description="Also draw a sheet of all stages and styles.")] = False
    size: Annotated[
        int | None,
        Field(ge=16, le=LARGEST_SIDE, description="Side of the pictures in pixels; the model's, but at least 256."),
    ] = None
    format: Annotated[Literal["png", "jpg", "webp"], Field(description="Of the pictures.")] = "png"

    @classmethod
    def read(cls, items: Iterable[tuple[str, str]]) -> Self:
        """Read the parameters of a request, given as texts.

        Raises:
            UsageError: There is no such parameter, it is given twice, or its value is out of range.
        """
        found: dict[str, object] = {}
        styles: list[str] = []
        for key, text in items:
            if key == "style":
                styles.append(text)
                found["style"] = styles
            elif key in found:
                raise UsageError(f"The parameter '{key[:40]}' is given twice.", "Give it once.")
            else:
                found[key] = text
        if unknown := [key for key in found if key not in cls.model_fields]:
            raise UsageError(
                f"There is no parameter '{unknown[0][:40]}'.", f"Parameters: {', '.join(cls.model_fields)}."
            )
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            raise UsageError(
                f"The parameter '{name}' cannot be '{str(found[name])[:40]}': {first['msg']}.",
                "/openapi.json lists the parameters and their ranges.",
            ) from None

    @property
    def settings(self) -> StylizerSettings:
        """What of it determines the Stylizer."""
        return StylizerSettings(**{name: getattr(self, name) for name in StylizerSettings.model_fields})

    @property
    def options(self) -> Options:
        """What of it determines how pictures are written."""
        return Options(self.face, self.aligned, self.paste_back, self.sheet, self.size, f".{self.format}")

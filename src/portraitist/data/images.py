"""The one decoder for every picture that enters, and the one writer for every picture that leaves.

A picture is a ``uint8`` array ``[H, W, 3]`` in sRGB, upright. To a network it is
``float32 [3, H, W]`` in [-1, 1].

What comes in, and how it is read:

- PNG, JPEG, WebP, GIF, BMP, TIFF, and HEIC where pillow-heif is installed (the extra ``heic``), told by content and not
  by name; anything else is refused, and so are animated PNG and WebP. Of a multi-picture JPEG (MPO, as phones write),
  a GIF that moves, and a TIFF of several pages the first picture is read; of GIF and TIFF that is logged.
- A damaged file is refused, where the damage can be seen: checksums of PNG, ends of all formats, codes of JPEG that
  no encoder writes. Bytes behind the end of a picture are no damage. Damage to JPEG or WebP that leads to
  other valid codes shows as other pixels; these formats have no checksums.
- 16 bits per channel become 8 (grey: rounded v / 257; colour: the high byte, within one level of that).
- Transparency lies over the matte. CMYK without an Adobe marker is taken as not inverted; without a profile, no
  particular inks are assumed: red is (1 - cyan)(1 - black), and so on.
- A colour profile, wherever in the file it stands and whatever its name, is converted to sRGB with relative
  colorimetric intent and black-point compensation; one that changes no colour by more than two levels is sRGB. A
  profile that cannot be read, or that does not fit the picture's channels, is ignored: the picture counts as
  sRGB. PNG's gAMA, cHRM and cICP are ignored: a picture for HDR screens looks flat.
- EXIF orientation is applied, the first that the file gives, whatever its type of number. Then all metadata is gone:
  an array holds none, and ``write_image`` writes none.

A picture costs at most 12 bytes a pixel while it is read (WebP and HEIC 20), and a path that holds no picture 64 kB.

Example::

    picture = read_image("me.jpg")
    write_image("small.png", resize(picture, 256))
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageChops, ImageCms, ImageFile, ImageOps

from ..errors import BadImage, OutOfMemory, UsageError
from ..files import open_regular, write_bytes
from .containers import HEAD, Header, inspect, refuse_foreign, truncated
from .jpeg_damage import refuse_damaged
from .stills import MODES, decode_heif
from .suffixes import WRITABLE

Pixels = npt.NDArray[np.uint8]
"""Pictures in memory: ``uint8 [H, W, 3]``, sRGB."""

Opacity = npt.NDArray[np.uint8]
"""How opaque the pixels of a picture are: ``uint8 [H, W]``, 0 for not at all, 255 for wholly."""

Source = Path | str | bytes | BinaryIO

MAX_PIXELS = 64_000_000
MAX_SIDE = 32_767
MAX_BYTES = 512 << 20
"""Largest file that is read at all."""

WHITE = (255, 255, 255)

LARGEST_WEBP = 16_383
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 6},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
}


def read_image(
    source: Source, *, name: str = "", matte: tuple[int, int, int] = WHITE, max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Decode a picture to upright sRGB ``uint8 [H, W, 3]``.

    Args:
        source: A path, the file's bytes, or a binary stream.
        name: What errors call the picture; the path by default.
        matte: The colour that transparent parts show.
        max_pixels: Width times height above which the picture is refused, from its header alone.

    Raises:
        BadImage: With ``kind`` ``missing``, ``empty``, ``not-an-image``, ``format``, ``truncated``,
            ``too-large``, ``animated`` or ``colour``.
        OutOfMemory: The picture is within the cap but not within memory.
        UsageError: The source is no file, or the matte no colour.
    """
    return read_translucent(source, name=name, matte=matte, max_pixels=max_pixels)[0]


def read_translucent(
    source: Source, *, name: str = "", matte: tuple[int, int, int] = WHITE, max_pixels: int = MAX_PIXELS
) -> tuple[Pixels, Opacity | None]:
    """Decode a picture as :func:`read_image` does, and how opaque each pixel is; None where all are.

    :func:`with_opacity` takes the matte off again.
    """
    if not isinstance(source, Path | str | bytes) and not hasattr(source, "read"):
        raise UsageError(f"A {type(source).__name__} is not a picture file.", "Give a path, its bytes, or a stream.")
    if len(matte) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in matte):
        raise UsageError(f"{matte!r} is no colour.", "Give three levels from 0 to 255.")
    name = name or (str(source) if isinstance(source, Path | str) else "the picture")
    header = inspect(_read_bytes(source, name), name)
    _check_size(header, name, max_pixels)
    try:
        return _decode(header, name, matte)
    except (ValueError, OSError):  # of Pillow, where pixels and what describes them do not fit together
        raise truncated(name) from None
    except MemoryError:
        raise OutOfMemory(
            f"{name} ({header.width}x{header.height}) does not fit into memory.", "Make the picture smaller."
        ) from None


def from_pillow(image: Image.Image, *, matte: tuple[int, int, int] = WHITE, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Turn a picture of Pillow into upright sRGB ``uint8 [H, W, 3]``, as :func:`read_image` reads its file.

    Args:
        image: Any picture; it is not changed.
        matte: As :func:`read_image`.
        max_pixels: As :func:`read_image`.

    Raises:
        BadImage: It is too large, its file is damaged, or it has pixels that are not read (``format``).
    """
    name = "the picture"
    sized = Header(
        "JPEG" if image.format == "JPEG" else "PNG", *image.size, 8, 1, image.info.get("icc_profile") or b"", b""
    )
    _check_size(sized, name, max_pixels)
    if image.mode not in MODES:
        raise BadImage(f"Pictures of the kind {image.mode} are not read.", "Convert it to RGB.", kind="format")
    try:
        upright = ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:
        raise truncated(name) from None
    colour, alpha = _colour_and_alpha(upright, None, sized)
    rgb = _conversion(upright, sized)(colour)
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, matte), alpha)
    return np.asarray(rgb)


def write_image(path: Path | str, array: Pixels) -> Path:
    """Write ``uint8 [H, W, 3]`` as PNG, JPEG or WebP, told by the suffix.

    JPEG has quality 95 and full colour resolution, the others lose nothing. The file appears whole or not at
    all, holds no metadata, and has the same bytes for the same pixels.
    """
    path = Path(path)
    write_bytes(path, encode_image(array, path.suffix), overwrite=True)
    return path


def encode_image(array: Pixels, suffix: str) -> bytes:
    """Return ``uint8 [H, W, 3]`` as the file that :func:`write_image` writes, for a suffix such as ``.png``.

    A fourth channel is the opacity, which PNG and WebP keep; JPEG shows the picture over white.

    Raises:
        UsageError: The suffix is of no format that can be written.
        BadImage: The format has no room for so many pixels (``too-large``).
    """
    kind = WRITABLE.get(suffix.lower())
    is_array = isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 3
    if not is_array or array.shape[2] not in (3, 4) or 0 in array.shape:
        what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise UsageError(f"A {what} is no picture to write.", "Give a uint8 H x W x 3 array.")
    if kind is None:
        raise UsageError(f"Cannot tell a picture format from the ending '{suffix}'.", "End it in .png, .jpg or .webp.")
    if kind == "WEBP" and max(array.shape[:2]) > LARGEST_WEBP:
        raise BadImage(f"WebP has room for {LARGEST_WEBP} pixels a side.", "Write .png.", kind="too-large")
    if kind == "JPEG" and array.shape[2] == 4:
        array = np.asarray(_over(Image.fromarray(array), WHITE))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, kind, **_OPTIONS[kind])
    return buffer.getvalue()


def with_opacity(array: Pixels, opacity: Opacity | None) -> Pixels:
    """Return a picture that lies over white as ``uint8 [H, W, 4]``, which shows the same over white; None: as it is.

    Args:
        array: ``uint8 [H, W, 3]``.
        opacity: ``uint8 [H, W]``.
    """
    if opacity is None:
        return array
    found = np.dstack([array, opacity])
    partly = (opacity > 0) & (opacity < 255)
    share = opacity[partly].astype(np.float32)[:, None] / 255
    colours = 255 + (array[partly] - np.float32(255)) / share
    found[partly, :3] = np.rint(colours).clip(0, 255).astype(np.uint8)
    return found


def resize(array: Pixels, size: int | tuple[int, int], *, method: Literal["lanczos", "area"] = "lanczos") -> Pixels:
    """Resize ``[H, W, 3]`` to a side, or to (height, width), without aliasing.

    ``lanczos`` widens its kernel by the scale when shrinking; ``area`` is the exact mean of the covered area,
    so that a whole-number shrink is the mean of each block.

    Raises:
        UsageError: There is no such size or method.
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if not all(isinstance(side, int | np.integer) and 0 < side <= MAX_SIDE for side in (height, width)):
        raise UsageError(f"Pictures cannot have the size {size!r}.", f"Give sides from 1 to {MAX_SIDE}.")
    if method not in ("lanczos", "area"):
        raise UsageError(f"Pictures are not resized by {method!r}.", "Use lanczos or area.")
    if array.shape[:2] == (height, width):
        return array
    if method == "area":
        return _area(array, height, width)
    return np.asarray(Image.fromarray(array).resize((width, height), Image.Resampling.LANCZOS))


def crop_square(array: Pixels) -> Pixels:
    """Cut the largest centred square; an odd surplus loses its extra row or column at the end."""
    side = min(array.shape[:2])
    top, left = (array.shape[0] - side) // 2, (array.shape[1] - side) // 2
    return array[top : top + side, left : left + side]


def to_tensor(array: Pixels) -> torch.Tensor:
    """Turn ``uint8 [H, W, 3]`` into ``float32 [3, H, W]`` in [-1, 1]."""
    return torch.tensor(np.ascontiguousarray(array.transpose(2, 0, 1))).float().div_(127.5).sub_(1)


def to_array(tensor: torch.Tensor) -> Pixels:
    """Turn ``[3, H, W]`` or ``[N, 3, H, W]`` in [-1, 1] into ``uint8 [H, W, 3]`` or ``[N, H, W, 3]``.

    Values outside are clamped; halves round to even, so that ``to_array(to_tensor(a))`` is ``a``.
    """
    levels = tensor.detach().float().add(1).mul(127.5).clamp(0, 255).round().to(torch.uint8).cpu()
    return np.ascontiguousarray(levels.movedim(-3, -1).numpy())


def read_whole(file: BinaryIO | IO[bytes], name: str) -> bytes:
    """Return the bytes of a picture file; one that is no picture, by its first bytes, is not read to its end.

    Raises:
        BadImage: It is none, or larger than any that is read.
    """
    head = file.read(HEAD)
    refuse_foreign(head, name)
    return head + read_capped(file, name, len(head))


def read_capped(file: BinaryIO | IO[bytes], name: str, before: int = 0) -> bytes:
    """Return what is left of a file behind its first ``before`` bytes, whatever a directory claims of its size.

    Raises:
        BadImage: The file is larger than any that is read.
    """
    most = MAX_BYTES - before
    data = file.read(most + 1)
    if len(data) > most:
        raise BadImage(f"{name} is larger than {MAX_BYTES >> 20} MiB.", "Save a smaller copy.", kind="too-large")
    return data


def _read_bytes(source: Source, name: str) -> bytes:
    if isinstance(source, bytes):
        return read_capped(io.BytesIO(source), name)
    try:
        if not isinstance(source, Path | str):
            return read_whole(source, name)
        with open_regular(Path(source)) as file:
            return read_whole(file, name)
    except FileNotFoundError:
        raise BadImage(f"{name} does not exist.", "Check the path.", kind="missing") from None
    except IsADirectoryError:
        raise BadImage(f"{name} is a folder.", "Name a picture in it.", kind="not-an-image") from None
    except (OSError, ValueError) as error:
        raise BadImage(
            f"{name} cannot be read: {error}.", "Check the path and its permissions.", kind="missing"
        ) from None


def _check_size(header: Header, name: str, max_pixels: int) -> None:
    if header.width * header.height > max_pixels or max(header.width, header.height) > MAX_SIDE:
        raise BadImage(
            f"{name} is {header.width}x{header.height} pixels; the limits are {max_pixels / 1e6:g} million and "
            f"{MAX_SIDE} a side.",
            "Save a smaller copy.",
            kind="too-large",
        )


def _decode(header: Header, name: str, matte: tuple[int, int, int]) -> tuple[Pixels, Opacity | None]:
    if header.format == "JPEG":
        refuse_damaged(header.stream, name)
    image, low = _opened(header, name), None
    if header.bits == 16 and image.mode == "RGB" and "transparency" in image.info:
        low = _opened(header, name, "RGB;16L")  # reads the other byte of each number
    convert = _conversion(image, header)
    tall, wide = (header.width, header.height) if header.orientation >= 5 else (header.height, header.width)
    upright = np.empty((tall, wide, 3), np.uint8)
    stored = _as_stored(upright, header.orientation)
    opacity: Opacity | None = None
    # By strips, so that of every step but the first and the last there is little in memory at a time.
    rows = max(1, _STRIP // header.width)
    for top in range(0, header.height, rows):
        box = (0, top, header.width, min(top + rows, header.height))
        colour, alpha = _colour_and_alpha(image.crop(box), None if low is None else low.crop(box), header)
        rgb = convert(colour)
        if alpha is not None and alpha.getextrema() != (255, 255):
            rgb = Image.composite(rgb, Image.new("RGB", rgb.size, matte), alpha)
            if opacity is None:
                opacity = np.full((tall, wide), 255, np.uint8)
            _as_stored(opacity, header.orientation)[top : box[3]] = np.asarray(alpha)
        stored[top : box[3]] = np.asarray(rgb)
    return upright, opacity


_STRIP = 1 << 20
"""Pixels that are worked on at a time."""


def _opened(header: Header, name: str, raw: str = "") -> Image.Image:
    """Return the decoded picture; ``raw`` names another way to unpack its numbers than Pillow's own choice."""
    try:
        if header.format == "HEIF":
            return decode_heif(header.stream, name)
        image = Image.open(io.BytesIO(header.stream), formats=[header.format])
        if image.size != (header.width, header.height):
            raise truncated(name)
        if raw and isinstance(image, ImageFile.ImageFile):
            image.tile = [part._replace(args=raw) for part in image.tile]
        image.load()
    except (BadImage, MemoryError):
        raise
    except Exception:
        # Hostile bytes make the decoder raise nearly anything; each is the same news to the user.
        raise truncated(name) from None
    return image


def _colour_and_alpha(
    image: Image.Image, low: Image.Image | None, header: Header
) -> tuple[Image.Image, Image.Image | None]:
    """Split into the colours as stored (mode L, RGB or CMYK) and the opacity (mode L; None: opaque).

    ``low`` holds the low bytes of 16-bit colours where these are needed.
    """
    key = image.info.pop("transparency", None)
    if image.mode == "P":
        if key is None:
            return image.convert("RGB"), None
        image.info["transparency"] = key
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA"):
        return image.convert(image.mode[:-1]), image.getchannel("A")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.uint32)
        grey = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
        return grey, None if key is None else _mask(deep != key)
    if image.mode == "1":
        image = image.convert("L")
    if header.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
        image = ImageChops.invert(image)
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    return image, None if key is None else _keyed(image, low, key, header.bits)


def _keyed(image: Image.Image, low: Image.Image | None, key: int | tuple[int, ...], bits: int) -> Image.Image:
    """Return the opacity of a PNG whose tRNS names one colour, in the file's own bit depth."""
    levels = np.asarray(image)
    wanted = np.atleast_1d(np.asarray(key))
    if bits == 1:
        wanted = np.where(wanted > 0, 255, 0)
    elif bits < 8:
        wanted = wanted * 255 // (2**bits - 1)
    if low is not None:
        levels = levels.astype(np.uint16) << 8 | np.asarray(low)
    return _mask((levels.reshape(*levels.shape[:2], -1) != wanted).any(axis=-1))


def _mask(opaque: npt.NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(opaque, 255, 0).astype(np.uint8))


def _conversion(image: Image.Image, header: Header) -> Callable[[Image.Image], Image.Image]:
    """Return what turns colours as stored, in mode L, RGB or CMYK, into sRGB."""

    def plain(colours: Image.Image) -> Image.Image:
        return colours.convert("RGB")

    mode = (
        image.mode if image.mode in ("CMYK", "LAB") else "L" if image.mode in ("1", "L", "LA", "I", "I;16") else "RGB"
    )
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(header.profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return plain  # none, unreadable, or for other channels: the picture counts as sRGB, as the module says

    def converted(colours: Image.Image) -> Image.Image:
        found = ImageCms.applyTransform(colours, transform)
        assert found is not None  # only the in-place form returns None
        return found

    if mode != "CMYK":
        probe = _samples() if mode == "RGB" else _samples().convert("L")
        change = np.asarray(converted(probe)).astype(int) - np.asarray(plain(probe))
        if np.abs(change).max() <= _SAME:
            return plain
    return converted


_SAME = 2
"""Levels by which profiles of sRGB differ from each other, through rounding and through their tables."""


def _samples() -> Image.Image:
    """Return all greys, and colours from all over the cube."""
    greys = np.repeat(np.arange(256)[:, None], 3, axis=1)
    cube = np.stack(np.meshgrid(*[np.arange(0, 256, 17)] * 3), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([greys, cube]).astype(np.uint8)[None])


def _as_stored(upright: Pixels, orientation: int) -> Pixels:
    """Return a view of an upright picture whose rows are the file's: 2-4 flip and turn, 5-8 exchange the axes."""
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    array = upright[::rows, ::columns]
    return array.swapaxes(0, 1) if orientation >= 5 else array


def _over(image: Image.Image, matte: tuple[int, int, int]) -> Image.Image:
    """Return an RGBA picture over a colour."""
    return Image.composite(image.convert("RGB"), Image.new("RGB", image.size, matte), image.getchannel("A"))


def _area(array: Pixels, height: int, width: int) -> Pixels:
    rows, columns = _overlaps(array.shape[0], height), _overlaps(array.shape[1], width)
    sums = np.stack([rows @ array[..., channel] @ columns.T for channel in range(3)], axis=-1)
    # Dividing last keeps whole-number shrinks exact.
    mean = sums * (height * width) / (array.shape[0] * array.shape[1])
    levels: Pixels = np.rint(mean).clip(0, 255).astype(np.uint8)
    return levels


def _overlaps(before: int, after: int) -> npt.NDArray[np.float64]:
    """Return [after, before]: how much of each old pixel lies in each new one, in old pixels."""
    edges = np.linspace(0, before, after + 1)
    pixel = np.arange(before)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    shares: npt.NDArray[np.float64] = np.maximum(overlap, 0.0)
    return shares

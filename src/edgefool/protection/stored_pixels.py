"""The pixels of a photo in 8 bits, in the colours in which they are stored."""

from PIL import Image

from edgefool.errors import ImageError
from edgefool.images.colour import alpha_channel, grey_to_8_bits
from edgefool.protection.metadata import Note


def to_stored_pixels(image: Image.Image, modes: tuple[str, ...], note: Note) -> Image.Image:
    """Return an image in one of the modes that its file can have: L, LA, RGB or RGBA.

    Parameters
    ----------
    image
        As `decode_image` returns it.
    modes
        Those that its file can have. Where none of them has transparency, it is flattened onto white.
    note
        Called with a line for what changes.

    Raises
    ------
    ImageError
        If the photo has colours that cannot be changed and written back.
    """
    if image.mode in ("CMYK", "LAB", "F"):
        name = {"CMYK": "CMYK (inks)", "LAB": "CIELAB", "F": "floating-point"}[image.mode]
        raise ImageError(
            f"has {name} pixels, which cannot be protected; export it as an RGB JPEG, for example with GIMP or Krita"
        )
    alpha = alpha_channel(image)
    if image.mode.startswith("I"):
        colours = grey_to_8_bits(image)
    else:
        is_grey = image.mode in ("1", "L", "LA", "La") and "L" in modes
        colours = _in_mode(_unmultiplied(image), "L" if is_grey else "RGB")
    if alpha is None:
        return colours
    if colours.mode == "L" and "LA" not in modes:
        colours = colours.convert("RGB") if "RGBA" in modes else colours
    if f"{colours.mode}A" in modes:
        colours.putalpha(alpha)
        return colours
    note("its transparent parts are flattened onto white")
    return Image.composite(colours, Image.new(colours.mode, colours.size, "white"), alpha)


def _unmultiplied(image: Image.Image) -> Image.Image:
    return _in_mode(image, {"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image, if it has another mode; Pillow would copy it in any case."""
    return image if image.mode == mode else image.convert(mode)

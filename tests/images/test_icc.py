"""Profiles made of curves and primaries, beside those of LittleCMS and closed forms."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgefool.images.icc import (
    BT709_CURVE,
    BT2020_PRIMARIES,
    DISPLAY_P3_PRIMARIES,
    SRGB_CURVE,
    SRGB_PRIMARIES,
    make_profile,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    flags = ImageCms.Flags.NOOPTIMIZE
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), source, target, outputMode="RGB", flags=flags))


def test_srgb_is_that_of_littlecms():
    assert np.abs(to_srgb(COLOURS, make_profile(SRGB_CURVE, SRGB_PRIMARIES)).astype(int) - COLOURS).max() <= 1
    ours, theirs = (
        ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        for profile in (
            make_profile(SRGB_CURVE, SRGB_PRIMARIES),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        )
    )
    for name in ("red_colorant", "green_colorant", "blue_colorant"):
        assert np.allclose(getattr(ours, name)[0], getattr(theirs, name)[0], atol=2e-4)


@pytest.mark.parametrize(
    ("primaries", "red"),
    [(DISPLAY_P3_PRIMARIES, (0.5151, 0.2412, -0.0011)), (BT2020_PRIMARIES, (0.6734, 0.2790, -0.0019))],
)
def test_the_red_of_wide_gamuts(primaries, red):
    """Columns of the profiles of Apple and of the ICC."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(make_profile(SRGB_CURVE, primaries))).profile
    assert np.allclose(profile.red_colorant[0], red, atol=5e-4)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.8])
def test_powers(gamma):
    ramp = np.arange(256, dtype=np.uint8)[None]
    light = (ramp[0] / 255) ** gamma
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    for pixels, primaries in ((ramp, None), (np.stack([ramp] * 3, -1), SRGB_PRIMARIES)):
        assert np.abs(to_srgb(pixels, make_profile((gamma,), primaries))[0] - expected[:, None]).max() <= 1


def test_the_curve_of_television():
    """ITU-R BT.709: 0.018 of the light is 0.081 of the signal, half of it 0.705."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    grey = to_srgb(ramp, make_profile(BT709_CURVE))[0, :, 0]
    assert abs(int(grey[round(0.705 * 255)]) - 188) <= 1


@pytest.mark.parametrize("primaries", [[0.0] * 8, [0.3] * 8, [1e9, 1e-9] * 4])
def test_no_colours(primaries):
    with pytest.raises(ValueError, match=r"division|[Ss]ingular|argument|range|must|format"):
        make_profile((1.0,), primaries)

"""The inputs that people report, where they are at hand (`shared/cases`)."""

import pytest
import torch

from edgefool.errors import EdgeFoolError
from edgefool.images import read_image

EXPECTED = {
    "camera.mpo": (10, 200, 30),
    "comment_with_wrong_crc.png": (10, 200, 30),
    "text_chunk_over_1MB.png": (10, 200, 30),
    "grey16_transparent.png": (255, 255, 255),
    "grey_alpha_linear_profile.png": (188, 188, 188),
}
"""The colour that each image has where it is one colour, in grey levels."""


@pytest.mark.faults
def test_the_cases_are_read_right(shared, tally):
    """A file that is not in the list may be refused, in one line, but not crash."""
    tally.fault = "photos as people report them (`../shared/cases`)"
    files = sorted((shared / "cases" / "files").iterdir())
    assert set(EXPECTED) <= {file.name for file in files}
    for file in files:
        tally.tries += 1
        try:
            image = read_image(file, on_warning=lambda _: None)
        except EdgeFoolError as error:
            tally.wrong += file.name in EXPECTED or not str(error).isprintable()
            continue
        if colour := EXPECTED.get(file.name):
            found = (255 * image).flatten(1)
            near = (found - torch.tensor(colour, dtype=torch.float32)[:, None]).abs().amax(0) <= 1.01
            # Of the transparent file only some pixels are.
            tally.wrong += not (near.any() if file.name == "grey16_transparent.png" else near.all())
    assert tally.wrong == 0

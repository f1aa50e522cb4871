"""The photo in a TIFF that begins with a thumbnail, as cameras write them."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from edgefool.errors import ImageError
from edgefool.images import read_image

SHORT, LONG = 3, 4
RAW, LINEAR_RAW = 32803, 34892


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


THUMBNAIL, PHOTO = picture(16, 20, seed=1), picture()


def levels(data: bytes) -> np.ndarray:
    return np.rint(read_image(data).permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def camera_file(byteorder: str = "<", bigtiff: bool = False, photo: np.ndarray = PHOTO, **photo_tags: object) -> bytes:
    """Return a thumbnail with the photo in a SubIFD, as in NEF and DNG."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=byteorder, bigtiff=bigtiff) as file:
        file.write(THUMBNAIL, photometric="rgb", subfiletype=1, subifds=1)
        file.write(photo, **{"photometric": "rgb", "subfiletype": 0} | photo_tags)
    return buffer.getvalue()


def pages(*images: tuple[np.ndarray, int]) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for image, subfile_type in images:
            values, photometric = (image[..., 0] > 127, "mask") if subfile_type == 4 else (image, "rgb")
            file.write(values, photometric=photometric, subfiletype=subfile_type, metadata=None)
    return buffer.getvalue()


@pytest.mark.parametrize(("byteorder", "bigtiff"), [("<", False), (">", False), ("<", True)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_full_image_inside_the_thumbnail_is_read(byteorder, bigtiff, compression):
    assert np.array_equal(levels(camera_file(byteorder, bigtiff, compression=compression)), PHOTO)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (pages((THUMBNAIL, 1), (PHOTO, 0)), PHOTO),
        (pages((THUMBNAIL, 1), (THUMBNAIL, 4), (PHOTO, 0)), PHOTO),
        (pages((THUMBNAIL, 1), (PHOTO, 1)), PHOTO),
        (pages((PHOTO, 0), (THUMBNAIL, 1)), PHOTO),
        (pages((THUMBNAIL, 0), (PHOTO, 0)), THUMBNAIL),
        (pages((THUMBNAIL, 2), (PHOTO, 2)), THUMBNAIL),
    ],
    ids=[
        "next page",
        "behind a mask",
        "only reduced images",
        "thumbnail behind it",
        "two photos",
        "pages of a document",
    ],
)
def test_which_page_is_the_photo(file, expected):
    assert np.array_equal(levels(file), expected)


def test_the_older_tag_of_reduced_images_counts():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for image, kind in ((THUMBNAIL, 2), (PHOTO, 1)):
            file.write(image, photometric="rgb", metadata=None, extratags=[(255, SHORT, 1, kind, True)])
    assert np.array_equal(levels(buffer.getvalue()), PHOTO)


@pytest.mark.parametrize("photometric", [RAW, LINEAR_RAW])
@pytest.mark.parametrize("with_thumbnail", [True, False])
def test_raw_sensor_data_are_refused_with_what_to_do(photometric, with_thumbnail):
    sensor = PHOTO if photometric == LINEAR_RAW else np.ascontiguousarray(PHOTO[..., 0].astype(np.uint16))
    options = (
        {"photometric": photometric, "planarconfig": "contig"} if photometric == LINEAR_RAW else {"photometric": RAW}
    )
    if with_thumbnail:
        data = camera_file(photo=sensor, **options)
    else:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, sensor, metadata=None, **options)
        data = buffer.getvalue()
    with pytest.raises(ImageError, match=r"raw sensor data.*convert to JPEG, PNG or TIFF"):
        read_image(data)


def test_a_preview_of_full_size_does_not_make_raw_data_a_photo():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(THUMBNAIL, photometric="rgb", subfiletype=1, subifds=2)
        file.write(PHOTO, photometric="rgb", subfiletype=1)
        file.write(PHOTO[..., 0], photometric=RAW, subfiletype=0)
    with pytest.raises(ImageError, match="raw sensor data"):
        read_image(buffer.getvalue())


@pytest.mark.parametrize(
    "signature",
    [
        b"II*\0\x10\0\0\0CR\2\0",
        b"\0\0\0\x18ftypcrx ",
        b"FUJIFILMCCD-RAW 0201",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
        b"FOVb\0\0\0\0",
    ],
    ids=["CR2", "CR3", "RAF", "ORF", "RW2", "X3F"],
)
def test_other_camera_files_are_refused_with_what_to_do(signature):
    with pytest.raises(ImageError, match=r"raw sensor data.*convert to JPEG"):
        read_image(signature + bytes(200))


def test_the_orientation_of_the_first_image_holds_for_all():
    orientation = [(274, SHORT, 1, 6, True)]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(THUMBNAIL, photometric="rgb", subfiletype=1, subifds=1, extratags=orientation)
        file.write(PHOTO, photometric="rgb", subfiletype=0)
    assert np.array_equal(levels(buffer.getvalue()), np.rot90(PHOTO, -1))


def test_directories_in_a_circle_end():
    data = pages((PHOTO, 0))
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    place = start + 2 + 12 * entries
    assert np.array_equal(levels(data[:place] + struct.pack("<I", start) + data[place + 4 :]), PHOTO)


def test_a_broken_directory_is_an_error():
    with pytest.raises(ImageError):
        read_image(b"II*\0\xff\xff\xff\x7f" + bytes(100))


def test_pillows_own_pages_are_read_as_before():
    frames = [Image.fromarray(PHOTO), Image.fromarray(THUMBNAIL)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    assert np.array_equal(levels(buffer.getvalue()), PHOTO)

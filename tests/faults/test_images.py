"""A thousand damaged, cut and renamed images: the reader refuses each in a line or gives back whole pixels."""

import io
import json
import random
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgefool.images import IMAGE_FORMATS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

TRIES = 1000
SECONDS = 20  # that an image may take
MOST_MEMORY = 4 * 2**30  # the reader's for `MAX_PIXELS`, which the header of a damaged file may promise

# Reads files in a process of its own, which a crash or the alarm may end, and tells a line for each.
READER = """
import json, hashlib, resource, signal, sys
from pathlib import Path
import torch
from edgefool.errors import ImageError
from edgefool.images import MIN_SIDE, read_image

torch.set_num_threads(1)

def check(image):
    if image.dtype != torch.float32 or image.ndim != 3 or image.shape[0] != 3 or min(image.shape[1:]) < MIN_SIDE:
        return f"{image.dtype} {tuple(image.shape)}"
    levels = (image * 255).round()
    if not (0 <= levels.min() and levels.max() <= 255) or not torch.equal(levels / levels.new_full((), 255), image):
        return "values that are not k/255"
    return None

for path in sys.argv[2:]:
    print(json.dumps({"path": path}), flush=True)
    signal.alarm(int(sys.argv[1]))
    told = {"path": path}
    try:
        image = read_image(Path(path))
        told |= {"wrong": check(image), "pixels": hashlib.sha256(image.numpy().tobytes()).hexdigest()}
    except ImageError as error:
        message = str(error)
        told |= {"wrong": None if message.isprintable() and message else f"message {message!r}", "refused": message}
    except BaseException as error:
        told |= {"wrong": repr(error)}
    signal.alarm(0)
    told["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(told), flush=True)
"""


def photo(mode="RGB", width=48, height=36):
    """Return an image with gradients and noise."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    pixels = np.stack([rows * 200 / height, columns * 200 / width, rows * 0 + 90], -1) + noise
    image = Image.fromarray(pixels.astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray((pixels[..., 0] * 257).astype(np.uint16))
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray((columns * 255 / width).astype(np.uint8)))
    return image.quantize(64) if mode == "P" else image.convert(mode)


def encoded(kind, mode="RGB", **options):
    buffer = io.BytesIO()
    photo(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def originals():
    """Return whole images of every kind that the reader knows, and in the ways in which it treats them apart."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = {"save_all": True, "append_images": [photo(), photo()]}
    kinds = {
        "png": ("PNG", {}),
        "png-grey": ("PNG", {"mode": "L"}),
        "png-16": ("PNG", {"mode": "I;16"}),
        "png-palette": ("PNG", {"mode": "P", "transparency": 3}),
        "png-alpha": ("PNG", {"mode": "RGBA"}),
        "png-grey-alpha": ("PNG", {"mode": "LA"}),
        "png-profile": ("PNG", {"icc_profile": profile}),
        "png-animated": ("PNG", frames),
        "jpeg": ("JPEG", {}),
        "jpeg-progressive": ("JPEG", {"progressive": True, "quality": 95}),
        "jpeg-cmyk": ("JPEG", {"mode": "CMYK"}),
        "jpeg-turned": ("JPEG", {"exif": exif, "icc_profile": profile}),
        "mpo": ("MPO", {"save_all": True, "append_images": [photo()]}),
        "webp": ("WEBP", {}),
        "webp-lossless-alpha": ("WEBP", {"mode": "RGBA", "lossless": True, "exif": exif}),
        "webp-animated": ("WEBP", frames),
        "tiff": ("TIFF", {}),
        "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
        "tiff-deflate-16": ("TIFF", {"mode": "I;16", "compression": "tiff_adobe_deflate"}),
        "tiff-jpeg": ("TIFF", {"compression": "jpeg"}),
        "tiff-cmyk": ("TIFF", {"mode": "CMYK"}),
        "gif": ("GIF", {"mode": "P"}),
        "gif-animated": ("GIF", frames),
        "bmp": ("BMP", {}),
        "bmp-palette": ("BMP", {"mode": "P"}),
        "ppm": ("PPM", {}),
        "pgm-16": ("PPM", {"mode": "I;16"}),
        "avif": ("AVIF", {}),
        "avif-alpha": ("AVIF", {"mode": "RGBA"}),
        "heic": ("HEIF", {}),
        "heic-alpha": ("HEIF", {"mode": "RGBA"}),
        "jp2": ("JPEG2000", {}),
        "jp2-alpha": ("JPEG2000", {"mode": "RGBA"}),
    }
    made = {name: encoded(kind, **options) for name, (kind, options) in kinds.items() if kind in Image.SAVE}
    assert {kind for kind, _ in kinds.values()} >= set(IMAGE_FORMATS)
    return made


def flip(data, places):
    data = bytearray(data)
    for _ in range(2 ** places.randint(0, 6)):
        data[places.randrange(len(data))] ^= 1 << places.randrange(8)
    return bytes(data)


def flip_header(data, places):
    """Where sizes, kinds and offsets stand."""
    data = bytearray(data)
    for _ in range(places.randint(1, 4)):
        data[places.randrange(min(len(data), 64))] ^= 1 << places.randrange(8)
    return bytes(data)


def truncate(data, places):
    return data[: places.randrange(len(data))]


def move_chunk(data, places):
    """Leave out, double, zero, randomise or exchange pieces."""
    size = places.randint(1, max(len(data) // 4, 1))
    at, other = places.randrange(len(data)), places.randrange(len(data))
    chunk = data[at : at + size]
    return places.choice(
        [
            data[:at] + data[at + size :],
            data[:at] + chunk + data[at:],
            data[:at] + bytes(len(chunk)) + data[at + size :],
            data[:at] + places.randbytes(len(chunk)) + data[at + size :],
            data[:other] + chunk + data[other + len(chunk) :],
        ]
    )


def splice(data, places):
    """The start of one and the end of another."""
    other = places.choice(list(originals().values()))
    return data[: places.randrange(len(data))] + other[places.randrange(len(other)) :]


SUFFIXES = [".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".ppm", ".avif", ".jp2"]


def others():
    """Return what is no photo, though its name may say so."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photo.png", encoded("PNG"))
    pdf, eps, icon = (encoded(kind) for kind in ("PDF", "EPS", "ICO"))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9"/></svg>'
    return [
        archive.getvalue(),
        pdf,
        eps,
        icon,
        svg,
        b"",
        b"\0" * 999,
        b"text " * 99,
        b"\xff\xd8\xff",
        random.Random(1).randbytes(999),
    ]


def read(paths):
    """Return what the reader told of each file; a process that it took along is followed by another."""
    told, left = {}, list(paths)
    while left:
        command = [sys.executable, "-c", READER, str(SECONDS), *map(str, left)]
        # Warnings of the decoders' libraries go to stderr.
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        told |= {line["path"]: line for line in lines if "wrong" in line}
        left = [path for path in left if str(path) not in told]
        if done.returncode and lines:
            culprit = lines[-1]["path"]
            told[culprit] = {"wrong": f"ended its process ({done.returncode})", "memory": 0}
            left = [path for path in left if str(path) != culprit]
        assert lines or not left, "the reader did not start"
    return told


def read_all(paths):
    """As `read`, in two processes at a time, 125 files each."""
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(read, [paths[at : at + 125] for at in range(0, len(paths), 125)])
        return {path: line for part in parts for path, line in part.items()}


def test_mutated_images(tmp_path, tally):
    places, whole = random.Random(0), originals()
    good = []
    for name, data in whole.items():
        good.append(tmp_path / f"good-{name}")
        good[-1].write_bytes(data)
    found = read_all(good)
    pixels = {path.name.removeprefix("good-"): found[str(path)]["pixels"] for path in good}

    renamed, cases = {}, []
    for number in range(TRIES):
        name = places.choice(sorted(whole))
        how = places.choices([flip, flip_header, truncate, move_chunk, splice, None], [30, 20, 15, 15, 5, 15])[0]
        path = tmp_path / f"{number}{places.choice(SUFFIXES)}"
        if how:
            path.write_bytes(how(whole[name], places))
        elif places.random() < 0.3:
            path.write_bytes(places.choice(others()))
            renamed[path] = None
        else:
            path.write_bytes(whole[name])
            renamed[path] = pixels[name]
        cases.append(path)
    told = read_all(cases)

    wrong = {path: line["wrong"] for path, line in told.items() if line["wrong"]}
    for path, expected in renamed.items():
        if told[str(path)].get("pixels") != expected:
            wrong[str(path)] = "the name of a file decided what it is"
    refused, memory = sum("refused" in line for line in told.values()), max(line["memory"] for line in told.values())
    tally.tries = len(told)
    tally.wrong = len(wrong) + (memory > MOST_MEMORY)
    tally.lost = TRIES - len(told)
    tally.fault = (
        f"images with flipped bits, cut, spliced or renamed ({refused} refused, {TRIES - refused} read; "
        f"at most {memory / 2**30:.1f} GiB)"
    )
    assert wrong == {}
    assert memory < MOST_MEMORY
    assert 0.2 * TRIES < refused < 0.8 * TRIES
    assert len(renamed) > 100
    assert None in renamed.values()
    assert (tally.lost, tally.wrong) == (0, 0)

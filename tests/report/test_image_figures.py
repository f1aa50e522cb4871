"""The figures with images show what the files hold."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from edgefool.images import encode_png, read_image
from edgefool.report import comparison_figure, intermediate_figure, perturbation_figure
from edgefool.report.image_figures import viewing_scale
from edgefool.runs import Record, RunFolder


@pytest.fixture
def drawn(tmp_path):
    """Return a function that draws Fig. 3 for made-up images and class names."""

    def draw(original: str = "tabby", adversarial: str = "beaver", height: int = 32, width: int = 48, mask=None):
        run = RunFolder(tmp_path)
        record = Record(
            cell="photos/edgefool/tiny",
            dataset="photos",
            image="cat",
            source="/cat.png",
            method="edgefool",
            classifier="tiny",
            original_name=original,
            original_probability=0.512,
            adversarial_name=adversarial,
            adversarial_probability=0.999,
            success=True,
            mask_png=None if mask is None else "its hash",
        )
        images = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0))
        for kind, image in zip(["originals", "structure", "images"], images, strict=True):
            run.image_path(kind, record).write(encode_png(image))
        if mask is not None:
            run.image_path("mask", record).write(encode_png(mask))
        figure = intermediate_figure(run, record)
        file = io.BytesIO()
        figure.savefig(file)
        return figure, np.asarray(Image.open(file)), images

    return draw


def test_five_panels_with_the_decisions_below_the_first_and_last(drawn):
    figure, pixels, images = drawn()
    assert [axis.get_title() for axis in figure.axes] == [
        "original",
        "structure $I_s$",
        "details $I_d^L$",
        "enhanced details",
        "adversarial",
    ]
    assert [axis.get_xlabel() for axis in figure.axes] == ["tabby  51%", "", "", "", "beaver  100%"]
    shown = [axis.get_images()[0].get_array() for axis in figure.axes]
    for panel, image in zip([shown[0], shown[1], shown[4]], images, strict=True):
        assert np.abs(panel - image.permute(1, 2, 0).numpy()).max() <= 0.51 / 255
    assert pixels.std() > 10


def test_a_mask_is_behind_the_structure(drawn):
    mask = torch.linspace(0, 1, 32 * 48).reshape(1, 32, 48)
    figure, *_ = drawn(mask=mask)
    assert [axis.get_title() for axis in figure.axes][1:4] == ["structure $I_s$", "mask", "details $I_d^L$"]
    shown = figure.axes[2].get_images()[0].get_array()
    assert np.abs(shown - mask.permute(1, 2, 0).numpy()).max() <= 0.51 / 255


def test_details_are_differences_of_lightness(drawn):
    from skimage.color import rgb2lab

    figure, _, images = drawn()
    lightness = [rgb2lab((image * 255).round().div(255).permute(1, 2, 0).numpy())[..., 0] for image in images]
    for axis, part in [(figure.axes[2], lightness[0]), (figure.axes[3], lightness[2])]:
        expected = np.clip(0.5 + (part - lightness[1]) / 100, 0, 1)
        shown = axis.get_images()[0].get_array()
        assert np.abs(shown - expected[..., None]).max() < 1e-3


@pytest.mark.parametrize(
    "name", ["$x^", "$\\frac{1}{$", "a_b$c$", "\\", "line\nbreak\t\x1b\0\x07", "{}%s", "", "x" * 300]
)
def test_class_names_are_plain_text(drawn, name):
    figure, *_ = drawn(name, name)
    label = figure.axes[0].xaxis.get_label()
    assert not label.get_parse_math()
    assert label.get_text().isprintable()
    assert label.get_text().endswith("  51%")


@pytest.mark.parametrize("name", ["日本語", "😀", "\u202egpj"])
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_class_names_in_letters_that_the_font_lacks(drawn, name):
    figure, pixels, _ = drawn(name)
    assert figure.axes[0].get_xlabel() == ("?gpj" if name.endswith("gpj") else name) + "  51%"
    assert pixels.std() > 10, "the figure is drawn, with boxes for the letters"


@pytest.mark.parametrize(("height", "width"), [(16, 900), (900, 16)])
def test_long_images(drawn, height, width):
    figure, pixels, _ = drawn(height=height, width=width)
    assert max(pixels.shape) < 3000, "matplotlib refuses endless strips"
    for axis in figure.axes:
        assert axis.get_images()[0].get_array().shape == (height, width, 3), "nothing is cut off"
        box = axis.get_window_extent()
        assert box.height / box.width == pytest.approx(height / width, rel=0.01), "nothing is stretched"
        assert 0 <= box.x0 < box.x1 <= pixels.shape[1]
        assert 0 <= box.y0 < box.y1 <= pixels.shape[0]


def test_images_of_a_run(settings, carry_out):
    constants = {"start": "identity", "max_iterations": 3, "tau": 0.01}
    run = carry_out(settings | {"methods": [{"name": "edgefool", "constants": constants}]}).run
    successes = [record for record in run.records() if record.success]
    assert successes
    for record in successes:
        assert len(intermediate_figure(run, record).axes) == 5


@pytest.fixture
def two_methods(settings, carry_out):
    """Return a run of one photo, and its records by method."""
    dataset = settings["datasets"][0] | {"limit": 1}
    methods = [{"name": "enhance"}, {"name": "nfgsm"}]
    changes = {"datasets": [dataset], "classifiers": settings["classifiers"][:1], "methods": methods}
    run = carry_out(settings | changes).run
    return run, {record.method: record for record in run.records()}


def test_perturbations_are_differences_to_the_original(two_methods):
    run, records = two_methods
    figure = perturbation_figure(run, records)
    shown = {axis.get_title(): axis for axis in figure.axes if axis.get_images()}
    assert list(shown) == ["original", "enhance", "nfgsm"]
    original = read_image(run.image_path("originals", records["nfgsm"])).numpy()
    difference = read_image(run.image_path(records["nfgsm"].kind, records["nfgsm"])).numpy() - original
    scale = viewing_scale(difference)
    assert scale in (10, 20), "8 levels of 255"
    expected = np.clip(0.5 + scale * difference, 0, 1).transpose(1, 2, 0)
    assert np.abs(shown["nfgsm"].get_images()[0].get_array() - expected).max() < 1e-6
    assert shown["nfgsm"].get_xlabel().startswith(f"× {scale}")  # noqa: RUF001


def test_an_unchanged_image_is_not_scaled():
    assert viewing_scale(np.zeros((3, 4, 4), np.float32)) == 1


def test_the_comparison_has_gaps_where_a_method_is_missing(two_methods):
    run, records = two_methods
    figure = comparison_figure(run, [records, {"nfgsm": records["nfgsm"]}])
    assert [axis.get_title() for axis in figure.axes[:3]] == ["original", "enhance", "nfgsm"]
    assert [bool(axis.get_images()) for axis in figure.axes] == [True, True, True, True, False, True]
    assert figure.axes[2].get_xlabel().startswith(str(records["nfgsm"].adversarial_name))

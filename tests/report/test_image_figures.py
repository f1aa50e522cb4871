"""The figures with images show what the files hold."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from edgefool.images import encode_png
from edgefool.report import comparison_figure, intermediate_figure, perturbation_figure
from edgefool.report.image_figures import viewing_scale
from edgefool.runs import Record, RunFolder, load_records
from edgefool.storage.files import write_atomically


@pytest.fixture
def drawn(tmp_path):
    """Return what draws a sheet for made-up images and class names."""

    def draw(original: str = "tabby", adversarial: str = "beaver", height: int = 32, width: int = 48):
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
        )
        images = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0))
        for kind, image in zip(["originals", "structure", "images"], images, strict=True):
            path = run.image_path(kind, record)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, encode_png(image))
        figure = intermediate_figure(run, record)
        file = io.BytesIO()
        figure.savefig(file)
        return figure, np.asarray(Image.open(file)), images

    return draw


def test_five_panels_with_decisions_under_both_ends(drawn):
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
    drawn(name)


@pytest.mark.parametrize(("height", "width"), [(16, 900), (900, 16)])
def test_long_images(drawn, height, width):
    _, pixels, _ = drawn(height=height, width=width)
    assert max(pixels.shape) < 10_000


def test_run_of_the_tiny_attack(tmp_path, make_photo, attack):
    photos = [make_photo(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    attack(*photos, "--out", tmp_path / "run")
    assert load_records(tmp_path / "run")["success"].any()
    run = RunFolder(tmp_path / "run")
    for record in run.records():
        if record.success:
            assert len(intermediate_figure(run, record).axes) == 5


@pytest.fixture
def two_methods(tmp_path, make_photo, edgefool, tiny):
    """Return a run of one photo, and its records by method."""
    photo = make_photo(tmp_path / "cat.png", 0)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f"""size = 32
datasets = [{{kind = "folder", name = "pics", path = "{photo}"}}]
classifiers = [{{name = "{tiny}:factory"}}]
methods = [{{name = "enhance"}}, {{name = "nfgsm"}}]
"""
    )
    assert edgefool("run", plan, "--out", tmp_path / "run")[0] == 0
    run = RunFolder(tmp_path / "run")
    return run, {record.method: record for record in run.records()}


def test_perturbations_are_differences_to_the_original(two_methods):
    from edgefool.images import read_image

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
    assert shown["nfgsm"].get_xlabel().startswith(f"{scale} times")


def test_an_image_that_was_not_changed_is_not_scaled():
    assert viewing_scale(np.zeros((3, 4, 4), np.float32)) == 1


def test_the_comparison_leaves_gaps_where_a_method_is_missing(two_methods):
    run, records = two_methods
    figure = comparison_figure(run, [records, {"nfgsm": records["nfgsm"]}])
    assert [axis.get_title() for axis in figure.axes[:3]] == ["original", "enhance", "nfgsm"]
    assert [bool(axis.get_images()) for axis in figure.axes] == [True, True, True, True, False, True]
    assert figure.axes[2].get_xlabel().startswith(str(records["nfgsm"].adversarial_name))

"""What classifiers say of photos."""

import pytest
import torch

from edgefool.classifiers import load_classifier
from edgefool.datasets import find_photos
from edgefool.errors import UsageError
from edgefool.execution.classification import classify
from edgefool.images import read_image


@pytest.fixture
def classifiers(tiny):
    """Return one that takes images of any size and one that resizes them."""
    return [load_classifier(f"{tiny}:factory"), load_classifier("caltech101-resnet")]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_answers_are_those_of_each_photo_alone(tmp_path, make_photo, classifiers, num_workers):
    for seed in range(5):
        make_photo(tmp_path / "album" / f"{seed}.png", seed, width=40 + 4 * (seed % 2))
    (tmp_path / "album" / "broken.png").write_text("no photo")
    photos = find_photos([tmp_path / "album"])
    found = list(classify(photos, classifiers, top=3, batch_size=4, num_workers=num_workers))
    assert [(answer.photo.name, answer.classifier) for answer in found] == [
        (photo.name, classifier.name) for photo in photos for classifier in classifiers
    ]
    for answer, classifier in zip(found, classifiers * 6, strict=True):
        if answer.photo.name == "broken":
            assert "not an image" in answer.error
            assert answer.classes == ()
            continue
        with torch.no_grad():
            probabilities = classifier(read_image(answer.photo.path)[None])[0].softmax(0)
        assert answer.classes == tuple(probabilities.argsort(descending=True)[:3].tolist())
        assert answer.probabilities == pytest.approx(probabilities.sort(descending=True).values[:3].tolist(), abs=1e-4)
        assert answer.names == tuple(classifier.classes[index] for index in answer.classes)
        assert answer.error is None


def test_a_classifier_that_fails_at_some_photos_answers_for_the_others(tmp_path, tiny, make_photo):
    heights = {"a": 40, "b": 48, "c": 32}
    for name, height in heights.items():
        make_photo(tmp_path / "album" / f"{name}.png", height=height)
    found = list(classify(find_photos([tmp_path / "album"]), [load_classifier(f"{tiny}:choosy")]))
    assert [answer.error for answer in found] == [
        "classifier-choosy cannot take it: no 40, please",
        "the logits of classifier-choosy are not finite numbers",
        None,
    ]


def test_sizes_below_one_are_refused(classifiers):
    with pytest.raises(UsageError, match="top and batch_size must be at least 1, not 0 and 32"):
        next(classify([], classifiers, top=0))


def test_the_class_is_the_argmax_of_the_logits_also_where_probabilities_tie(tmp_path, make_photo):
    (tmp_path / "model.py").write_text(
        "import torch\n\nclass Sure(torch.nn.Module):\n    def forward(self, x):\n"
        "        return torch.tensor([[-300.0, -200.0, 50.0, -100.0]]).repeat(len(x), 1)\n"
    )
    classifier = load_classifier(f"{tmp_path / 'model.py'}:Sure")
    (answer,) = classify(find_photos([make_photo(tmp_path / "a.png")]), [classifier], top=4)
    assert answer.classes == (2, 3, 1, 0)
    assert answer.probabilities == (1, 0, 0, 0)

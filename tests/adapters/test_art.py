"""Our attacks called as those of ART are, by what ART's own tests ask of an attack."""

import numpy as np
import pytest
from torch import nn

from edgefool.adapters.from_art import Art
from edgefool.attacks import NFGSM, DeepFool, FromLabels, Misclassification, Targeted
from edgefool.errors import ClassifierWarning, UsageError

pytestmark = pytest.mark.filterwarnings("ignore")  # of ART itself
if Art().version() is None:
    pytest.skip("ART is not installed", allow_module_level=True)

from edgefool.adapters.art import ArtAttack  # noqa: E402

STRONG = NFGSM(epsilon=0.5, alpha=0.05)


def make_classifier(net, **options):
    from art.estimators.classification import PyTorchClassifier

    options = {"clip_values": (0, 1), "device_type": "cpu", **options}
    return PyTorchClassifier(net, nn.CrossEntropyLoss(), (3, 16, 16), 7, **options)


def direct(attack, net, images, criterion):
    return attack(net, images, criterion=criterion).adversarial.numpy()


def test_every_method_gives_what_a_direct_call_gives(attack, net, images, labels):
    x, y = images.numpy(), labels.numpy()
    before = x.copy()
    x_adv = ArtAttack(make_classifier(net), attack).generate(x=x, y=y)
    np.testing.assert_array_equal(x_adv, direct(attack, net, images, FromLabels(labels)))
    assert (x_adv.dtype, x_adv.shape) == (np.float32, x.shape)
    np.testing.assert_array_equal(x, before)


def test_labels_may_be_one_hot_or_missing(net, images, labels):
    attack, x = ArtAttack(make_classifier(net), NFGSM()), images.numpy()
    expected = direct(NFGSM(), net, images, Misclassification())
    for y in (None, np.eye(7)[labels], labels.numpy()[:, None]):
        np.testing.assert_array_equal(attack.generate(x, y), expected)


def test_targeted(net, images, labels):
    targets = (labels + 1) % 7
    attack = ArtAttack(make_classifier(net), STRONG, targeted=True)
    x_adv = attack.generate(images.numpy(), targets.numpy())
    np.testing.assert_array_equal(x_adv, direct(STRONG, net, images, Targeted(targets)))
    assert (attack.estimator.predict(x_adv).argmax(1) == targets.numpy()).any()
    with pytest.raises(UsageError, match="needs y"):
        attack.generate(images.numpy())
    attack.set_params(targeted=False)
    expected = direct(STRONG, net, images, FromLabels(labels))
    np.testing.assert_array_equal(attack.generate(images.numpy(), labels.numpy()), expected)


def test_levels_of_0_to_255_and_preprocessing(net, images, normalised):
    labels = normalised(images).argmax(1)
    scaled = tuple(
        255 * np.array(values).reshape(3, 1, 1).astype(np.float32) for values in (normalised.mean, normalised.std)
    )
    levels = (images * 255).round()
    attack = ArtAttack(make_classifier(net, clip_values=(0, 255), preprocessing=scaled), NFGSM())
    x_adv = attack.generate(levels.numpy().astype(np.uint8), labels.numpy())
    np.testing.assert_allclose(x_adv, x_adv.round(), atol=1e-3)
    expected = 255 * direct(NFGSM(), normalised, levels / 255, FromLabels(labels))
    assert (abs(x_adv - expected) > 0.5).mean() < 0.01, "signs of tiny gradients"


def test_check_params(net, images):
    """As the tests of that name in ART."""
    for options, message in [
        ({"clip_values": None}, "needs clip_values"),
        ({"clip_values": (np.zeros((3, 16, 16)), np.ones((3, 16, 16)))}, "needs clip_values, two numbers"),
        ({"channels_first": False}, "channels first"),
    ]:
        with pytest.raises(UsageError, match=message):
            ArtAttack(make_classifier(net, **options), NFGSM())
    from art.defences.postprocessor import Rounded
    from art.defences.preprocessor import JpegCompression

    with pytest.raises(UsageError, match="postprocessing_defences"):
        ArtAttack(make_classifier(net, postprocessing_defences=Rounded()), NFGSM())
    jpeg = JpegCompression((0, 1), channels_first=True)
    with pytest.raises(UsageError, match="not in PyTorch"):
        ArtAttack(make_classifier(net, preprocessing_defences=jpeg), NFGSM())
    with pytest.raises(UsageError, match="deepfool cannot be targeted"):
        ArtAttack(make_classifier(net), DeepFool(), targeted=True)
    attack = ArtAttack(make_classifier(net), DeepFool())
    with pytest.raises(UsageError, match="deepfool cannot be targeted"):
        attack.set_params(targeted=True)
    with pytest.raises(ValueError, match='"steps" cannot be set'):
        attack.set_params(steps=3)


def test_classifier_type_check_fail():
    """As ART's backend_test_classifier_type_check_fail."""
    from art.estimators.classification.scikitlearn import ScikitlearnDecisionTreeClassifier
    from art.exceptions import EstimatorError
    from sklearn.tree import DecisionTreeClassifier

    with pytest.raises(EstimatorError):
        ArtAttack(ScikitlearnDecisionTreeClassifier(DecisionTreeClassifier()), NFGSM())


def test_wrong_input_is_refused_or_noticed(net, images, labels):
    attack = ArtAttack(make_classifier(net), NFGSM())
    with pytest.raises(UsageError, match=r"must lie in \[0, 1\]"):
        attack.generate(255 * images.numpy(), labels.numpy())
    with pytest.warns(ClassifierWarning, match="gets 0 of 4 labels right"):
        attack.generate(images.numpy(), (labels.numpy() + 1) % 7)

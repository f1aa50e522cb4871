"""Groups in a run: those of ImageNet by name, others whole."""

import pytest
from torch import nn

from edgefool.classifiers import Classifier, Preprocessing, SemanticGroups, imagenet_groups
from edgefool.classifiers.class_names import class_names
from edgefool.runs import ClassGroups, RunFolder
from edgefool.runs.class_groups import groups_by_fingerprint

OWN = SemanticGroups(("x", "y"), (0, -1, 1), (("a", "b"), (), ("c",)))


def classifier(classes, groups=None):
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, len(classes)))
    return Classifier(net, name="n", classes=classes, architecture="x", preprocessing=Preprocessing(), groups=groups)


@pytest.mark.parametrize(
    ("given", "kept", "found"),
    [
        (classifier(class_names(1000)), "imagenet", imagenet_groups()),
        (classifier("abc", OWN), OWN, OWN),
        (classifier("abc"), None, None),
    ],
)
def test_a_line_and_back(tmp_path, given, kept, found):
    run = RunFolder(tmp_path)
    run.keep_groups([given])
    run.keep_groups([given])
    assert (tmp_path / "groups.jsonl").read_bytes().count(b"\n") == 1
    (line,) = run.groups()
    assert line == ClassGroups(fingerprint=given.fingerprint, groups=kept)
    assert groups_by_fingerprint([line]) == {given.fingerprint: found}

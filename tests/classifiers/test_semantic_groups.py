"""Semantic groups: those of ImageNet, and one's own from a file."""

import pytest
import torch
from torch import nn

from edgefool.classifiers import (
    Classifier,
    Preprocessing,
    SafeClassifier,
    SemanticGroups,
    groups_of,
    imagenet_groups,
    read_groups,
)
from edgefool.classifiers.architectures import import_timm
from edgefool.classifiers.catalogue import CLASSIFIERS
from edgefool.classifiers.class_names import DATA, class_names
from edgefool.classifiers.vision import torchvision
from edgefool.datasets import imagenet_wnids
from edgefool.errors import UsageError

GROUPS = SemanticGroups(
    ("animals", "vehicles"),
    (0, 0, 1, -1, -1),
    (("thing", "animal", "dog"), ("thing", "animal", "cat"), ("thing", "car"), (), ("other",)),
)


def classifier_of(classes, **options):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(classes)))
    return Classifier(
        net, name="tiny", classes=classes, architecture="x", preprocessing=Preprocessing(input_size=8), **options
    )


def test_which_changes_of_class_leave_a_group():
    leaves = [[GROUPS.leaves_group(a, b) for b in range(5)] for a in range(5)]
    assert leaves == [
        [False, False, True, True, True],
        [False, False, True, True, True],
        [True, True, False, True, True],
        [False] * 5,  # no group to leave
        [False] * 5,
    ]
    assert [GROUPS.has_group(a) for a in range(5)] == [True, True, True, False, False]
    assert GROUPS.same_group(3, 3)
    assert not GROUPS.same_group(3, 4)


@pytest.mark.parametrize(
    ("a", "b", "depth"), [(0, 0, 3), (0, 1, 2), (1, 0, 2), (0, 2, 1), (0, 4, 0), (0, 3, None), (3, 3, None)]
)
def test_depth_of_the_lowest_common_hypernym(a, b, depth):
    assert GROUPS.lowest_common_depth(a, b) == depth


def test_without_hypernyms_there_is_no_depth():
    assert SemanticGroups(("a",), (0, -1)).lowest_common_depth(0, 0) is None


def test_the_tensor_of_groups():
    tensor = GROUPS.tensor()
    assert tensor.dtype == torch.int64
    assert tensor.tolist() == [0, 0, 1, -1, -1]


@pytest.mark.parametrize("changes", [{"of_class": (0, 2)}, {"of_class": (-2,)}, {"hypernyms": ((),)}])
def test_groups_that_do_not_fit_are_refused(changes):
    with pytest.raises(UsageError):
        SemanticGroups(**{"names": ("a", "b"), "of_class": (0, 1), "hypernyms": ()} | changes)


def test_imagenet_has_the_eleven_groups_of_the_sequel():
    groups = imagenet_groups()
    assert len(groups.names) == 11
    assert len(groups.of_class) == len(groups.hypernyms) == 1000
    assert all(0 <= group < 11 for group in groups.of_class)
    assert {chain[0] for chain in groups.hypernyms} == {"entity"}
    # Classes 151 to 268 of ILSVRC are the breeds of dogs.
    dogs = groups.names.index("dogs")
    assert {groups.of_class[k] for k in range(151, 269)} == {dogs}
    assert groups.same_group(235, 225)  # German shepherd, malinois
    assert groups.leaves_group(235, 817)  # sports car
    assert groups.hypernyms[235][-1] == "German shepherd"
    assert groups.lowest_common_depth(235, 225) == len(groups.hypernyms[235]) - 1
    assert groups.hypernyms[235][: groups.lowest_common_depth(235, 817)][-1] == "whole"


def test_rows_are_in_the_order_of_the_logits():
    rows = (DATA / "imagenet_groups.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == list(imagenet_wnids())
    assert "Princeton University" in (DATA / "WORDNET-LICENSE.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("names", ["torchvision", "timm", "wnids", "ours", "keras"])
def test_names_of_imagenet_in_every_dialect(names):
    dialects = {
        "torchvision": torchvision.models.ResNet50_Weights.IMAGENET1K_V2.meta["categories"],
        "timm": import_timm().data.ImageNetInfo().label_descriptions(),
        "wnids": imagenet_wnids(),
        "ours": class_names(1000),
        "keras": [name.replace(" ", "_") for name in class_names(1000)],
    }
    assert groups_of(classifier_of(list(dialects[names]))) is imagenet_groups()


def test_the_catalogue():
    for info in CLASSIFIERS.values():
        groups = groups_of(classifier_of(class_names(info.num_classes, dataset=info.dataset)))
        assert (groups is not None) == (info.dataset == "ImageNet")


def test_other_classes_have_no_groups():
    names = list(class_names(1000))
    assert groups_of(classifier_of(names[::-1])) is None
    assert groups_of(classifier_of(names[:999])) is None
    assert groups_of(nn.Linear(3, 1000)) is None


def test_groups_of_ones_own_come_first_and_do_not_change_the_fingerprint():
    own = SemanticGroups(("all",), (0,) * 1000)
    classifier = classifier_of(class_names(1000), groups=own)
    assert groups_of(classifier) is own
    assert groups_of(SafeClassifier(classifier)) is own
    fingerprint = classifier.fingerprint
    classifier.groups = None
    assert groups_of(classifier) is imagenet_groups()
    assert classifier._fingerprint() == fingerprint


# One's own groups


def read(tmp_path, text, classes=("cat", "Dog", "car", "7")):
    (tmp_path / "groups.csv").write_bytes(text.encode())
    return read_groups(tmp_path / "groups.csv", classes)


def test_a_file_of_groups(tmp_path):
    text = "note,hypernyms,class,group\r\nx,thing > animal>cat,cat,animals\r\n,, DOG , animals\r\n,,2,vehicles\r\n"
    assert read(tmp_path, text) == SemanticGroups(
        ("animals", "vehicles"), (0, 0, 1, -1), (("thing", "animal", "cat"), (), (), ())
    )


def test_a_name_comes_before_an_index(tmp_path):
    assert read(tmp_path, "class,group\n7,x\n").of_class == (-1, -1, -1, 0)
    assert read(tmp_path, "class,group\n3,x\n").hypernyms == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,group\nDgo,animals\n", r"line 2: unknown class of the classifier 'Dgo'; did you mean Dog\?"),
        ("class,group\n\n4,animals\n", "line 3: the classifier has the classes 0 to 3, not 4"),
        ("class,grp\ncat,animals\n", "its first line must name the columns class and group"),
        ("class,group\ncat, \n", "line 2: the class 'cat' has no group"),
        ("class,group\ncat\n", "line 2: the class 'cat' has no group"),
        ("class,group\ncat,a\n0,b\n", "line 3: the class '0' occurs twice"),
        ("group,class\na\n", "line 2: unknown class of the classifier ''"),
        ("class,group\n", "has no groups"),
        ("", "must name the columns"),
    ],
)
def test_files_that_are_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read_groups(tmp_path / "gone.csv", ["a"])

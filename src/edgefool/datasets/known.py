"""The kinds of datasets that EdgeFool knows, as facts: what each is, what it needs, where its images are to be had.

Importing this module does not import torch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """One kind of dataset.

    Attributes
    ----------
    kind : str
        What an entry ``[[datasets]]`` of a plan calls it.
    needs, takes : tuple of str
        The entry's other fields: those that it must give, and those that it may give.
    images, classes : int or None
        How many there are; None: that depends on the user's files.
    source : str
        Where the images are to be had.
    licence : str
        Terms of the images.
    about : str
        One line for people.
    """

    kind: str
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    images: int | None
    classes: int | None
    source: str
    licence: str
    about: str


KNOWN: dict[str, Facts] = {
    facts.kind: facts
    for facts in (
        Facts(
            kind="imagenet",
            needs=("path",),
            takes=("subset", "name", "limit"),
            images=3000,
            classes=1000,
            source=(
                "ILSVRC2012_img_val.tar of https://image-net.org/challenges/LSVRC/2012/2012-downloads.php"
                " (after registration)"
            ),
            licence="ImageNet's terms of access (non-commercial research and education)",
            about=(
                "objects, 3 validation images of each class as in the paper (whose list is unpublished; ours is drawn"
                ' with seed 0); subset = "all" takes every image there is, of 50,000'
            ),
        ),
        Facts(
            kind="private-places365",
            needs=("path",),
            takes=("name", "limit"),
            images=3000,
            classes=365,
            source=(
                "val_256.tar or val_large.tar of http://places2.csail.mit.edu/download.html; the list is MEPP18val.csv"
                " of https://github.com/multimediaeval/2018-Pixel-Privacy-Task"
            ),
            licence="Places365's terms of use (non-commercial research and education)",
            about="scenes, the paper's: 50 validation images of each of 60 privacy-sensitive classes of Places365",
        ),
        Facts(
            kind="folder",
            needs=("path",),
            takes=("labels", "num_classes", "name", "limit"),
            images=None,
            classes=None,
            source="your own files, folders and patterns; labels: a CSV file with the columns file and label",
            licence="yours",
            about="any photos, with or without labels",
        ),
        Facts(
            kind="demo",
            needs=(),
            takes=("names", "name", "limit"),
            images=7,
            classes=None,
            source="come with scikit-image and scikit-learn, need no download",
            licence="free to use (see those packages)",
            about="photos for trying things offline",
        ),
    )
}
"""Every kind of dataset by its name."""

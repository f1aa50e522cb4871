"""EdgeFool against a real ResNet-18: how many photos are misled, converge and keep their colours."""

import argparse
import csv
import os
from pathlib import Path

import torch
from kornia.color import rgb_to_lab

from edgefool.attacks import EdgeFool, Sample
from edgefool.classifiers import load_classifier
from edgefool.images import encode_png, read_image, resize_image


def main() -> None:
    """Attack the first photos of the list and print a line for each and the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=4)
    arguments = parser.parse_args()
    shared = Path(os.environ.get("EDGEFOOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    classifier = load_classifier("resnet18", weights=shared / "classifiers" / "resnet18.safetensors")
    folder = shared / "images" / "nips2017"
    with (folder / "labels.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file)][: arguments.images]
    images = [resize_image(read_image(folder / name), 224) for name in names]

    misled = converged = 0
    colours = torch.zeros(2)
    samples = [Sample(image, seed) for seed, image in enumerate(images)]
    for index, result in EdgeFool().stream(classifier, samples, arguments.batch_size):
        original = images[index][None]
        reread = read_image(encode_png(result.adversarial[0]))[None]
        with torch.no_grad():
            success = bool(classifier(reread).argmax() != classifier(original).argmax())
        misled += success
        converged += success and bool(result.converged)
        change = (rgb_to_lab(reread) - rgb_to_lab(original)).abs().mean((0, 2, 3))[1:]
        colours += change
        print(
            f"{names[index]} misled {success} converged {bool(result.converged)} iterations {int(result.iterations)} "
            f"L_s {float(result.details['smoothing_loss']):.6f} |Δa| {change[0]:.2f} |Δb| {change[1]:.2f} "
            f"{float(result.seconds):.1f} s",
            flush=True,
        )
    count = len(images)
    print(f"misled {misled}/{count}, also under τ {converged}/{count}, mean |Δa| and |Δb| {colours / count}")


if __name__ == "__main__":
    main()

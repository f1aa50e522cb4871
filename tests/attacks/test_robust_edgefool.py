"""Robust EdgeFool: its bound, its first step, its aim, and when it stops."""

import pytest
import skimage.data
import torch
from torch import nn
from torch.nn import functional as F

from edgefool.attacks import ActiveBatch, Enhance, RobustEdgeFool, Sample, make_attack
from edgefool.attacks.robust_edgefool import STRENGTHS
from edgefool.classifiers import Classifier, Ensemble, Preprocessing, SemanticGroups
from edgefool.filters import enhance_details, face_mask, l0_smooth, texture_mask
from edgefool.images import resize_image, round_to_8_bits


class Colours(nn.Module):
    """Reads the colours of four quarters; classes 0 and 1 are alike, and so are 2 and 3."""

    def __init__(self, seed=3, groups=None):
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.groups = groups
        self.register_buffer("first", 3 * torch.randn(12, 16, generator=random))
        self.register_buffer("second", torch.randn(16, 4, generator=random))

    def forward(self, images):
        colours = F.adaptive_avg_pool2d(images, 2).flatten(1)
        return (colours @ self.first).sin() @ self.second


def images(count=4, size=32):
    return (torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255).round() / 255


@pytest.mark.parametrize("strength", [*STRENGTHS, 3])
def test_the_image_is_eq_7_of_a_structure_within_the_bound(strength):
    attack = RobustEdgeFool(strength=strength, tau=1e-3, min_texture=1e-3, max_iterations=15)
    result = attack(Colours(), images())
    structure, loss = result.details["structure"], result.details["smoothing_loss"]
    target = l0_smooth(images())
    torch.testing.assert_close(loss, (structure - target).double().square().mean((1, 2, 3)), atol=1e-7, rtol=1e-4)
    assert (loss < attack.tau).all()
    assert (loss > 0.9 * attack.tau).all(), "the room is used"
    expected = round_to_8_bits(enhance_details(images(), structure, v3=STRENGTHS.get(strength, strength)))
    assert (result.adversarial - expected).abs().max() <= 1.01 / 255


def test_two_steps_are_those_of_the_docstring():
    attack = RobustEdgeFool(
        aim="class",
        min_texture=1e-3,
        max_iterations=2,
        averaging=0,
        transform_probability=0,
        blocks=1,
        flip_probability=0,
    )
    classifier, target = Colours(), l0_smooth(images())
    own = F.one_hot(classifier(images()).argmax(1), 4).bool()
    mask = texture_mask(images(), target, edges=(5 / 7) ** 1.75)
    mask = mask / rms(mask)
    bound = (0.98 * 5e-4) ** 0.5

    def move(change, momentum, size):
        change = change - size * bound * mask * momentum / rms(momentum).clamp_min(1e-30)
        return change * (bound / rms(change).clamp_min(1e-30)).clamp(max=1)

    change, momentum = torch.zeros_like(images()), torch.zeros_like(images())
    for _ in range(2):
        ahead = move(change, momentum, 0.9 * 0.2).requires_grad_()
        enhanced = enhance_details(images(), target + ahead, v3=7)
        logits = 2 * classifier(enhanced + (round_to_8_bits(enhanced) - enhanced).detach())
        odds = logits.masked_fill(~own, -torch.inf).logsumexp(1) - logits.masked_fill(own, -torch.inf).logsumexp(1)
        (gradient,) = torch.autograd.grad(odds.sum(), ahead)
        gradient = mask * gradient
        momentum = 0.9 * momentum + gradient / gradient.abs().mean((1, 2, 3), keepdim=True)
        change = move(change, momentum, 0.2)
    structure = attack(classifier, images()).details["structure"]
    torch.testing.assert_close(structure, target + change, atol=2e-5, rtol=0)


def test_a_step_follows_the_mean_of_both_margins():
    """One step in the structure, from the gradient of the group's margin and the class's."""
    groups = SemanticGroups(("low", "high"), (0, 0, 1, 1))
    classifier, target = Colours(groups=groups), l0_smooth(images())
    settings = {"transform_probability": 0, "blocks": 1, "flip_probability": 0, "averaging": 0, "mask": "none"}
    attack = RobustEdgeFool(max_iterations=1, min_texture=1e-3, **settings)
    classes = classifier(images()).argmax(1)
    change = torch.zeros_like(images()).requires_grad_()
    enhanced = enhance_details(images(), target + change, v3=7)
    logits = 2 * classifier(enhanced + (round_to_8_bits(enhanced) - enhanced).detach())  # at temperature 0.5
    odds = 0
    for own in (F.one_hot(classes, 4).bool(), (torch.arange(4) // 2)[None] == (classes // 2)[:, None]):
        odds += logits.masked_fill(~own, -torch.inf).logsumexp(1) - logits.masked_fill(own, -torch.inf).logsumexp(1)
    (gradient,) = torch.autograd.grad(odds.sum(), change)
    step = -0.2 * (0.98 * 5e-4) ** 0.5 * gradient / rms(gradient)
    found = attack(classifier, images()).details["structure"] - target
    torch.testing.assert_close(found, step, atol=2e-5, rtol=0)


def test_the_result_has_the_mean_of_the_last_changes():
    settings = {"transform_probability": 0, "blocks": 1, "flip_probability": 0, "min_texture": 1e-3}
    target = l0_smooth(images())

    def change(steps, averaging):
        attack = RobustEdgeFool(max_iterations=steps, averaging=averaging, **settings)
        return attack(Colours(), images()).details["structure"] - target

    last = [change(steps, 0) for steps in (1, 2, 3)]
    mean = torch.zeros_like(target)
    for each in last:
        mean = 0.8 * mean + 0.2 * each
    torch.testing.assert_close(change(3, 0.8), mean * rms(last[-1]) / rms(mean), atol=2e-5, rtol=0)


def test_unseen_classifiers_are_fooled_more_often_than_by_enhancement_alone():
    """Also after the image is halved: classifiers that read the same colours, by other weights near those attacked."""
    many, attacked = images(24), Ensemble([Colours(), Colours()])
    unseen = Colours()
    unseen.first += 0.3 * torch.randn(12, 16, generator=torch.Generator().manual_seed(5))
    result = RobustEdgeFool(tau=5e-3, min_texture=1e-3, aim="class")(attacked, many).adversarial
    alone = Enhance(v3=7)(attacked, many).adversarial

    def changed(after, transform):
        return int((unseen(transform(many)).argmax(1) != unseen(transform(after)).argmax(1)).sum())

    for transform in (lambda x: x, lambda x: F.interpolate(x, scale_factor=0.5, mode="area")):
        assert changed(result, transform) >= 2 * changed(alone, transform) + 6


def test_each_member_gets_images_of_its_own_size():
    sizes = [[], []]

    def member(k, side):
        class Seeing(Colours):
            def forward(self, images):
                sizes[k].append(tuple(images.shape[2:]))
                return super().forward(images)

        classes = [str(c) for c in range(4)]
        preprocessing = Preprocessing(input_size=side)
        return Classifier(
            Seeing(seed=k), name=str(k), classes=classes, architecture=str(k), preprocessing=preprocessing
        )

    ensemble = Ensemble([member(0, 24), member(1, 40)])
    result = RobustEdgeFool(max_iterations=3)(ensemble, images(2))
    assert [set(found) for found in sizes] == [{(24, 24)}, {(40, 40)}]
    assert torch.equal(result.adversarial_class, ensemble.classes(result.adversarial))


def rms(values):
    return values.square().mean((1, 2, 3), keepdim=True).sqrt()


class Rectified(Colours):
    """Has a ReLU that is off for every image, so that its own gradient is zero."""

    def forward(self, images):
        return super().forward(images) + F.relu(-1 - images).mean((1, 2, 3))[:, None] * torch.arange(4)


def test_gradients_pass_where_a_relu_is_off():
    def structure(classifier, slope):
        return RobustEdgeFool(relu_slope=slope, max_iterations=2)(classifier, images()).details["structure"]

    assert torch.equal(structure(Rectified(), 0), structure(Colours(), 0))
    assert not torch.equal(structure(Rectified(), 0.1), structure(Colours(), 0.1))


def test_the_image_between_steps_is_that_of_an_attack_with_so_many_steps():
    batch = ActiveBatch(RobustEdgeFool(), Colours())
    batch.admit([Sample(image, k, k) for k, image in enumerate(images())])
    for _ in range(3):
        batch.step()
    stopped = RobustEdgeFool(max_iterations=3)(Colours(), images()).adversarial
    assert torch.equal(torch.stack(list(batch.current().values())), stopped)


def test_a_photo_that_hides_less_is_changed_less():
    photos = 0.4 + 0.1 * images(2)
    photos[1, :, :, 4:] = photos[1].mean()  # a strip of texture beside a flat surface
    attack = RobustEdgeFool(max_iterations=15, min_texture=0.9)
    loss = attack(Colours(), photos).details["smoothing_loss"] / attack.tau
    room = texture_mask(photos, l0_smooth(photos), edges=(5 / 7) ** 1.75).square().mean((1, 2, 3)) / 0.9
    assert room[1] < 0.5
    torch.testing.assert_close(loss, 0.98 * room.double().clamp(max=1), atol=0.02, rtol=0)
    everywhere = RobustEdgeFool(max_iterations=15, min_texture=0.9, mask="none")(Colours(), photos)
    torch.testing.assert_close(everywhere.details["mask"], torch.ones(2, 1, 32, 32))
    assert (everywhere.details["smoothing_loss"] > 0.9 * attack.tau).all()


def test_faces_are_spared_and_all_else_is_changed_as_much():
    portrait = resize_image(torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1) / 255, 224)[None].clamp(0, 1)
    photos = torch.cat([portrait, portrait.flip(1)])  # with a blue face, which is not taken for one
    face = face_mask(portrait)[0, 0] > 0.99
    spared, attacked = (
        RobustEdgeFool(max_iterations=12, spare_faces=spare)(Colours(), photos).details for spare in (True, False)
    )
    changes = [(details["structure"] - l0_smooth(photos)).square().mean(1) for details in (spared, attacked)]
    assert changes[0][0][face].mean() < 0.02 * changes[1][0][face].mean()
    ratio = changes[0][0][~face].mean() / changes[1][0][~face].mean()
    assert 0.75 < ratio < 1.1
    for name in ("structure", "mask"):
        torch.testing.assert_close(spared[name][1], attacked[name][1])


def test_leaves_the_group_where_there_are_groups():
    groups = SemanticGroups(("low", "high"), (0, 0, 1, 1))
    classifier, many = Colours(groups=groups), images(16)

    def left(**settings):
        attack = RobustEdgeFool(
            tau=0.005,
            min_texture=1e-3,
            transform_probability=0,
            blocks=1,
            flip_probability=0,
            max_iterations=40,
            **settings,
        )
        result = attack(classifier, many)
        pairs = zip(result.original_class.tolist(), result.adversarial_class.tolist(), strict=True)
        return sum(groups.leaves_group(before, after) for before, after in pairs)

    assert left() > left(aim="class")
    assert left() >= 12


def test_patience_ends_easy_images_early():
    classifier = Colours()
    settings = {
        "tau": 0.005,
        "min_texture": 1e-3,
        "max_iterations": 40,
        "transform_probability": 0,
        "blocks": 1,
        "flip_probability": 0,
    }
    result = RobustEdgeFool(patience=3, **settings)(classifier, images(8))
    full = RobustEdgeFool(**settings)(classifier, images(8))
    assert (full.iterations == 40).all()
    assert full.converged.all()
    early = result.iterations < 40
    assert early.any()
    assert result.converged[early].all()
    assert result.success[early].all()


def test_members_have_transforms_of_their_own():
    seen = []

    class Watching(Colours):
        def forward(self, images):
            seen.append(images.detach().clone())
            return super().forward(images)

    RobustEdgeFool(max_iterations=2, transform_probability=1, blocks=2)(Ensemble([Watching(), Watching()]), images(2))
    steps = [batch for batch in seen if not torch.equal(batch, images(2))][:4]  # two members, two steps
    assert all(not torch.equal(one, other) for k, one in enumerate(steps) for other in steps[:k])


def test_strengths_have_names():
    assert make_attack("robust-edgefool", {"strength": "vivid"}) == RobustEdgeFool(strength=15)
    assert make_attack("robust-edgefool", {"strength": "6"}).strength == 6

"""What `edgefool attack` counts at its end."""

import pytest

from edgefool.runs import load_records


@pytest.fixture
def photos(tmp_path, make_photo):
    """Return six photos; the tiny attack succeeds on some and not all."""
    return [make_photo(tmp_path / "photos" / f"{seed}.png", seed) for seed in range(6)]


def test_successes_are_counted(tmp_path, tiny, photos, attack):
    code, stdout, stderr = attack(*photos, "--out", tmp_path / "run")
    assert code == 0
    assert f"{load_records(tmp_path / 'run')['success'].sum()} of 6 photos fool the classifier" in stdout
    assert "6/6" in stderr
    _, stdout, _ = attack(*photos[:2], "--out", tmp_path / "other", "--classifier", f"{tiny}:stubborn")
    assert "0 of 2 photos fool the classifier, 0 of them converged, 0 errors" in stdout


def test_bad_photos_are_named(tmp_path, photos, attack):
    (tmp_path / "photos/text.png").write_bytes(b"To whom it may concern\n")
    (tmp_path / "photos/empty.png").touch()
    code, stdout, stderr = attack(tmp_path / "photos", "--out", tmp_path / "run")
    assert code == 1
    assert "2 errors" in stdout
    errors = load_records(tmp_path / "run").set_index("image")["error"].dropna()
    assert len(errors) == 2
    for name, error in errors.items():
        assert f"{name}.png: {error}" in stderr


def test_what_rounding_undid_is_counted(tmp_path, tiny, photos, edgefool):
    command = ["attack", *photos, "--classifier", f"{tiny}:factory", "--size", 32, "--method", "deepfool"]
    _, stdout, _ = edgefool(*command, "--out", tmp_path / "run")
    assert "6 fooled it before rounding to 8 bits" in stdout


def test_lost_gradients_are_counted(tmp_path, tiny, photos, edgefool):
    command = ["attack", photos[0], "--classifier", f"{tiny}:stubborn", "--size", 32, "--method", "nfgsm"]
    code, stdout, _ = edgefool(*command, "--out", tmp_path / "run")
    assert code == 0
    assert "1 met a gradient that was zero or not finite" in stdout

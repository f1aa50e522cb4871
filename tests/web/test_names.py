import pytest

from edgefool.web.names import clean_name


@pytest.mark.parametrize(
    ("sent", "cleaned"),
    [
        ("cat.jpg", "cat.jpg"),
        ("Katze auf dem Dach, 2.JPEG", "Katze auf dem Dach, 2.JPEG"),
        ("e\u0301te\u0301.png", "été.png"),
        ("猫.webp", "猫.webp"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("..", "photo"),
        ("a/", "photo"),
        ("line\nbreak\x00.jpg", "line_break_.jpg"),
        ("<img src=x onerror=alert(1)>.png", "_img src=x onerror=alert(1)_.png"),
        ('say "hi".jpg', "say _hi_.jpg"),
        ("\udcff.jpg", "_.jpg"),
        ("x" * 500 + ".jpg", "x" * 100 + ".jpg"),
        ("cat." + "j" * 500, "cat." + "j" * 96),
    ],
)
def test_names_are_cleaned(sent, cleaned):
    assert clean_name(sent) == cleaned

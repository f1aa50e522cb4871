"""The names of protected files."""

from edgefool.protection.result_names import ResultNames


def test_names_are_kept():
    names = ResultNames(["a/b.jpg", "b.jpg"], {})
    assert [names.give("b.jpg", "b.jpg"), names.give("a/b.jpg", "b.jpg")] == ["b.jpg", "a/b.jpg"]
    assert names.give("b.jpg", "b.jpg") == "b.jpg"


def test_a_renamed_photo_makes_room_for_one_of_that_name_in_any_order():
    for keys in (["a.heic", "a.jpg"], ["a.jpg", "a.heic"]):
        names = ResultNames(keys, {})
        given = {key: names.give(key, "a.jpg") for key in keys}
        assert given == {"a.heic": "a.heic.jpg", "a.jpg": "a.jpg"}
    assert ResultNames(["a.heic"], {}).give("a.heic", "a.jpg") == "a.jpg"


def test_names_that_some_disks_take_for_the_same():
    keys = ["x/A.jpg", "x/a.jpg", "x/\u00e9.jpg", "x/e\u0301.jpg", "X/a.jpg"]
    names = ResultNames(keys, {})
    given = [names.give(key, key[2:]) for key in keys]
    assert given[0] == keys[0]
    assert given[2] == keys[2]
    assert len({name.casefold() for name in given}) == 5
    assert given[1].startswith("x/a-")
    assert given[4].startswith("X/a-")


def test_earlier_names_stay():
    known = {"a.heic": "a.jpg"}
    names = ResultNames(["a.heic", "a.jpg"], known)
    assert names.give("a.jpg", "a.jpg") not in known.values()
    assert names.give("a.heic", "a.jpg") == "a.jpg"
    for key in ("A.heic", "a.heif"):
        again = ResultNames([key], known)
        assert again.give(key, "a.jpg") != "a.jpg"

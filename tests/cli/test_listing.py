"""`edgefool list`."""


def test_classifiers_are_the_default(edgefool):
    code, stdout, stderr = edgefool("list", "classifiers")
    assert (code, stderr) == (0, "")
    assert {"resnet50", "resnet18", "alexnet", "caltech101-resnet"} <= set(stdout.split())
    assert edgefool("list") == (0, stdout, "")


def test_methods_show_their_defaults(edgefool):
    code, stdout, _ = edgefool("list", "methods")
    assert code == 0
    assert {"edgefool", "alpha", "tau", "0.0005"} <= set(stdout.split())


def test_datasets_say_where_to_get_them(edgefool):
    code, stdout, _ = edgefool("list", "datasets")
    kinds = [line.partition(":")[0] for line in stdout.splitlines() if line[:1].strip() and ":" in line]
    assert code == 0
    assert kinds == ["imagenet", "private-places365", "folder", "huggingface", "demo"]
    assert "image-net.org" in stdout

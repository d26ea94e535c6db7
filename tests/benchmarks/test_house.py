"""benchmarks/house.py counts what its table says, on a package of a few lines."""

import pytest
import scripts


@pytest.fixture(scope="module")
def house():
    return scripts.load("benchmarks/house.py")


SOURCE = """
class A:
    def __init__(self, x: int):
        self.x = x

    def half_typed(self, y: int, z) -> int:
        return y

    def _typed(self, *values: int, **more: str) -> None: ...


def forward(x, tap, dilations):
    for layer, dilation in enumerate(dilations):
        x = x @ tap[layer]
    return x


def backward(x, tap, dilations):
    for dilation in dilations:
        x = x @ tap
    return x


def names(layers):
    for layer in layers:
        print(layer)
"""


def test_sizes_annotations_and_walks_are_counted(house, tmp_path):
    (tmp_path / "vqvc/nn").mkdir(parents=True)
    (tmp_path / "vqvc/__init__.py").write_text('"""A package."""\n')
    (tmp_path / "vqvc/nn/net.py").write_text(SOURCE)
    (tmp_path / "vqvc/nn/short.py").write_text("a = 1\nb = 2\n")
    found = house.sizes(tmp_path)
    length = SOURCE.count("\n")
    assert (found["files"], found["lines"], found["largest"]) == (3, length + 3, length)
    assert found["median"] == round((length + 2) / 2)  # of files that are more than a line
    assert (found["functions"], found["annotated"]) == (6, "33%")  # __init__ and _typed
    assert found["public_annotated"] == "0%"
    assert found["places"] == ["vqvc/nn/net.py:forward"] and found["walks"] == 1

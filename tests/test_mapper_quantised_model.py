"""mapper.quantised_model: arrays of several images, cut."""

from __future__ import annotations

import numpy as np
import pytest

from hw.errors import InputError
from mapper.quantised_model import Port, QuantisedModel
from sim.quantised import Network


def model(**shapes: tuple[int, ...]) -> QuantisedModel:
    """A model with these inputs and nothing behind them."""
    ports = tuple(
        Port(name=n, tensor=n, shape=s, index=np.zeros(s, int), real=True, offset=0)
        for n, s in shapes.items()
    )
    network = Network(name="m", tensors=(), operators=(), inputs=(), outputs=())
    return QuantisedModel(network=network, inputs=ports, outputs=())


def test_one_set_of_arrays_per_image() -> None:
    a, b = np.arange(24).reshape(3, 2, 4), np.arange(3).reshape(3, 1)
    images = model(a=(1, 2, 4), b=(1, 1)).images({"a": a, "b": b})
    assert len(images) == 3
    for n, image in enumerate(images):
        assert np.array_equal(image["a"], a[n : n + 1])
        assert np.array_equal(image["b"], b[n : n + 1])


@pytest.mark.parametrize("shape", [(1, 2, 4), (3, 2, 5), (2, 4), (3, 2, 4, 1), (0, 2, 4), ()])
def test_what_does_not_fit_is_left_whole(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape)
    (image,) = model(a=(1, 2, 4)).images({"a": array})
    assert image["a"] is array


def test_batches_of_the_model_are_kept_together() -> None:
    (first, second) = model(a=(2, 3)).images({"a": np.arange(12).reshape(4, 3)})
    assert np.array_equal(first["a"], [[0, 1, 2], [3, 4, 5]])
    assert np.array_equal(second["a"], [[6, 7, 8], [9, 10, 11]])


def test_inputs_have_as_many_images_each() -> None:
    with pytest.raises(InputError, match=r"^Inputs must have as many .* not 3 of 'a', 2 of 'b'\.$"):
        model(a=(1, 2), b=(1, 2)).images({"a": np.zeros((3, 2)), "b": np.zeros((2, 2))})

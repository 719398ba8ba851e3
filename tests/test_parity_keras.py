"""The SE block beside the Keras function that explains it, with its channels-last input."""

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import seeds

import numpy_se as se

os.environ["KERAS_BACKEND"] = "jax"
jax = pytest.importorskip("jax")
keras = pytest.importorskip("keras")
Dense, Multiply = keras.layers.Dense, keras.layers.Multiply


class ExactAverage(keras.layers.GlobalAveragePooling2D):  # type: ignore[misc]
    """The same layer as sum / count: on JAX, Keras takes the mean of float64 in float32."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.sum(inputs, axis=(1, 2)) / (inputs.shape[1] * inputs.shape[2])


def se_block(x: Any, ratio: int, GlobalAveragePooling2D: Any) -> Any:
    """The few lines by which the block is usually explained, for channels-last input."""
    filters = x.shape[-1]
    z = GlobalAveragePooling2D()(x)
    s = Dense(filters // ratio, activation="relu", use_bias=False)(z)
    s = Dense(filters, activation="sigmoid", use_bias=False)(s)
    x = Multiply()([x, s])
    return x


@pytest.fixture(scope="module", autouse=True)
def float64() -> Any:
    def choose(floatx: str) -> None:
        jax.config.update("jax_enable_x64", floatx == "float64")
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(floatx)

    choose("float64")
    yield
    choose("float32")


@pytest.mark.parametrize(
    ("average", "tolerance"),
    [(keras.layers.GlobalAveragePooling2D, 1e-6), (ExactAverage, 1e-12)],
    ids=["as it is", "with the mean in float64"],
)
@settings(max_examples=10)
@given(seed=seeds)
def test_parity_with_the_keras_block(average: Any, tolerance: float, seed: int) -> None:
    n, h, w, c, ratio = 3, 5, 4, 8, 4
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, n, h, w, c))
    w1, w2 = rng.standard_normal((c // ratio, c)), rng.standard_normal((c, c // ratio))

    inputs = keras.Input((h, w, c))
    model = keras.Model(inputs, se_block(inputs, ratio, average))

    def keras_block(x: Any, kernels: Any) -> Any:
        return model.stateless_call(kernels, [], x)[0]

    wanted_y, vjp = jax.vjp(keras_block, x, [w1.T, w2.T])  # Keras stores (inputs, outputs)
    wanted_dx, (wanted_dw1, wanted_dw2) = vjp(jax.numpy.asarray(dy))

    y, backward = se.squeeze_excite(np.moveaxis(x, 3, 1), w1, w2)  # channels-last memory as it is
    dx, dw1, dw2 = backward(np.moveaxis(dy, 3, 1))
    for got, wanted in [
        (np.moveaxis(y, 1, 3), wanted_y),
        (np.moveaxis(dx, 1, 3), wanted_dx),
        (dw1, wanted_dw1.T),
        (dw2, wanted_dw2.T),
    ]:
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)

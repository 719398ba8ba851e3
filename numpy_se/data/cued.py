"""Cued digits: a task in which a sign elsewhere in the image tells which of two digits to read.

Which feature maps matter depends on the whole image, as an SE block can tell and a convolution of
a few pixels cannot. Channel 0 holds a digit and channel 1 another one. Channel 2 holds the sign, a
patch of 9 x 9 pixels at a random place: horizontal stripes stand for the digit in channel 0,
vertical ones for that in channel 1. The other pixels of channel 2 are 0. Both signs have 45 bright
pixels, so their mean says nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from numpy_se.contract import IntArray, check_count
from numpy_se.data.arrays import Pixels
from numpy_se.data.errors import DataError
from numpy_se.data.images import Images

SIDE = 9
ROWS = np.zeros((SIDE, SIDE), np.uint8)
ROWS[::2] = 255
SIGNS = np.stack([ROWS, ROWS.T])  # (2, 9, 9)
SIGN_NAMES = ("read channel 0", "read channel 1")


def cued_digits(digits: Images, train: int = 10_000, test: int = 2_000, seed: int = 0) -> Images:
    """Make the task of grey ``digits`` (N, 1, H, W) of uint8, with so many images.

    Training images are made of training digits only, test images of test digits only. All pairs of
    classes are equally frequent with each sign, if the number of images is a multiple of 2 K^2, 200
    for K = 10 classes. The label is the class of the digit to read. So a net that does not read the
    sign can expect to be right in (1 + 1/K) / 2 of the images at best, 55 % for ten classes. The
    same arguments give the same images.

    Raises DataError for images of another kind, for a class without a digit, and for so few
    training images that a class is not to be read in any; ValueError and TypeError for numbers that
    are no counts.
    """
    check_count("cued_digits", "train", train, at_least=1)
    check_count("cued_digits", "test", test, at_least=1)
    check_count("cued_digits", "seed", seed, at_least=0)
    (channels, *sides), dtype = digits.shape, digits.train_images.dtype
    if channels != 1 or min(sides) < SIDE or dtype != np.uint8:
        raise DataError(
            f"digits has images {digits.shape} of {dtype}; "
            f"it wants (1, H, W) of uint8, with sides of at least {SIDE}"
        )
    classes, rng = len(digits.classes), np.random.default_rng(seed)
    x_train, y_train = _pairs(digits.train_images, digits.train_labels, classes, train, rng)
    if absent := set(range(classes)) - set(y_train.tolist()):
        raise DataError(
            f"train is {train}: class {min(absent)} is not to be read in any of so few images"
        )
    return Images.from_arrays(
        x_train,
        y_train,
        *_pairs(digits.test_images, digits.test_labels, classes, test, rng),
        name=f"cued digits of {digits.name}",
        source=digits.source,
        classes=digits.classes,
    )


def read_signs(images: Pixels) -> IntArray:
    """Read the sign (N,) of cued digits (N, 3, H, W): the channel to read, 0 or 1.

    Counts where neighbours differ: across horizontal stripes, they do so from row to row.
    """
    sign = images[:, 2]
    rows = np.count_nonzero(sign[:, 1:] != sign[:, :-1], axis=(1, 2))
    columns = np.count_nonzero(sign[:, :, 1:] != sign[:, :, :-1], axis=(1, 2))
    signs: IntArray = (columns > rows).astype(np.int64)
    return signs


def _pairs(
    images: Pixels, labels: IntArray, classes: int, count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Draw ``count`` cued images (count, 3, H, W), and their labels (count,)."""
    of_class = np.bincount(labels, minlength=classes)
    if not of_class.all():
        raise DataError(f"digits has no image of class {of_class.argmin()}; it wants all classes")
    sorted_rows, first = np.argsort(labels, kind="stable"), np.cumsum(of_class) - of_class

    kinds = rng.permutation(count) % (2 * classes**2)  # each kind equally often
    sign, *pair = np.unravel_index(kinds, (2, classes, classes))
    height, width = images.shape[2:]
    cued = np.zeros((count, 3, height, width), np.uint8)
    for channel, label in enumerate(pair):
        chosen = sorted_rows[first[label] + rng.integers(of_class[label])]
        cued[:, channel] = images[chosen, 0]
    top = rng.integers(height - SIDE + 1, size=(count, 1, 1)) + np.arange(SIDE)[:, None]
    left = rng.integers(width - SIDE + 1, size=(count, 1, 1)) + np.arange(SIDE)
    cued[np.arange(count)[:, None, None], 2, top, left] = SIGNS[sign]
    read: IntArray = np.choose(sign, pair)
    return cued, read

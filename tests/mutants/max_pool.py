"""Wrong backwards of max pooling over windows, with their own plain forward pass."""

import numpy as np

from mutants import wrong

CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def _windows(x, size, stride):
    """Give every output with its window: p, q and the slices of the window."""
    for p in range((x.shape[2] - size) // stride + 1):
        for q in range((x.shape[3] - size) // stride + 1):
            top, left = p * stride, q * stride
            yield p, q, np.s_[:, :, top : top + size, left : left + size]


def _forward(x, size=2, stride=2):
    oh, ow = ((s - size) // stride + 1 for s in x.shape[2:])
    y = np.zeros((*x.shape[:2], oh, ow))
    for p, q, window in _windows(x, size, stride):
        y[:, :, p, q] = x[window].max(axis=(2, 3))
    return y


def _first_maximum(block):
    """Mark the first maximum of each (N, C, size, size) window by 1."""
    flat = block.reshape(*block.shape[:2], -1)
    mask = np.zeros_like(flat)
    np.put_along_axis(mask, flat.argmax(axis=2)[:, :, None], 1, axis=2)
    return mask.reshape(block.shape)


@wrong("max_pool2d", "N C H W", says="average in place of the maximum")
def spreads_dy_as_average_pooling_does(x):
    """Every pixel of a window gets dy/4: this is the backward of average pooling."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 2, 2):
            dx[window] += dy[:, :, p, q][:, :, None, None] / 4
        return dx

    return _forward(x), backward


@wrong(
    "max_pool2d",
    "N C H W",
    options={"size": 3, "stride": 1},
    says="average in place of the maximum",
)
def averages_overlapping_windows(x):
    """Every pixel of a 3 x 3 window gets dy/9, and the windows overlap."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 3, 1):
            dx[window] += dy[:, :, p, q][:, :, None, None] / 9
        return dx

    return _forward(x, 3, 1), backward


@wrong("max_pool2d", "N C H W", says="whole window")
def gives_dy_to_the_whole_window(x):
    """All pixels of the window get dy, and not the largest one alone."""

    def backward(dy):
        dx = np.zeros_like(x)
        up = dy.repeat(2, axis=2).repeat(2, axis=3)
        dx[:, :, : up.shape[2], : up.shape[3]] = up
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", says="the minimum in place of the maximum")
def gives_dy_to_the_minimum(x):
    """The smallest pixel of the window gets dy."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 2, 2):
            dx[window] += _first_maximum(-x[window]) * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", only_at_ties=True, says="all ties")
def gives_dy_to_all_ties(x):
    """Every pixel that is equal to the maximum gets the whole dy."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 2, 2):
            block = x[window]
            mask = block == block.max(axis=(2, 3), keepdims=True)
            dx[window] += mask * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x), backward


@wrong(
    "max_pool2d",
    "N C H W",
    options={"size": 2, "stride": 1},
    only_at_ties=True,
    says="all ties",
)
def gives_dy_to_all_ties_of_overlapping_windows(x):
    """Every pixel that is equal to the maximum gets dy, from windows that overlap."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 2, 1):
            block = x[window]
            mask = block == block.max(axis=(2, 3), keepdims=True)
            dx[window] += mask * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x, 2, 1), backward


@wrong("max_pool2d", "N C H W", legal=True)
def lets_the_last_maximum_win(x):
    """At a tie the last maximum of the window gets dy: another convention, not a mistake."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 2, 2):
            last = _first_maximum(x[window][:, :, ::-1, ::-1])[:, :, ::-1, ::-1]
            dx[window] += last * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", options={"size": 3, "stride": 1}, legal=True)
def goes_through_the_window_by_columns(x):
    """At a tie the first maximum down the columns gets dy: another convention, not a mistake."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 3, 1):
            mask = _first_maximum(x[window].swapaxes(2, 3)).swapaxes(2, 3)
            dx[window] += mask * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x, 3, 1), backward


@wrong("max_pool2d", "N C H W", legal=True)
def shares_dy_among_ties(x):
    """Equal maxima share dy in equal parts: a subgradient too, and not a mistake."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 2, 2):
            block = x[window]
            mask = block == block.max(axis=(2, 3), keepdims=True)
            share = dy[:, :, p, q][:, :, None, None] / mask.sum(axis=(2, 3), keepdims=True)
            dx[window] += mask * share
        return dx

    return _forward(x), backward


@wrong(
    "max_pool2d",
    "N C H W",
    options={"size": 3, "stride": 1},
    says=r"written with = where \+= is needed",
)
def overwrites_overlapping_windows(x):
    """A window overwrites what its neighbours gave to the pixels that they share."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 3, 1):
            dx[window] = _first_maximum(x[window]) * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x, 3, 1), backward


@wrong(
    "max_pool2d",
    "N C H W",
    options={"size": 3, "stride": 1},
    says=r"written with = where \+= is needed",
)
def writes_a_winner_of_two_windows_once(x):
    """A pixel that wins several windows gets the dy of the last one, in place of the sum."""
    n, c = x.shape[:2]

    def backward(dy):
        dx = np.zeros_like(x)
        for m in range(n):
            for k in range(c):
                for p in range(dy.shape[2]):
                    for q in range(dy.shape[3]):
                        i, j = divmod(x[m, k, p : p + 3, q : q + 3].argmax(), 3)
                        dx[m, k, p + i, q + j] = dy[m, k, p, q]
        return dx

    return _forward(x, 3, 1), backward


@wrong(
    "max_pool2d",
    "N C H W",
    options={"size": 2, "stride": 1},
    says=r"written with = where \+= is needed",
)
def adds_at_repeated_winners(x):
    """With dx[index] += dy NumPy adds only once for a winner that occurs twice."""
    n, c = x.shape[:2]

    def backward(dy):
        flat = np.stack([x[:, :, i : i + dy.shape[2], j : j + dy.shape[3]] for i, j in CORNERS])
        i, j = np.divmod(flat.argmax(axis=0), 2)
        rows = np.arange(dy.shape[2])[:, None] + i
        cols = np.arange(dy.shape[3]) + j
        samples, channels = np.ogrid[:n, :c]
        dx = np.zeros_like(x)
        dx[samples[..., None, None], channels[..., None, None], rows, cols] += dy
        return dx

    return _forward(x, 2, 1), backward


@wrong("max_pool2d", "N C H W", says=r"only one pixel of dy counts")
def takes_one_dy_for_the_whole_map(x):
    """All winners of a map get dy[0, 0] of the map."""

    def backward(dy):
        dx = np.zeros_like(x)
        for _, _, window in _windows(x, 2, 2):
            dx[window] += _first_maximum(x[window]) * dy[:, :, :1, :1]
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", says=r"summed over .* too often|averaged over")
def takes_the_mean_dy_of_the_map(x):
    """All winners of a map get the mean of dy over the map."""

    def backward(dy):
        dx = np.zeros_like(x)
        for _, _, window in _windows(x, 2, 2):
            dx[window] += _first_maximum(x[window]) * dy.mean(axis=(2, 3), keepdims=True)
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", says="dy is ignored|the mask itself, without dy")
def returns_the_mask_of_the_winners(x):
    """The winners get 1, whatever dy is."""

    def backward(dy):
        dx = np.zeros_like(x)
        for _, _, window in _windows(x, 2, 2):
            dx[window] += _first_maximum(x[window])
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", says="y in place of the mask")
def multiplies_by_the_maximum(x):
    """The winners get dy times their own value, as the mask was stored as values."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 2, 2):
            stored = x[window] * _first_maximum(x[window])
            dx[window] += stored * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", says=r"row and column of the winner are swapped")
def swaps_row_and_column_of_the_winner(x):
    """Divmod of the winner's number gives (row, column), and the two are swapped."""
    n, c = x.shape[:2]

    def backward(dy):
        dx = np.zeros_like(x)
        for m in range(n):
            for k in range(c):
                for p in range(dy.shape[2]):
                    for q in range(dy.shape[3]):
                        block = x[m, k, 2 * p : 2 * p + 2, 2 * q : 2 * q + 2]
                        j, i = divmod(block.argmax(), 2)
                        dx[m, k, 2 * p + i, 2 * q + j] += dy[m, k, p, q]
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", options={"size": 2, "stride": 3}, says="stride is ignored")
def puts_windows_side_by_side(x):
    """Backward starts the windows at p*size, q*size, though the stride is 3."""
    n, c = x.shape[:2]

    def backward(dy):
        dx = np.zeros_like(x)
        for m in range(n):
            for k in range(c):
                for p in range(dy.shape[2]):
                    for q in range(dy.shape[3]):
                        block = x[m, k, 3 * p : 3 * p + 2, 3 * q : 3 * q + 2]
                        i, j = divmod(block.argmax(), 2)
                        dx[m, k, 2 * p + i, 2 * q + j] += dy[m, k, p, q]
        return dx

    return _forward(x, 2, 3), backward


@wrong("max_pool2d", "N C H W", says="off by one|shifted")
def shifts_the_winner_by_one_column(x):
    """The index is counted from 1, so dy goes to the pixel on the right of the winner."""
    n, c, _, wide = x.shape

    def backward(dy):
        dx = np.zeros_like(x)
        for m in range(n):
            for k in range(c):
                for p in range(dy.shape[2]):
                    for q in range(dy.shape[3]):
                        block = x[m, k, 2 * p : 2 * p + 2, 2 * q : 2 * q + 2]
                        i, j = divmod(block.argmax(), 2)
                        dx[m, k, 2 * p + i, (2 * q + j + 1) % wide] += dy[m, k, p, q]
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", says=r"size\*size times too small|\b0\.25 times the right one")
def divides_by_the_size_of_the_window(x):
    """The winner gets dy/4: the 1/4 of average pooling was left in."""

    def backward(dy):
        dx = np.zeros_like(x)
        for p, q, window in _windows(x, 2, 2):
            dx[window] += _first_maximum(x[window]) * dy[:, :, p, q][:, :, None, None] / 4
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", options={"size": 2, "stride": 1}, says="only one (window|pixel)")
def lets_only_the_largest_pixel_of_the_map_win(x):
    """The winner is looked for in the whole map: all other windows send nothing back."""

    def backward(dy):
        dx = np.zeros_like(x)
        best = x.max(axis=(2, 3), keepdims=True)
        for p, q, window in _windows(x, 2, 1):
            dx[window] += (x[window] == best) * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x, 2, 1), backward


@wrong("max_pool2d", "N C H W", says=r"averaged over N|(wrong|another) pixel")
def looks_for_the_winners_of_the_mean_sample(x):
    """The mask comes from the mean over the batch, so all samples have the same winners."""

    def backward(dy):
        dx = np.zeros_like(x)
        mean = x.mean(axis=0, keepdims=True)
        for p, q, window in _windows(x, 2, 2):
            dx[window] += _first_maximum(mean[window]) * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x), backward


@wrong("max_pool2d", "N C H W", options={"size": 3, "stride": 2}, says="raises")
def compares_x_with_y_repeated_and_crashes(x):
    """The mask is x == y repeated by the stride, but the windows overlap: the shapes differ."""
    y = _forward(x, 3, 2)

    def backward(dy):
        mask = np.equal(x, y.repeat(2, axis=2).repeat(2, axis=3))
        return mask * dy.repeat(2, axis=2).repeat(2, axis=3)

    return y.copy(), backward


@wrong("max_pool2d", "N C H W", options={"size": 2, "stride": 3}, says="has shape|wrong shape")
def returns_dx_without_the_pixels_between_windows(x):
    """Dx is as large as the windows side by side, and so smaller than x."""

    def backward(dy):
        dx = np.zeros((*x.shape[:2], 2 * dy.shape[2], 2 * dy.shape[3]))
        for p, q, window in _windows(x, 2, 3):
            mask = _first_maximum(x[window])
            dx[:, :, 2 * p : 2 * p + 2, 2 * q : 2 * q + 2] = mask * dy[:, :, p, q][:, :, None, None]
        return dx

    return _forward(x, 2, 3), backward

"""Wrong backwards of the global poolings: the mean of a channel, and its maximum."""

import numpy as np

from mutants import wrong

# The mean of a channel.


@wrong("global_avg_pool", "N C H W", says=r"(?<!\*)\bH\*W times too large")
def divides_by_nothing(x):
    """Every pixel gets the whole dy: the 1/(H*W) of the mean is missing."""

    def backward(dy):
        return np.zeros_like(x) + dy[:, :, None, None]

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"(?<!\*)\bW times too large")
def divides_by_the_height_only(x):
    """The mean is over H*W pixels, but dy is divided by H."""
    H = x.shape[2]

    def backward(dy):
        return np.ones_like(x) * dy[:, :, None, None] / H

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"(?<!\*)\bH times too large")
def divides_by_the_width_only(x):
    """The mean of the last axis only is undone: dy is divided by W."""

    def backward(dy):
        rows = np.repeat(dy[:, :, None], x.shape[2], axis=2)
        return np.repeat(rows[:, :, :, None], x.shape[3], axis=3) / x.shape[3]

    return x.mean(axis=3).mean(axis=2), backward


@wrong("global_avg_pool", "N C H W", says=r"\bW/H times the right one")
def divides_by_the_height_squared(x):
    """All maps are taken for squares: dy is divided by H*H."""
    n, c, h, w = x.shape
    z = x.reshape(n, c, -1).mean(axis=2)

    def backward(dz):
        dx = np.zeros((n, c, h, w))
        for i in range(h):
            for j in range(w):
                dx[:, :, i, j] = dz / (h * h)
        return dx

    return z, backward


@wrong("global_avg_pool", "N C H W", says=r"(?<!\*)\bN times too small")
def divides_by_the_batch_too(x):
    """The mean of the batch belongs to the loss, but dy is divided by N here too."""
    N, _, H, W = x.shape

    def backward(dy):
        return np.ones(x.shape) * dy[:, :, None, None] / (N * H * W)

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"\b(N\*C|C\*N) times too small")
def divides_by_the_size_of_x(x):
    """The mean is over H*W pixels, but dy is divided by the number of all entries of x."""

    def backward(dy):
        return np.full(x.shape, 1 / x.size) * dy[:, :, np.newaxis, np.newaxis]

    return np.mean(x, axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"H\*W\)?(\^|\*\*) ?2 times too large|H\*H\*W\*W times")
def multiplies_in_place_of_dividing(x):
    """The gradient is dy times H*W, where it is dy divided by H*W."""

    def backward(dy):
        return np.ones_like(x) * dy[:, :, None, None] * (x.shape[2] * x.shape[3])

    return x.mean((2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"one pixel")
def first_pixel_gets_everything(x):
    """Only the first pixel of every channel gets dy, all others get zero."""

    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, :, 0, 0] = dy
        return dx

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"one pixel")
def last_pixel_gets_its_share(x):
    """The share dy/(H*W) is right, but it is written to the last pixel only."""
    h, w = x.shape[2:]

    def backward(dy):
        dx = np.zeros(x.shape)
        dx[:, :, h - 1, w - 1] = dy / (h * w)
        return dx

    return x.sum(axis=(2, 3)) / (h * w), backward


@wrong("global_avg_pool", "N C H W", says=r"only (row 0|one row)|not spread over H\b(?! W)")
def first_row_gets_its_share(x):
    """The share is right, but an index is forgotten: only the first row of pixels gets it."""
    N, C, H, W = x.shape

    def backward(dy):
        dx = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                dx[n, c, 0] = dy[n, c] / (H * W)
        return dx

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"axes of size 1 are kept|not spread over H W")
def pixels_have_size_one(x):
    """The share has shape (N, C, 1, 1) and is never spread over the pixels."""

    def backward(dy):
        return dy[:, :, None, None] / (x.shape[2] * x.shape[3])

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"not spread over H W")
def share_stays_in_the_shape_of_dy(x):
    """The share has the shape (N, C) of dy, where dx has the shape of x."""

    def backward(dy):
        return dy / (x.shape[2] * x.shape[3])

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"sign is wrong")
def mean_with_a_minus(x):
    """The gradient of the mean has a minus sign."""

    def backward(dy):
        return np.zeros_like(x) - dy[:, :, None, None] / (x.shape[2] * x.shape[3])

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"it is zero")
def mean_has_no_gradient(x):
    """The mean is taken for a constant: its gradient is zero."""
    return x.mean(axis=(2, 3)), lambda dy: np.zeros_like(x)


@wrong("global_avg_pool", "N C H W", says=r"dy is ignored")
def share_without_dy(x):
    """Every pixel gets 1/(H*W), but dy is not used."""

    def backward(dy):
        return np.ones_like(x) / (x.shape[2] * x.shape[3])

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"axes .*(swapped|turned)|transposed")
def channels_come_last(x):
    """The gradient is (N, H, W, C) for an x of (N, C, H, W)."""
    h, w = x.shape[2:]

    def backward(dy):
        return np.tile(dy[:, None, None, :], (1, h, w, 1)) / (h * w)

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H C", says=r"axes .*(swapped|turned)|transposed")
def channels_are_taken_for_columns(x):
    """For maps with W = C, dy is spread along the wrong axes: column w gets dy of channel w."""

    def backward(dy):
        return np.ones_like(x) * dy[:, None, None, :] / (x.shape[2] * x.shape[3])

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N N H W", says=r"axes .*(swapped|turned)|transposed")
def samples_and_channels_change_places(x):
    """For N = C, dy is transposed: sample n gets the gradients of channel n."""

    def backward(dy):
        return np.ones_like(x) * dy.T[:, :, None, None] / (x.shape[2] * x.shape[3])

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"wrong order|channels are mixed|order of the entries")
def tile_where_repeat_is_needed(x):
    """Tile gives c0 c1 c2 c0 c1 c2, where c0 c0 c1 c1 c2 c2 is needed: the channels are mixed."""
    n, c, h, w = x.shape

    def backward(dy):
        return np.tile(dy, (1, h * w)).reshape(n, c, h, w) / (h * w)

    return x.reshape(n, c, h * w).mean(axis=2), backward


@wrong("global_avg_pool", "N C H W", says=r"averaged over N|mixed over the batch")
def all_samples_get_the_mean_gradient(x):
    """The gradients of the samples are averaged over N before they are spread."""

    def backward(dy):
        share = dy.mean(axis=0) / (x.shape[2] * x.shape[3])
        return np.zeros_like(x) + share[None, :, None, None]

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"averaged over C|mixed over the channels")
def all_channels_get_the_mean_gradient(x):
    """The gradients of the channels are averaged over C before they are spread."""

    def backward(dy):
        share = dy.mean(axis=1, keepdims=True) / (x.shape[2] * x.shape[3])
        return np.zeros_like(x) + share[:, :, None, None]

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"(factor|multiplied by|times) x\b")
def share_times_x(x):
    """The gradient is multiplied by x, as if the mean were a product with x."""

    def backward(dy):
        return x * dy[:, :, None, None] / (x.shape[2] * x.shape[3])

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"not linear in dy|rounded")
def divides_without_a_rest(x):
    """The division // rounds down: most shares are 0 or -1."""

    def backward(dy):
        return np.ones_like(x) * (dy // (x.shape[2] * x.shape[3]))[:, :, None, None]

    return x.mean(axis=(2, 3)), backward


@wrong("global_avg_pool", "N C H W", says=r"maximum in place of the (average|mean)|one pixel")
def mean_by_the_rule_of_the_maximum(x):
    """The squeeze is a mean, but only the largest pixel gets the gradient."""

    def backward(dy):
        biggest = x == x.max(axis=(2, 3), keepdims=True)
        return biggest * dy[:, :, None, None]

    return x.mean(axis=(2, 3)), backward


# The maximum of a channel.


@wrong("global_max_pool", "N C H W", says=r"average in place of the maximum")
def maximum_by_the_rule_of_the_mean(x):
    """The squeeze is a maximum, but dy is spread evenly as for a mean."""

    def backward(dy):
        return np.ones_like(x) * dy[:, :, None, None] / (x.shape[2] * x.shape[3])

    return x.max(axis=(2, 3)), backward


@wrong("global_max_pool", "N C H W", says=r"whole window|every pixel")
def every_pixel_wins(x):
    """Every pixel gets the whole dy, not only the largest one."""

    def backward(dy):
        return np.zeros_like(x) + dy[:, :, None, None]

    return x.max(axis=(2, 3)), backward


@wrong("global_max_pool", "N C H W", says=r"minimum in place of the maximum")
def smallest_pixel_wins(x):
    """The gradient goes to the smallest pixel of the channel."""
    n, c, h, w = x.shape
    flat = x.reshape(n, c, h * w)
    where = flat.argmin(axis=2)

    def backward(dy):
        dx = np.zeros((n, c, h * w))
        for i in range(n):
            for j in range(c):
                dx[i, j, where[i, j]] = dy[i, j]
        return dx.reshape(n, c, h, w)

    return flat.max(axis=2), backward


@wrong("global_max_pool", "N C H W", says=r"mask itself|dy is ignored")
def mask_of_the_maximum_without_dy(x):
    """The gradient is the mask of the maximum, and dy is not used."""
    z = x.max(axis=(2, 3))

    def backward(dy):
        return (x == z[:, :, None, None]).astype(x.dtype)

    return z, backward


@wrong("global_max_pool", "N C H W", says=r"maximum of the whole (array|x|batch)")
def only_the_largest_of_all_wins(x):
    """The mask compares with the maximum of the whole array: one entry of all gets a gradient."""

    def backward(dy):
        return (x == x.max()) * dy[:, :, None, None]

    return x.max(axis=(2, 3)), backward


@wrong("global_max_pool", "N C H H", says=r"axes .*(swapped|turned)|transposed")
def row_and_column_of_the_winner_swapped(x):
    """For square maps, the row of the largest pixel is used as its column."""
    n, c, h, _ = x.shape
    row, column = np.divmod(x.reshape(n, c, -1).argmax(axis=2), h)

    def backward(dy):
        dx = np.zeros_like(x)
        for i in range(n):
            for j in range(c):
                dx[i, j, column[i, j], row[i, j]] = dy[i, j]
        return dx

    return x.max(axis=(2, 3)), backward


@wrong(
    "global_max_pool", "N C H W", says=r"one winner|(winner|maximum) of channel 0|only channel 0"
)
def one_winner_for_all_channels(x):
    """Every sample keeps one winner for all its channels: the pixel where channel 0 is largest."""
    n, c, h, w = x.shape
    winner = x[:, 0].reshape(n, h * w).argmax(axis=1)

    def backward(dy):
        dx = np.zeros((n, c, h * w))
        for i in range(n):
            dx[i, :, winner[i]] = dy[i]
        return dx.reshape(x.shape)

    return x.max(axis=(2, 3)), backward


@wrong("global_max_pool", "N C H W", says=r"all ties", only_at_ties=True)
def all_equal_maxima_win(x):
    """Where the maximum is there twice, both pixels get the whole dy."""
    z = x.max(axis=(2, 3), keepdims=True)

    def backward(dy):
        return (x == z) * dy[:, :, None, None]

    return z[:, :, 0, 0], backward


@wrong("global_max_pool", "N C H W", legal=True)
def last_maximum_wins(x):
    """Where the maximum is there twice, the last one gets dy: a legal choice."""
    n, c, h, w = x.shape
    winner = h * w - 1 - x.reshape(n, c, -1)[:, :, ::-1].argmax(axis=2)

    def backward(dy):
        dx = np.zeros((n, c, h * w))
        dx[np.arange(n)[:, None], np.arange(c), winner] = dy
        return dx.reshape(x.shape)

    return x.max(axis=(2, 3)), backward


@wrong("global_max_pool", "N C H W", legal=True)
def equal_maxima_share(x):
    """Where the maximum is there twice, each gets half of dy: a legal choice."""
    z = x.max(axis=(2, 3))

    def backward(dy):
        mask = x == z[:, :, None, None]
        return mask / mask.sum(axis=(2, 3), keepdims=True) * dy[:, :, None, None]

    return z, backward

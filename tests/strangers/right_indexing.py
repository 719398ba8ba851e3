"""Right operations that move entries: lookups, gathers, scatters, masks, paddings, sorting."""

from itertools import pairwise

import numpy as np

from . import right


@right("D V, int N")
def embedding_columns(table, tokens):
    """One column of the table for each token."""

    def backward(dy):
        dtable = np.zeros_like(table)
        np.add.at(dtable.T, tokens, dy)
        return dtable

    return table[:, tokens].T.copy(), backward


IDS = np.array([[0, 3, 3, 1], [5, 0, 0, 2]])


@right({"emb": (6, "D"), "pos": (4, "D")})
def token_and_position(emb, pos):
    """Tokens that are constants of the module, and that repeat."""
    y = emb[IDS] + pos[None]

    def backward(dy):
        demb = np.zeros(emb.shape)
        for (b, t), token in np.ndenumerate(IDS):
            demb[token] += dy[b, t]
        return demb, dy.sum(axis=0)

    return y, backward


@right("N C, int N")
def pick_label(scores, labels):
    """take_along_axis with an axis of one."""
    idx = labels[:, None]

    def backward(dy):
        d = np.zeros_like(scores)
        np.put_along_axis(d, idx, dy, axis=1)
        return d

    return np.take_along_axis(scores, idx, axis=1), backward


@right("N C, int N")
def cross_entropy(logits, target):
    """The mean over the samples."""
    n = len(target)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def backward(dloss=1.0):
        p = np.exp(log_p)
        p[np.arange(n), target] -= 1
        return dloss * p / n

    return -log_p[range(n), target].mean(), backward


@right("N D")
def scatter_rows(messages):
    """Messages summed at the nodes of a graph of three."""
    receiver = np.arange(len(messages)) * 2 % 3
    nodes = np.zeros((3, messages.shape[1]))
    np.add.at(nodes, receiver, messages)
    return nodes, lambda dnodes: dnodes[receiver]


@right("N D")
def take_with_repeats(x):
    """Every column once, then the first and the last again."""
    cols = [*range(x.shape[1]), 0, -1]

    def backward(dy):
        dx = dy[:, :-2].copy()
        dx[:, 0] += dy[:, -2]
        dx[:, -1] += dy[:, -1]
        return dx

    return np.take(x, cols, axis=1), backward


@right("N D, N D")
def checkerboard_where(a, b):
    """A fixed mask takes from one or from the other."""
    i, j = np.indices(a.shape)
    mask = (i + j) % 2 == 0
    return np.where(mask, a, b), lambda dy: (np.where(mask, dy, 0.0), np.where(mask, 0.0, dy))


@right("N D, N D")
def elementwise_max(a, b):
    """The first wins a tie."""
    first = a >= b
    return np.maximum(a, b), lambda g: [g * first, g * ~first]


@right("N T T")
def causal_mask(scores):
    """Minus a million in the future."""
    future = np.triu(np.ones(scores.shape[1:], dtype=bool), k=1)
    y = np.where(future, -1e6, scores)

    def backward(dy):
        ds = dy.copy()
        ds[:, future] = 0.0
        return ds

    return y, backward


@right("N H W")
def roll_and_flip(x):
    """Rolled down by one, and mirrored."""
    y = np.flip(np.roll(x, 1, axis=1), axis=2).copy()
    return y, lambda dy: np.roll(dy[..., ::-1], -1, axis=1)


@right("N D")
def repeat_interleave(x, times=3):
    """Each row three times."""
    return np.repeat(x, times, axis=0), lambda g: g.reshape(len(x), times, -1).sum(axis=1)


@right("H W")
def tile_2d(x):
    """Two by three tiles."""
    h, w = x.shape
    return np.tile(x, (2, 3)), lambda g: np.einsum("ahbw->hw", g.reshape(2, h, 3, w))


@right("N A, N B, N C")
def concat_three(a, b, c):
    """Columns of three arrays."""
    bounds = np.cumsum([a.shape[1], b.shape[1]])

    def backward(g):
        return [part.copy() for part in np.split(g, bounds, axis=1)]

    return np.concatenate([a, b, c], axis=1), backward


@right({"x": ("N", 6)})
def glu(x):
    """Half of the channels opens or shuts the other half."""
    value, gate = np.split(x, 2, axis=1)
    s = 1 / (1 + np.exp(-gate))

    def backward(dy):
        dx = np.empty_like(x)
        dx[:, :3] = dy * s
        dx[:, 3:] = dy * value * s * (1 - s)
        return dx

    return value * s, backward


@right("N C H W")
def replicate_pad(x):
    """np.pad with mode edge, one on the left and the right."""
    y = np.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1)), mode="edge")

    def backward(dy):
        dx = dy[..., 1:-1].copy()
        dx[..., 0] += dy[..., 0]
        dx[..., -1] += dy[..., -1]
        return dx

    return y, backward


@right("N D, N D, N D")
def stack_in_middle(q, k, v):
    """A new axis in the middle."""
    return np.stack((q, k, v), axis=1), lambda dy: tuple(np.moveaxis(dy, 1, 0).copy())


@right("N C, int N")
def one_hot_regression(p, labels):
    """Half of the squared distance to one-hot vectors."""
    onehot = np.eye(p.shape[1])[labels]
    diff = p - onehot
    return 0.5 * (diff**2).sum(axis=1), lambda d: d[:, None] * diff


SEGMENTS = np.array([0, 0, 1, 1, 1, 3, 3])


@right({"x": (7, "D")})
def segment_mean(x):
    """Means of four groups; the third is empty."""
    counts = np.bincount(SEGMENTS, minlength=4)
    weight = 1.0 / np.maximum(counts, 1)
    totals = np.stack([np.bincount(SEGMENTS, col, minlength=4) for col in x.T], axis=1)
    return totals * weight[:, None], lambda dy: dy[SEGMENTS] * weight[SEGMENTS, None]


@right({"x": (7, "D")})
def segment_max(x):
    """Maxima of three groups that follow each other."""
    edges = [0, 2, 5, 7]
    arg = np.array([s + x[s:e].argmax(axis=0) for s, e in pairwise(edges)])
    cols = np.arange(x.shape[1])

    def backward(dy):
        dx = np.zeros_like(x)
        dx[arg, cols] = dy
        return dx

    return np.maximum.reduceat(x, edges[:-1], axis=0), backward


@right("N")
def soft_histogram(weights):
    """np.bincount with weights."""
    bins = np.arange(len(weights)) ** 2 % 5
    return np.bincount(bins, weights=weights, minlength=5), lambda dh: dh.take(bins)


@right("D D")
def upper_triangle(S):
    """The entries above and on the diagonal, as a vector."""
    iu = np.triu_indices(S.shape[0])

    def backward(dv):
        dS = np.zeros(S.shape)
        dS[iu] = dv
        return dS

    return S[iu], backward


@right("N D")
def sort_rows(x):
    """A permutation forward, and its inverse backward."""
    order = np.argsort(x, axis=1, kind="stable")

    def backward(dy):
        return np.take_along_axis(dy, np.argsort(order, axis=1), axis=1)

    return np.take_along_axis(x, order, axis=1), backward


@right({"x": ("N", 7)})
def median_of_seven(x):
    """The entry in the middle takes it all."""
    mid = np.argsort(x, axis=1, kind="stable")[:, 3]
    rows = np.arange(len(x))

    def backward(g):
        dx = np.zeros_like(x)
        dx[rows, mid] = g
        return dx

    return np.median(x, axis=1), backward


@right({"x": ("N", 6)})
def top_two_sum(x):
    """The sum of the two largest."""
    top = np.argsort(-x, axis=1, kind="stable")[:, :2]
    mask = np.zeros(x.shape)
    np.put_along_axis(mask, top, 1.0, axis=1)
    return (x * mask).sum(axis=1, keepdims=True), lambda g: g * mask


@right(given=lambda rng: (rng.standard_normal((4, 3, 5)), np.array([5, 2, 0, 3])))
def masked_sequence_mean(x, lengths):
    """Lengths are integers, and one sequence is empty."""
    mask = np.arange(x.shape[2]) < lengths[:, None, None]
    count = np.maximum(lengths, 1)[:, None]
    return (x * mask).sum(axis=2) / count, lambda dy: (dy / count)[..., None] * mask

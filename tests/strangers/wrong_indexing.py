"""Wrong operations: look-ups, splits, shifts, crops and broadcasting."""

import numpy as np

from . import wrong


@wrong(
    given=lambda rng: (rng.normal(size=(3, 4)), np.array([2, 0, 3, 2, 2, 1, 0])),
    mistake="columns that are looked up several times get only one of their gradients (fancy +=)",
    grads="dtable",
    says="any.one-use",
)
def column_lookup(table, ids):
    def backward(dy):
        dtable = np.zeros_like(table)
        dtable[:, ids] += dy
        return dtable

    return table[:, ids], backward


@wrong(
    given=lambda rng: (rng.normal(size=(5, 3)), np.array([[1, 4, 1, 0], [2, 2, 2, 4]])),
    mistake="a word that occurs twice gets the gradient of its last occurrence only (=)",
    grads="dE",
    says="any.one-use",
)
class Embedding:
    def __new__(cls, E, words):
        self = super().__new__(cls)
        self.shape, self.words = E.shape, words
        return E[words], self.backward

    def backward(self, dy):
        dE = np.zeros(self.shape)
        for sentence, grads in zip(self.words, dy, strict=True):
            for word, g in zip(sentence, grads, strict=True):
                dE[word] = g
        return dE


@wrong(
    given=lambda rng: (rng.normal(size=(4, 3)), np.array([0, 3, 0, 1, 2, 3])),
    mistake="row 0 is taken for padding and gets no gradient, though the forward looks it up",
    grads="demb",
    says="any.left-out",
)
def embedding_with_padding(emb, tokens):
    def backward(dy):
        demb = np.zeros_like(emb)
        np.add.at(demb, tokens, dy)
        demb[0] = 0
        return demb

    return emb[tokens], backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 4)), np.array([[3, 3, 0], [1, 2, 1]])),
    mistake="put_along_axis writes, in place of adds, the gradients of places gathered twice",
    grads="dx",
    says="any.one-use",
)
def gather(x, index):
    def backward(dy):
        dx = np.zeros_like(x)
        np.put_along_axis(dx, index, dy, axis=1)
        return dx

    return np.take_along_axis(x, index, axis=1), backward


@wrong(
    given=lambda rng: (rng.normal(size=(6, 2)), np.array([0, 2, 2, 1, 2, 0])),
    mistake="the gradient is divided by the counts of the segments, though the forward is a sum",
    grads="dsrc",
    says="any.factor-per-axis",
)
def segment_sum(src, segment):
    y = np.zeros((3, src.shape[1]))
    np.add.at(y, segment, src)
    counts = np.bincount(segment, minlength=3)
    return y, lambda dy: dy[segment] / counts[segment][:, None]


@wrong(
    "N C, int N",
    mistake="each label's column gets the gradient in all rows, not only in its own",
    grads="dscores",
)
def pick_label(scores, labels):
    y = scores[np.arange(len(labels)), labels]

    def backward(dy):
        dscores = np.zeros_like(scores)
        dscores[:, labels] = dy[:, None]
        return dscores

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(3, 5)),),
    mistake="the gradient is rolled in the same direction as the forward",
    grads="dx",
    says="any.entries-reordered",
)
def cyclic_shift(x):
    return np.roll(x, 2, axis=1), lambda dy: np.roll(dy, 2, axis=1)


@wrong(
    "N A, N B",
    mistake="dy is split after the width of b in place of that of a",
    grads="da db",
)
def side_by_side(a, b):
    def backward(dy):
        da, db = np.split(dy, [b.shape[1]], axis=1)
        return da.copy(), db.copy()

    return np.concatenate([a, b], axis=1), backward


@wrong(
    "N D, N D",
    mistake="the two parts of dy are given back in swapped order",
    grads="da db",
    says="any.wrong-order",
)
def stacked(a, b):
    n = len(a)
    return np.vstack((a, b)), lambda dy: (dy[n:].copy(), dy[:n].copy())


@wrong(
    "N H W",
    mistake="the gradient keeps the rows and columns of the padding",
    grads="dx",
    says="any.not-cropped",
)
def zero_pad(x):
    return np.pad(x, ((0, 0), (1, 1), (1, 1))), lambda dy: dy.copy()


@wrong(
    "N T",
    mistake="the padding is 1 before and 2 behind, but 2 before and 1 behind are cropped",
    grads="dx",
)
def uneven_pad(x):
    return np.pad(x, ((0, 0), (1, 2))), lambda dy: dy[:, 2:-1].copy()


@wrong(
    "N N, N",
    mistake="db sums over the rows, though b was added along the rows",
    grads="db",
    says="any.wrong-axis",
)
def bias_per_row(x, b):
    return x + b[:, None], lambda dy: (dy.copy(), dy.sum(axis=0))


@wrong(
    given=lambda rng: (rng.normal(size=(5, 3)), rng.normal(size=(5, 1))),
    mistake="ds has the shape (N,) in place of (N, 1), keepdims is missing",
    grads="ds",
    says="any.axis-lost",
)
def row_scale(x, s):
    return x * s, lambda dy: (dy * s, (dy * x).sum(axis=1))


@wrong(
    given=lambda rng: (rng.normal(size=(4, 3)), rng.normal(size=(1, 3))),
    mistake="the gradient of the (1, D) bias has lost its first axis",
    grads="db",
    says="any.axis-lost",
)
def matlab_style_bias(x, b):
    y = np.tanh(x + b)

    def backward(dy):
        da = dy * (1 - y * y)
        return da, np.add.reduce(da, 0)

    return y, backward


@wrong(
    "N D, D",
    mistake="dw is not summed over the axis that was broadcast",
    grads="dw",
    says="any.not-summed",
)
def feature_weights(x, w):
    return x * w, lambda dy: (dy * w, dy * x)


@wrong(
    "N, M", mistake="db has the right numbers in the shape (1, M)", grads="db", says="any.axis-kept"
)
def outer_sum_keepdims(a, b):
    y = a[:, None] + b
    return y, lambda dy: (dy.sum(axis=1), dy.sum(axis=0, keepdims=True))


@wrong("N, N", mistake="the axes of the two sums are swapped", grads="da db", says="any.wrong-axis")
def outer_difference(a, b):
    return a[:, None] - b[None, :], lambda dy: (dy.sum(axis=0), -dy.sum(axis=1))


@wrong(
    "N N N",
    mistake="the permutation (2, 0, 1) is undone by itself, which is not its inverse",
    grads="dx",
    says="any.transposed",
)
def permuted_axes(x):
    return x.transpose(2, 0, 1).copy(), lambda dy: dy.transpose(2, 0, 1).copy()


@wrong(
    "N C L",
    mistake="the transposed gradient is reshaped in place of transposed",
    grads="dx",
    says="any.entries-reordered",
)
def channels_last(x):
    return np.ascontiguousarray(x.swapaxes(1, 2)), lambda dy: dy.copy().reshape(x.shape)


@wrong("N T D", mistake="the gradient is not flipped in time", grads="dx", says="any.flipped")
def time_reversal(x):
    return x[:, ::-1].copy(), lambda dy: dy.copy()


@wrong(
    "N T D",
    mistake="the gradient is flipped along the features, not along the time",
    grads="dx",
    says="any.flipped",
)
def time_reversal_wrong_axis(x):
    return x[:, ::-1].copy(), lambda dy: dy[..., ::-1].copy()


@wrong(
    given=lambda rng: (rng.normal(size=(3, 7)),),
    mistake="the gradient of every second column is put into the first columns",
    grads="dx",
    says="any.entries-reordered",
)
def every_second(x):
    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, : dy.shape[1]] = dy
        return dx

    return x[:, ::2].copy(), backward


@wrong(
    given=lambda rng: (rng.normal(size=(3, 4)),),
    mistake="the copies of tile are summed as if they were made by repeat",
    grads="dx",
)
def tiled(x):
    n, d = x.shape
    return np.tile(x, (1, 3)), lambda dy: dy.reshape(n, d, 3).sum(axis=2)


@wrong(
    "N N",
    mistake="the upper triangle, which is not used, gets a gradient",
    grads="dx",
    says="any.derivative-missing",
)
def lower_triangle(x):
    return np.tril(x), lambda dy: dy.copy()


@wrong(
    "N D, N D",
    mistake="db uses the mask of a in place of the opposite one",
    grads="db",
    says="any.other-gradient",
)
def checkerboard_choice(a, b):
    mask = np.indices(a.shape).sum(axis=0) % 2 == 0
    return np.where(mask, a, b), lambda dy: (dy * mask, dy * mask)


@wrong(
    "N D",
    mistake="the gradient of the column mean that was subtracted is taken along the rows",
    grads="dx",
)
def centred_columns(x):
    return x - x.mean(axis=0), lambda dy: dy - dy.mean(axis=1, keepdims=True)

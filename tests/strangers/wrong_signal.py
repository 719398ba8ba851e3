"""Wrong operations: Fourier transforms, filters, spectra and wavelets."""

import numpy as np
from numpy import fft

from . import wrong


@wrong(
    "N L, L",
    mistake="the conjugate of the kernel's spectrum is missing in dx",
    grads="dx",
    says="any.not-transposed",
)
def circular_conv_no_conj(x, k):
    X, K = fft.fft(x), fft.fft(k)

    def backward(dy):
        D = fft.fft(dy)
        dx = fft.ifft(D * K).real
        dk = fft.ifft(D * X.conj()).real.sum(axis=0)
        return dx, dk

    return fft.ifft(X * K).real, backward


@wrong(
    "N L, L",
    mistake="in dk the wrong factor is conjugated, so that the gradient comes out reversed",
    grads="dk",
    says="any.entries-reordered",
)
def circular_conv_reversed(x, k):
    n = x.shape[1]
    X, K = fft.rfft(x), fft.rfft(k)

    def backward(dy):
        D = fft.rfft(dy)
        dk = fft.irfft((D.conj() * X).sum(axis=0), n)
        return fft.irfft(D * K.conj(), n), dk

    return fft.irfft(X * K, n), backward


@wrong(
    "N L",
    mistake="ifft divides by n and this is not undone (the factor n is missing)",
    grads="dx",
    says="any.factor-too-small",
)
def power_spectrum(x):
    X = fft.fft(x, axis=1)

    def backward(dy):
        return 2 * fft.ifft(dy * X, axis=1).real

    return np.abs(X) ** 2, backward


@wrong(
    "N L",
    mistake="the gradient is the modulus in place of the real part",
    grads="dx",
    says="any.not-linear",
)
def amplitude_spectrum(x):
    X = fft.fft(x, norm="ortho")
    mag = np.sqrt(X.real**2 + X.imag**2 + 1e-4)
    return mag, lambda dy: np.abs(fft.ifft(dy * X / mag, norm="ortho"))


@wrong(
    given=lambda rng: (rng.normal(size=(2, 8)),),
    mistake="irfft counts the inner frequencies twice, though y holds each of them once",
    grads="dx",
)
def half_power_spectrum(x):
    n = x.shape[1]
    X = fft.rfft(x)
    return X.real**2 + X.imag**2, lambda dy: n * fft.irfft(2 * dy * X, n)


@wrong(
    "N L",
    mistake="the adjoint of fft is taken to be ifft, which is 1/n too small",
    grads="dx",
    says="any.factor-too-small",
)
def spectrum_real_part(x):
    return fft.fft(x).real.copy(), lambda dy: fft.ifft(dy).real.copy()


@wrong(
    given=lambda rng: (rng.normal(size=(3, 7)),),
    mistake="the gradient has the wrong sign",
    grads="dx",
    says="any.sign",
)
def spectrum_imaginary_part(x):
    return fft.fft(x).imag.copy(), lambda dy: -fft.fft(dy).imag


@wrong(
    given=lambda rng: (rng.normal(size=(3, 6)),),
    mistake="the backward applies the cosine transform itself in place of its transpose",
    grads="dx",
    says="any.not-transposed",
)
def cosine_transform(x):
    n = x.shape[1]
    k = np.arange(n)
    basis = np.cos(np.pi * np.outer(k, k + 0.5) / n)
    return x @ basis.T, lambda dy: dy @ basis.T


@wrong(
    given=lambda rng: (rng.normal(size=(2, 5, 7)),),
    mistake="fftshift is undone by fftshift, which is not its inverse for odd sizes",
    grads="dx",
)
def centred_power_2d(x):
    F = fft.fft2(x)
    y = fft.fftshift(np.abs(F) ** 2, axes=(1, 2)) / x[0].size

    def backward(dy):
        g = fft.fftshift(dy, axes=(1, 2))
        return 2 * fft.ifft2(g * F).real

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 12)),),
    mistake="the window that the frames were multiplied with is forgotten in the backward",
    grads="dx",
)
def short_time_power(x):
    size, hop = 6, 3
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(size) / size)
    starts = range(0, x.shape[1] - size + 1, hop)
    F = fft.fft(np.stack([x[:, s : s + size] * window for s in starts], axis=1))

    def backward(dy):
        g = 2 * size * fft.ifft(dy * F).real
        dx = np.zeros_like(x)
        for i, s in enumerate(starts):
            dx[:, s : s + size] += g[:, i]
        return dx

    return (F * F.conj()).real, backward


@wrong(
    given=lambda rng: (rng.normal(size=(3, 8)),),
    mistake="the second sample of each pair gets the detail with a plus in place of a minus",
    grads="dx",
)
def haar_step(x):
    r = np.sqrt(0.5)
    a, b = x[:, ::2], x[:, 1::2]
    y = np.hstack([r * (a + b), r * (a - b)])

    def backward(dy):
        mean, detail = np.split(dy, 2, axis=1)
        dx = np.empty_like(x)
        dx[:, ::2] = r * (mean + detail)
        dx[:, 1::2] = r * (mean + detail)
        return dx

    return y, backward


@wrong(
    "N L",
    mistake="only the first of the two uses of x in the autocorrelation is counted",
    grads="dx",
)
def autocorrelation(x):
    L = x.shape[1]
    y = np.stack([(x * np.roll(x, -s, axis=1)).sum(axis=1) for s in range(L)], axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        for s in range(L):
            dx += dy[:, s : s + 1] * np.roll(x, -s, axis=1)
        return dx

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(3, 9)),),
    mistake="the gradient is delayed once more in place of advanced (no conjugate)",
    grads="dx",
    says="any.not-transposed",
)
def fractional_delay(x):
    n = x.shape[1]
    phase = np.exp(-2j * np.pi * fft.rfftfreq(n) * 0.7)

    def shift(z):
        return fft.irfft(fft.rfft(z) * phase, n)

    return shift(x), shift


@wrong(
    "N T",
    mistake="dy is filtered with the earlier sample in place of the next one",
    grads="dx",
    says="any.not-transposed",
)
def pre_emphasis(x):
    def run(z):
        out = z.copy()
        out[:, 1:] -= 0.9 * z[:, :-1]
        return out

    return run(x), run


@wrong(
    "N T, K",
    mistake="dh correlates x with dy at lags that are off by one",
    grads="dh",
)
def fir_filter(x, h):
    """Filter each row causally, y[t] = sum_k h[k] x[t - k]."""
    T, K = x.shape[1], len(h)
    y = np.zeros_like(x)
    for k in range(min(K, T)):
        y[:, k:] += h[k] * x[:, : T - k]

    def backward(dy):
        dx, dh = np.zeros_like(x), np.zeros_like(h)
        for k in range(min(K, T)):
            dx[:, : T - k] += h[k] * dy[:, k:]
            dh[k] = np.sum(dy[:, k + 1 :] * x[:, : T - k - 1])
        return dx, dh

    return y, backward

"""Right operations of signal processing: transforms, spectra, filters."""

import numpy as np

from . import right


@right("N T")
def power_spectrum(x):
    """|FFT|^2 of rows."""
    n = x.shape[-1]
    X = np.fft.fft(x, axis=-1)
    return X.real**2 + X.imag**2, lambda dP: 2 * n * np.fft.ifft(dP * X, axis=-1).real


@right("N T")
def rfft_real_imag(x):
    """Real and imaginary parts side by side."""
    n = x.shape[1]
    X = np.fft.rfft(x)
    half = X.shape[1]

    def backward(g):
        G = np.zeros((x.shape[0], n), dtype=complex)
        G[:, :half] = g[:, :half] + 1j * g[:, half:]
        return n * np.fft.ifft(G).real

    return np.hstack([X.real, X.imag]), backward


@right("N T")
def dct_ii(x):
    """The orthonormal DCT by its matrix."""
    T = x.shape[1]
    k = np.arange(T)
    D = np.sqrt(2 / T) * np.cos(np.pi * k[:, None] * (2 * k[None, :] + 1) / (2 * T))
    D[0] /= np.sqrt(2)
    return x @ D.T, lambda dy: dy @ D


@right("T")
def autocorrelation(x):
    """Circular, by Wiener and Khinchin."""
    X = np.fft.fft(x)
    r = np.fft.ifft(np.abs(X) ** 2).real

    def backward(dr):
        R = np.fft.fft(dr)
        return np.fft.ifft(X * 2 * R.real).real

    return r, backward


@right("N T, T")
def fft_circular_convolution(signal, kernel):
    """The theorem of convolution."""
    S, K = np.fft.rfft(signal), np.fft.rfft(kernel)
    T = signal.shape[-1]
    y = np.fft.irfft(S * K, n=T)

    def backward(dy):
        G = np.fft.rfft(dy)
        dsignal = np.fft.irfft(G * K.conj(), n=T)
        dkernel = np.fft.irfft((G * S.conj()).sum(axis=0), n=T)
        return dsignal, dkernel

    return y, backward


@right("N H W")
def low_pass_2d(img, cutoff=0.25):
    """An ideal filter is its own adjoint."""
    fy = np.abs(np.fft.fftfreq(img.shape[1]))[:, None]
    fx = np.abs(np.fft.fftfreq(img.shape[2]))[None, :]
    keep = np.sqrt(fx**2 + fy**2) <= cutoff

    def low(z):
        return np.real(np.fft.ifft2(np.fft.fft2(z, axes=(1, 2)) * keep, axes=(1, 2)))

    return low(img), low


@right({"x": ("N", 12)})
def frame_energies(x, size=4, hop=2):
    """Energies of frames under a Hann window."""
    window = np.hanning(size + 2)[1:-1]
    starts = range(0, x.shape[1] - size + 1, hop)
    y = np.stack([((x[:, s : s + size] * window) ** 2).sum(1) for s in starts], axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        for col, s in enumerate(starts):
            dx[:, s : s + size] += 2 * dy[:, [col]] * window**2 * x[:, s : s + size]
        return dx

    return y, backward


@right({"x": ("N", 9)})
def envelope(x):
    """The length of the analytic signal; its imaginary part is a skew map of x."""
    n = x.shape[1]
    sign = np.sign(np.fft.fftfreq(n))

    def hilbert(v):
        return np.fft.ifft(-1j * sign * np.fft.fft(v)).real

    xh = hilbert(x)
    env = np.hypot(x, xh)

    def backward(d):
        d = d / np.maximum(env, 1e-300)
        return d * x - hilbert(d * xh)

    return env, backward


@right({"x": ("N", "T"), "a": ()})
def pre_emphasis(x, a):
    """y[t] = x[t] - a x[t-1]."""
    y = x.copy()
    y[:, 1:] -= a * x[:, :-1]

    def backward(dy):
        dx = dy.copy()
        dx[:, :-1] -= a * dy[:, 1:]
        return dx, np.array(-np.sum(dy[:, 1:] * x[:, :-1]))

    return y, backward


@right("T, K")
def full_convolution(x, h):
    """np.convolve of two vectors."""

    def backward(dy):
        # correlate swaps for vectors that are shorter, but dy is the longest here
        return [np.correlate(dy, h, "valid"), np.correlate(dy, x, "valid")]

    return np.convolve(x, h), backward


@right("N T")
def log_spectrum(x, eps=1e-3):
    """Logarithms of a power spectrum."""
    X = np.fft.rfft(x)
    P = np.abs(X) ** 2 + eps
    n = x.shape[1]

    def backward(g):
        G = np.zeros(x.shape, complex)
        G[:, : X.shape[1]] = 2 * X * (g / P)
        return np.fft.ifft(G).real * n

    return np.log(P), backward


@right("N D, D K")
def fourier_features(x, B):
    """Sines and cosines of projections."""
    phase = x @ B
    s, c = np.sin(phase), np.cos(phase)

    def backward(dy):
        ds, dc = np.split(dy, 2, axis=1)
        dphase = ds * c - dc * s
        return dphase @ B.T, x.T @ dphase

    return np.concatenate((s, c), axis=1), backward


@right({"x": ("N", 8)})
def haar_transform(x):
    """All levels, in place on a copy."""
    y = x.copy()
    n = 8
    while n > 1:
        even, odd = y[:, :n:2].copy(), y[:, 1:n:2].copy()
        y[:, : n // 2] = (even + odd) / np.sqrt(2)
        y[:, n // 2 : n] = (even - odd) / np.sqrt(2)
        n //= 2

    def backward(dy):
        d = dy.copy()
        m = 2
        while m <= 8:
            low, high = d[:, : m // 2].copy(), d[:, m // 2 : m].copy()
            d[:, :m:2] = (low + high) / np.sqrt(2)
            d[:, 1:m:2] = (low - high) / np.sqrt(2)
            m *= 2
        return d

    return y, backward


@right({"x": ("T",), "delay": (1,)})
def fractional_delay(x, delay):
    """A shift by a part of a sample, which is a parameter."""
    T = len(x)
    omega = 2 * np.pi * np.fft.rfftfreq(T)
    X = np.fft.rfft(x)
    turn = np.exp(-1j * omega * delay[0])

    def backward(dy):
        dx = np.fft.irfft(np.fft.rfft(dy) * np.conj(turn), T)
        slope = np.fft.irfft(-1j * omega * turn * X, T)
        return dx, np.array([dy @ slope])

    return np.fft.irfft(X * turn, T), backward

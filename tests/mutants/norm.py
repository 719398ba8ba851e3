"""Wrong backwards of batch normalisation, with their own plain forward pass."""

import numpy as np

from mutants import wrong

EPS = 0.1
MANY = r"N ?\* ?H ?\* ?W"


def _row(a):
    return a.reshape(1, -1, 1, 1)


def _statistics(x):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    sigma = np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + EPS)
    return (x - mean) / sigma, sigma


def _mean(a):
    return a.mean(axis=(0, 2, 3), keepdims=True)


def _dx(dy, xhat, sigma, gamma):
    dxhat = dy * _row(gamma)
    return (dxhat - _mean(dxhat) - xhat * _mean(dxhat * xhat)) / sigma


def _sum(a):
    return a.sum(axis=(0, 2, 3))


# The gradient of the input.


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="mean path is missing")
def forgets_the_path_through_the_mean(x, gamma, beta):
    """The mean depends on x too; its part of dx is missing."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        dx = (dxhat - xhat * _mean(dxhat * xhat)) / sigma
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="variance path is missing")
def forgets_the_path_through_the_variance(x, gamma, beta):
    """The variance depends on x too; its part of dx is missing."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        dx = (dxhat - _mean(dxhat)) / sigma
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="statistics as constants")
def takes_the_statistics_as_constants(x, gamma, beta):
    """Dx is gamma/sigma dy, which is right for inference and wrong for training."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return dy * _row(gamma) / sigma, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says=r"\bn - 1 in place of n")
def divides_both_paths_by_one_less(x, gamma, beta):
    """Both means in dx are divided by N*H*W - 1, though the variance has 1/(N*H*W)."""
    xhat, sigma = _statistics(x)
    m = x.size // x.shape[1] - 1

    def backward(dy):
        dxhat = dy * _row(gamma)
        through_m = _row(_sum(dxhat)) / m
        through_v = xhat * _row(_sum(dxhat * xhat)) / m
        return (dxhat - through_m - through_v) / sigma, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says=r"\bn - 1 in place of n")
def has_the_unbiased_variance_in_backward(x, gamma, beta):
    """The path through the variance has 2/(M - 1), as for the unbiased variance."""
    xhat, sigma = _statistics(x)
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    m = x.size // x.shape[1]

    def backward(dy):
        dxhat = dy * _row(gamma)
        dv = _row(_sum(dxhat * (x - mean))) * -0.5 / sigma**3
        dm = -_row(_sum(dxhat)) / sigma
        dx = dxhat / sigma + dv * 2 * (x - mean) / (m - 1) + dm / m
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says=r"\bn - 1 in place of n|unbiased")
def recomputes_sigma_with_the_unbiased_variance(x, gamma, beta):
    """Backward computes sigma again with ddof=1, which forward does not have."""
    xhat, _ = _statistics(x)

    def backward(dy):
        sigma = np.sqrt(x.var(axis=(0, 2, 3), ddof=1, keepdims=True) + EPS)
        return _dx(dy, xhat, sigma, gamma), _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="gamma is missing")
def forgets_gamma_in_dx(x, gamma, beta):
    """Dx is computed from dy, where dxhat = gamma dy is needed."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dx = (dy - _mean(dy) - xhat * _mean(dy * xhat)) / sigma
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="1/sigma is missing")
def forgets_to_divide_dx_by_sigma(x, gamma, beta):
    """The last factor of dx, 1/sigma, is missing."""
    xhat, _ = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        dx = dxhat - _mean(dxhat) - xhat * _mean(dxhat * xhat)
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says=r"1/sigma (counts twice|is squared|is there twice)|1/sigma\^2 in place of 1/sigma",
)
def divides_dx_by_the_variance(x, gamma, beta):
    """Dx is divided by sigma^2, the variance, in place of sigma."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        dx = (dxhat - _mean(dxhat) - xhat * _mean(dxhat * xhat)) / sigma**2
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm", "N C H W, C, C", options={"eps": EPS}, says="eps is (missing|forgotten|ignored)"
)
def forgets_eps_in_sigma(x, gamma, beta):
    """Backward computes sigma as the root of the variance, without eps."""
    xhat, _ = _statistics(x)

    def backward(dy):
        sigma = x.std(axis=(0, 2, 3), keepdims=True)
        return _dx(dy, xhat, sigma, gamma), _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm", "N C H W, C, C", options={"eps": EPS}, says="eps is (missing|forgotten|ignored)"
)
def forgets_eps_in_all_of_backward(x, gamma, beta):
    """Backward normalises x again without eps, for dx and for dgamma."""
    y = _statistics(x)[0] * _row(gamma) + _row(beta)

    def backward(dy):
        sigma = x.std(axis=(0, 2, 3), keepdims=True)
        xhat = (x - _mean(x)) / sigma
        return _dx(dy, xhat, sigma, gamma), _sum(dy * xhat), _sum(dy)

    return y, backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="mean path has the wrong sign")
def adds_the_mean_path(x, gamma, beta):
    """The path through the mean is added, where it is subtracted."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        dx = (dxhat + _mean(dxhat) - xhat * _mean(dxhat * xhat)) / sigma
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="variance path has the wrong sign")
def adds_the_variance_path(x, gamma, beta):
    """The path through the variance is added, where it is subtracted."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        dx = (dxhat - _mean(dxhat) + xhat * _mean(dxhat * xhat)) / sigma
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says=r"variance path (counts twice|is 2 times too large)",
)
def forgets_the_half_of_the_square_root(x, gamma, beta):
    """The derivative of 1/sqrt(v) lacks its 1/2, so the variance path counts twice."""
    xhat, sigma = _statistics(x)
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    m = x.size // x.shape[1]

    def backward(dy):
        dxhat = dy * _row(gamma)
        dv = -_row(_sum(dxhat * (x - mean))) / sigma**3
        dm = -_row(_sum(dxhat)) / sigma
        dx = dxhat / sigma + dv * 2 * (x - mean) / m + dm / m
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says=r"variance path is 2 times too small|variance path is halved",
)
def forgets_the_two_of_the_square(x, gamma, beta):
    """The derivative of (x - m)^2 lacks its 2, so half of the variance path is missing."""
    xhat, sigma = _statistics(x)
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    m = x.size // x.shape[1]

    def backward(dy):
        dxhat = dy * _row(gamma)
        dv = _row(_sum(dxhat * (x - mean))) * -0.5 / sigma**3
        dm = -_row(_sum(dxhat)) / sigma
        dx = dxhat / sigma + dv * (x - mean) / m + dm / m
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says=r"over (N|axis 0) only|statistics.* over (N|axis 0)|batch axis only",
)
def takes_the_means_over_the_batch_only(x, gamma, beta):
    """The two means in dx are taken over N, as for rows of features, and not over N, H, W."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        through_m = dxhat.mean(axis=0)
        through_v = xhat * (dxhat * xhat).mean(axis=0)
        return (dxhat - through_m - through_v) / sigma, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says=r"over (H(,| and)? ?W|axes 2 and 3|the pixels) only|instance norm|not summed over N",
)
def takes_the_means_over_the_pixels_only(x, gamma, beta):
    """The two means in dx are taken over each map, as in instance normalisation."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        through_m = dxhat.mean(axis=(2, 3), keepdims=True)
        through_v = xhat * (dxhat * xhat).mean(axis=(2, 3), keepdims=True)
        return (dxhat - through_m - through_v) / sigma, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says=r"sum in place of the mean|paths? (is|are) N ?\* ?H ?\* ?W times too large|"
    r"divided by N ?\* ?H ?\* ?W",
)
def subtracts_sums_in_place_of_means(x, gamma, beta):
    """Both paths through the statistics lack the 1/(N*H*W) of the mean."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dgamma, dbeta = _sum(dy * xhat), _sum(dy)
        dx = _row(gamma) / sigma * (dy - _row(dbeta) - xhat * _row(dgamma))
        return dx, dgamma, dbeta

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="x in place of xhat")
def takes_x_for_xhat_in_the_variance_path(x, gamma, beta):
    """The path through the variance has x outside the mean, where xhat is needed."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        dx = (dxhat - _mean(dxhat) - x * _mean(dxhat * xhat)) / sigma
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="y in place of xhat")
def takes_y_for_xhat(x, gamma, beta):
    """The output y was kept for backward, and is used where xhat is needed."""
    xhat, sigma = _statistics(x)
    y = xhat * _row(gamma) + _row(beta)

    def backward(dy):
        return _dx(dy, y, sigma, gamma), _sum(dy * y), _sum(dy)

    return y.copy(), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="the sign is wrong")
def has_the_wrong_sign_in_dx(x, gamma, beta):
    """Dx is the means minus dxhat, in place of dxhat minus the means."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        dx = (_mean(dxhat) + xhat * _mean(dxhat * xhat) - dxhat) / sigma
        return dx, _sum(dy * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


# The gradients of gamma and beta.


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="x in place of xhat")
def takes_dgamma_from_x(x, gamma, beta):
    """Dgamma is the sum of dy x, where gamma was multiplied by xhat."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), _sum(dy * x), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="1/sigma is missing")
def takes_dgamma_from_the_centred_x(x, gamma, beta):
    """Dgamma is the sum of dy (x - m): the division by sigma is missing."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), _sum(dy * (x - _mean(x))), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says=r"gamma (counts twice|is there (twice|too often))",
)
def multiplies_dgamma_by_gamma(x, gamma, beta):
    """Dgamma is computed from dxhat = gamma dy, where dy is needed."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dxhat = dy * _row(gamma)
        return _dx(dy, xhat, sigma, gamma), _sum(dxhat * xhat), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says=r"\bx(hat)? is missing")
def forgets_xhat_in_dgamma(x, gamma, beta):
    """Dgamma is the sum of dy, which is dbeta."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), _sum(dy), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says=MANY + " times too small")
def averages_dgamma(x, gamma, beta):
    """Dgamma is the mean of dy xhat, where the sum is needed."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), (dy * xhat).mean(axis=(0, 2, 3)), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says=MANY + " times too small")
def averages_dbeta(x, gamma, beta):
    """Dbeta is the mean of dy, where the sum is needed."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), _sum(dy * xhat), dy.mean(axis=(0, 2, 3))

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says=r"not summed over .*(H|W|axes? 2)")
def sums_dgamma_and_dbeta_over_one_axis(x, gamma, beta):
    """Dgamma and dbeta have the shape (C, H, W): they are summed over the batch only."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), (dy * xhat).sum(axis=0), dy.sum(axis=0)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm", "N C H W, C, C", options={"eps": EPS}, says="not summed over (N|axis 0|the batch)"
)
def sums_dgamma_over_the_pixels_only(x, gamma, beta):
    """Dgamma has the shape (N, C): the sum over the batch is missing."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), (dy * xhat).sum(axis=(2, 3)), _sum(dy)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says="axes of size 1 are kept|an axis of size 1 is kept",
)
def keeps_axes_of_size_1(x, gamma, beta):
    """Dgamma and dbeta have the shape (1, C, 1, 1), because of keepdims=True."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        dgamma = (dy * xhat).sum(axis=(0, 2, 3), keepdims=True)
        return _dx(dy, xhat, sigma, gamma), dgamma, dy.sum(axis=(0, 2, 3), keepdims=True)

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm",
    "N C H W, C, C",
    options={"eps": EPS},
    says="order|are exchanged|gradients are swapped",
)
def returns_dbeta_before_dgamma(x, gamma, beta):
    """The gradients come in the order dx, dbeta, dgamma; the shapes are equal."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), _sum(dy), _sum(dy * xhat)

    return xhat * _row(gamma) + _row(beta), backward


@wrong("batch_norm", "N C H W, C, C", options={"eps": EPS}, says="only sample 0 counts")
def takes_dbeta_from_the_first_sample(x, gamma, beta):
    """Dbeta is the sum of dy[0]; the rest of the batch is forgotten."""
    xhat, sigma = _statistics(x)

    def backward(dy):
        return _dx(dy, xhat, sigma, gamma), _sum(dy * xhat), dy[0].sum(axis=(1, 2))

    return xhat * _row(gamma) + _row(beta), backward


# Inference, with given statistics.


@wrong(
    "batch_norm_inference",
    "N C H W, C, C, C, C",
    options={"eps": EPS},
    says="rule of training|statistics (are given|do not depend)|path(s)? .*(not needed|too many)",
)
def takes_the_rule_of_training(x, gamma, beta, mean, variance):
    """Dx has the paths through the statistics, though these do not depend on x here."""
    sigma = np.sqrt(_row(variance) + EPS)
    xhat = (x - _row(mean)) / sigma

    def backward(dy):
        dxhat = dy * _row(gamma)
        dmean = -_sum(dxhat / sigma)
        dvariance = _sum(dxhat * xhat / sigma**2) * -0.5
        return _dx(dy, xhat, sigma, gamma), _sum(dy * xhat), _sum(dy), dmean, dvariance

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm_inference",
    "N C H W, C, C, C, C",
    options={"eps": EPS},
    says="the sign is wrong",
)
def has_the_wrong_sign_in_dmean(x, gamma, beta, mean, variance):
    """The mean is subtracted in forward, but dmean is positive."""
    sigma = np.sqrt(_row(variance) + EPS)
    xhat = (x - _row(mean)) / sigma

    def backward(dy):
        dxhat = dy * _row(gamma)
        dmean = _sum(dxhat / sigma)
        dvariance = _sum(dxhat * xhat / sigma**2) * -0.5
        return dxhat / sigma, _sum(dy * xhat), _sum(dy), dmean, dvariance

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm_inference",
    "N C H W, C, C, C, C",
    options={"eps": EPS},
    says=r"(?<![*\w])2 times too large",
)
def forgets_the_half_in_dvariance(x, gamma, beta, mean, variance):
    """The derivative of 1/sqrt(v) lacks its 1/2."""
    sigma = np.sqrt(_row(variance) + EPS)
    xhat = (x - _row(mean)) / sigma

    def backward(dy):
        dxhat = dy * _row(gamma)
        dmean = -_sum(dxhat / sigma)
        dvariance = -_sum(dxhat * xhat / sigma**2)
        return dxhat / sigma, _sum(dy * xhat), _sum(dy), dmean, dvariance

    return xhat * _row(gamma) + _row(beta), backward


@wrong(
    "batch_norm_inference",
    "N C H W, C, C, C, C",
    options={"eps": EPS},
    says="it is zero",
)
def gives_no_gradient_to_the_statistics(x, gamma, beta, mean, variance):
    """Dmean and dvariance are zeros, though the two are arguments like the others."""
    sigma = np.sqrt(_row(variance) + EPS)
    xhat = (x - _row(mean)) / sigma

    def backward(dy):
        dx = dy * _row(gamma) / sigma
        return dx, _sum(dy * xhat), _sum(dy), np.zeros_like(mean), np.zeros_like(variance)

    return xhat * _row(gamma) + _row(beta), backward

"""Right operations of linear algebra: products, norms, distances, inverses and determinants."""

import numpy as np

from . import right


@right("B I J, B J K")
def bmm(a, b):
    """A product of matrices for each of a batch."""
    out = np.einsum("bij,bjk->bik", a, b)

    def backward(g):
        return np.einsum("bik,bjk->bij", g, b), np.einsum("bij,bik->bjk", a, g)

    return out, backward


@right("N I, N J, K I J, K")
def bilinear_layer(x1, x2, weight, bias):
    """As torch.nn.Bilinear."""
    out = np.einsum("ni,kij,nj->nk", x1, weight, x2, optimize=True) + bias

    def backward(grad_output):
        gw = np.tensordot(grad_output, weight, axes=(1, 0))  # N I J
        gx1 = (gw @ x2[:, :, None])[:, :, 0]
        gx2 = (x1[:, None, :] @ gw)[:, 0, :]
        pairs = x1[:, :, None] * x2[:, None, :]
        return [gx1, gx2, np.tensordot(grad_output, pairs, axes=(0, 0)), grad_output.sum(0)]

    return out, backward


@right("M N, N M")
def trace_of_product(A, B):
    """The trace of A B without the product."""
    return np.sum(A * B.T), lambda d: (d * B.T, d * A.T)


@right(given=lambda rng: (rng.standard_normal((5, 5)),))
def determinant(A):
    """Jacobi's formula."""
    d = np.linalg.det(A)
    return d, lambda dy: dy * d * np.linalg.inv(A).T


@right(given=lambda rng: (rng.standard_normal((3, 4, 4)) + 4 * np.eye(4),))
def batch_inverse(A):
    """Inverses of a stack of matrices."""
    inv = np.linalg.inv(A)

    def backward(dy):
        inv_t = inv.transpose(0, 2, 1)
        return -inv_t @ dy @ inv_t

    return inv, backward


@right(given=lambda rng: (3 * np.eye(5) + rng.standard_normal((5, 5)), rng.standard_normal((5, 3))))
def linear_solve(A, b):
    """The adjoint solves with the transposed matrix."""
    x = np.linalg.solve(A, b)

    def backward(dx):
        db = np.linalg.solve(A.T, dx)
        return -db @ x.T, db

    return x, backward


@right("N D, N K")
def ridge_regression(X, Y, lam=1.0):
    """The weights that minimise |X w - Y|^2 + lam |w|^2."""
    n_features = X.shape[1]
    H = X.T @ X + lam * np.eye(n_features)
    W = np.linalg.solve(H, X.T @ Y)

    def backward(dW):
        V = np.linalg.solve(H, dW)
        residual = Y - X @ W
        dX = residual @ V.T - X @ V @ W.T
        return dX, X @ V

    return W, backward


@right("N D, D D")
def quadratic_forms(x, A):
    """One number for each row; A need not be symmetric."""
    q = np.array([row @ A @ row for row in x])

    def backward(dq):
        dx = dq[:, np.newaxis] * (x @ (A + A.T))
        dA = np.zeros_like(A)
        for k in range(len(x)):
            dA += dq[k] * np.outer(x[k], x[k])
        return dx, dA

    return q, backward


@right("N I, N J")
def outer_products(u, v):
    """Flattened outer products, as in a factorisation machine."""
    n = u.shape[0]
    z = (u[:, :, None] * v[:, None, :]).reshape(n, -1)

    def backward(dz):
        dz = dz.reshape(n, u.shape[1], v.shape[1])
        return np.einsum("nij,nj->ni", dz, v), np.einsum("nij,ni->nj", dz, u)

    return z, backward


@right("I J, K L")
def kronecker(a, b):
    """The Kronecker product."""
    (i, j), (k, m) = a.shape, b.shape

    def backward(dy):
        dy4 = dy.reshape(i, k, j, m)
        da = np.einsum("ikjm,km->ij", dy4, b)
        db = np.tensordot(a, dy4, axes=[(0, 1), (0, 2)])
        return da, db

    return np.kron(a, b), backward


@right("M N")
def frobenius_norm(a):
    """The norm of all entries together."""
    norm = np.linalg.norm(a)
    return norm, lambda dnorm: dnorm * a / max(norm, 1e-300)


@right("N D")
def row_norms(x):
    """Euclidean norms of rows, with the axis kept."""
    r = np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
    return r, lambda dr: x * (dr / np.maximum(r, 1e-300))


@right("N D, M D")
def squared_distances(x, c):
    """By the binomial formula."""
    d2 = (x**2).sum(1)[:, None] - 2.0 * x @ c.T + (c**2).sum(1)[None, :]

    def backward(g):
        gx = 2 * (g.sum(1, keepdims=True) * x - g @ c)
        gc = 2 * (g.sum(0)[:, None] * c - g.T @ x)
        return gx, gc

    return d2, backward


@right("N D, M D")
def cdist(a, b):
    """Distances of all pairs, from differences."""
    diff = a[:, None] - b[None]
    dist = np.sqrt(np.einsum("nmd,nmd->nm", diff, diff))

    def backward(grad):
        unit = diff / np.maximum(dist, 1e-300)[..., None]
        pulled = grad[..., None] * unit
        return pulled.sum(axis=1), -pulled.sum(axis=0)

    return dist, backward


@right("N C H W")
def gram_matrix(features):
    """Gram matrices of the channels, as in the transfer of style."""
    n, c, h, w = features.shape
    f = features.reshape(n, c, h * w)
    G = f @ f.swapaxes(1, 2) / (c * h * w)

    def backward(dG):
        df = (dG + dG.swapaxes(1, 2)) @ f / (c * h * w)
        return df.reshape(features.shape)

    return G, backward


@right("N D, M D")
def cosine_similarity_matrix(A, B):
    """Each row of A with each row of B."""
    na = np.linalg.norm(A, axis=1, keepdims=True)
    nb = np.linalg.norm(B, axis=1, keepdims=True)
    ua, ub = A / na, B / nb

    def normalise_back(d, u, n):
        return (d - u * np.sum(d * u, axis=1, keepdims=True)) / n

    def backward(dS):
        return normalise_back(dS @ ub, ua, na), normalise_back(dS.T @ ua, ub, nb)

    return ua @ ub.T, backward


@right("D K")
def logdet_spd(L):
    """The log-determinant of L L^T + I."""
    S = L @ L.T + np.eye(L.shape[0])
    _, logdet = np.linalg.slogdet(S)
    return logdet, lambda d: 2.0 * d * np.linalg.solve(S, L)


@right("N N")
def matrix_cube(A):
    """The third power, with one term for each factor."""
    A2 = A @ A

    def backward(G):
        T = A.T
        return G @ T @ T + T @ G @ T + T @ T @ G

    return A2 @ A, backward


@right({"A": ("B", 4, 4)})
def truncated_expm(A, order=6):
    """The first terms of the exponential series, with a tape."""
    eye = np.eye(4)
    tape = [np.broadcast_to(eye, A.shape)]
    for k in range(order, 0, -1):  # Horner: P <- I + A P / k
        tape.append(eye + A @ tape[-1] / k)

    def backward(dP):
        dA = np.zeros(A.shape)
        for k, P in zip(range(1, order + 1), reversed(tape[:-1]), strict=True):
            dA += dP @ np.swapaxes(P, 1, 2) / k
            dP = np.swapaxes(A, 1, 2) @ dP / k
        return dA

    return tape[-1], backward


@right({"a": ("N", 3), "b": ("N", 3)})
def cross_product(a, b):
    """Cross products of rows."""
    return np.cross(a, b), lambda g: (np.cross(b, g), np.cross(g, a))


@right("N D, D")
def householder(x, v):
    """Rows mirrored at the hyperplane that is orthogonal to v."""
    vv = v @ v
    xv = x @ v
    y = x - 2.0 * np.outer(xv, v) / vv

    def backward(dy):
        gv = dy @ v
        dx = dy - 2.0 * np.outer(gv, v) / vv
        dv = -2.0 * (gv @ x + xv @ dy) / vv + 4.0 * (xv @ gv) / vv**2 * v
        return (dx, dv)

    return y, backward


@right("N D, D, D K")
def mahalanobis(x, mu, L):
    """Squared lengths of (x - mu) L."""
    centred = x - mu
    z = centred @ L

    def backward(dm):
        dz = 2 * dm[:, None] * z
        dcentred = dz @ L.T
        return dcentred, -dcentred.sum(axis=0), centred.T @ dz

    return (z * z).sum(axis=1), backward


@right("A B C, C B D")
def two_axis_contraction(s, t):
    """A tensordot over two axes that are in another order in each argument."""
    y = np.tensordot(s, t, axes=([1, 2], [1, 0]))

    def backward(dy):
        ds = np.tensordot(dy, t, axes=([1], [2])).transpose(0, 2, 1)
        dt = np.tensordot(s, dy, axes=([0], [0])).transpose(1, 0, 2)
        return ds, dt

    return y, backward

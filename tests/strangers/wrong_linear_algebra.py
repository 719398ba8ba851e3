"""Wrong operations: products of matrices, solvers, determinants, distances and norms."""

import numpy as np

from . import wrong


@wrong(
    "N N, N N",
    mistake="the gradient for a is dy @ b in place of dy @ b.T",
    grads="da",
    says="linear.w-transposed",
)
def matmul_without_transpose(a, b):
    def backward(dy):
        return dy @ b, a.T @ dy

    return a @ b, backward


@wrong(
    "N I, N I, I I",
    mistake="dA is the outer product of v and u in place of u and v (it is transposed)",
    grads="dA",
    says="any.transposed",
)
def bilinear_form(u, v, A):
    y = np.einsum("ni,ij,nj->n", u, A, v)

    def backward(dy):
        du = dy[:, None] * (v @ A.T)
        dv = dy[:, None] * (u @ A)
        dA = np.einsum("n,ni,nj->ij", dy, v, u)
        return du, dv, dA

    return y, backward


@wrong(
    "N I, I I",
    mistake="dx is 2 A x, which holds only for a symmetric A, in place of (A + A^T) x",
    grads="dx",
)
def quadratic_form_assumed_symmetric(x, A):
    Ax = x @ A.T
    return (x * Ax).sum(axis=1), lambda dy: (
        2 * dy[:, None] * Ax,
        (x * dy[:, None]).T @ x,
    )


@wrong("N I, I I", mistake="dx counts only one of the two uses of x in x^T A x", grads="dx")
def energy(x, A):
    out = np.zeros(len(x))
    for n, row in enumerate(x):
        out[n] = row @ A @ row

    def backward(dy):
        dx, dA = np.zeros_like(x), np.zeros_like(A)
        for n, row in enumerate(x):
            dx[n] = dy[n] * (A @ row)
            dA += dy[n] * np.outer(row, row)
        return dx, dA

    return out, backward


@wrong(
    "B I J, J K",
    mistake="dw keeps only the last batch element, for it is assigned in place of added",
    grads="dw",
    says="any.part-of-dy",
)
def batched_matmul_shared_matrix(x, w):
    y = np.einsum("bij,jk->bik", x, w)

    def backward(dy):
        dx = np.einsum("bik,jk->bij", dy, w)
        for b in range(x.shape[0]):
            dw = x[b].T @ dy[b]
        return dx, dw

    return y, backward


def _well_conditioned(rng, n):
    return rng.normal(size=(n, n)) + 3 * n**0.5 * np.eye(n)


def _system(rng):
    return _well_conditioned(rng, 4), rng.normal(size=(4, 3))


def _square(rng):
    return (_well_conditioned(rng, 4),)


@wrong(
    given=_system, mistake="the minus sign of dA = -db x^T is missing", grads="dA", says="any.sign"
)
def solve_sign(A, b):
    x = np.linalg.solve(A, b)

    def backward(dx):
        db = np.linalg.solve(A.T, dx)
        return db @ x.T, db

    return x, backward


@wrong(
    given=_system,
    mistake="the backward solves with A in place of with its transpose",
    grads="dA db",
    says="any.not-transposed",
)
def linear_system(A, b):
    sol = np.linalg.solve(A, b)

    def vjp(g):
        gb = np.linalg.solve(A, g)
        return -gb @ sol.T, gb

    return sol, vjp


@wrong(
    given=_square,
    mistake="dA is -inv(A) dy inv(A), without the transposes of both inverses",
    grads="dA",
    says="any.not-transposed",
)
def inverse(A):
    inv = np.linalg.inv(A)
    return inv, lambda dy: -inv @ dy @ inv


@wrong(
    given=lambda rng: (rng.normal(size=(3, 4, 4)) + 4 * np.eye(4),),
    mistake="the inverse in the gradient of the determinant is not transposed",
    grads="dA",
    says="any.transposed",
)
def determinants(A):
    det = np.linalg.det(A)
    return det, lambda dy: (dy * det)[:, None, None] * np.linalg.inv(A)


@wrong(
    "I J",
    mistake="the factor 2 of d log det(I + X X^T) = 2 inv(I + X X^T) X is missing",
    grads="dX",
    says="any.factor-too-small",
)
def log_det_of_gram(X):
    S = np.eye(len(X)) + X @ X.T
    y = np.array([np.linalg.slogdet(S)[1]])
    return y, lambda dy: dy[0] * np.linalg.solve(S, X)


@wrong(
    "N D, M D",
    mistake="the gradient for the centres has the wrong sign",
    grads="dc",
    says="any.sign",
)
def squared_distances(x, c):
    diff = x[:, None, :] - c[None, :, :]
    y = np.sum(diff**2, axis=-1)

    def backward(dy):
        g = 2 * dy[:, :, None] * diff
        return g.sum(axis=1), g.sum(axis=0)

    return y, backward


@wrong(
    "N D",
    mistake="each point gets the gradient of its row of the distance matrix, not of its column",
    grads="dx",
)
def self_distances(x):
    diff = x[:, None] - x[None]
    dist = np.sqrt((diff**2).sum(-1) + 1e-3)
    return dist, lambda dy: ((dy / dist)[..., None] * diff).sum(axis=1)


@wrong(
    "N D",
    mistake="dX = 2 dG X holds only for a symmetric dG; it should be (dG + dG^T) X",
    grads="dX",
)
def gram_matrix(X):
    return X @ X.T, lambda dG: 2 * dG @ X


@wrong(
    "N D",
    mistake="the norm is taken for a constant, so that the projection off y is missing",
    grads="dx",
    says="l2-normalise.sigma-constant",
)
class UnitRows:
    def __new__(cls, x):
        self = super().__new__(cls)
        self.norm = np.sqrt((x * x).sum(axis=1, keepdims=True))
        return x / self.norm, self.backward

    def backward(self, dy):
        return dy / self.norm


@wrong(
    "N D",
    mistake="in the projection the y of each row is multiplied with the sum of dy, not of dy y",
    grads="dv",
    says="l2-normalise.xhat-missing-inside",
)
def unit_vectors(v):
    r = np.linalg.norm(v, axis=1, keepdims=True)
    y = v / r
    return y, lambda dy: (dy - y * dy.sum(axis=1, keepdims=True)) / r


@wrong(
    "N D",
    mistake="the gradient of the norm is x, the division by the norm is missing",
    grads="dx",
    says="any.factor-value",
)
def row_lengths(x):
    return np.linalg.norm(x, axis=1), lambda dy: dy[:, None] * x


@wrong("N I, N I", mistake="dv sums dy over the wrong axis (that of v)", grads="dv")
def outer_products(u, v):
    y = u[:, :, None] * v[:, None, :]

    def backward(dy):
        du = np.einsum("nij,nj->ni", dy, v)
        dv = np.einsum("nij,nj->ni", dy, u)
        return du, dv

    return y, backward


@wrong(
    "N I J",
    mistake="the factor 2 of the derivative of the square is missing",
    grads="dm",
    says="any.factor-too-small",
)
def frobenius_squared(m):
    return np.einsum("nij,nij->n", m, m), lambda dy: dy.reshape(-1, 1, 1) * m


@wrong(
    "N D, N D",
    mistake="db takes the norm of b for a constant",
    grads="db",
    says="any.difference-per-axis",
)
def cosine_similarity(a, b):
    na = np.sqrt(1e-6 + np.sum(a**2, axis=1, keepdims=True))
    nb = np.sqrt(1e-6 + np.sum(b**2, axis=1, keepdims=True))
    cos = np.sum(a * b, axis=1, keepdims=True) / (na * nb)

    def backward(dy):
        dy = dy[:, None]
        da = dy * (b / (na * nb) - cos * a / na**2)
        db = dy * a / (na * nb)
        return da, db

    return cos[:, 0], backward


@wrong(
    "N N, N N",
    mistake="both gradients of tr(A B) lack the transpose",
    grads="da db",
    says="any.transposed",
)
def trace_of_product(a, b):
    y = np.array([np.trace(a @ b)])
    return y, lambda dy: (dy[0] * b, dy[0] * a)


@wrong("N N", mistake="the middle one of the three uses of A in A A A is forgotten", grads="dA")
def matrix_cube(A):
    A2 = A @ A

    def backward(dy):
        first = dy @ A2.T
        last = A2.T @ dy
        return first + last

    return A2 @ A, backward


@wrong(
    "N N",
    mistake="dm is dy, though dy is not symmetric; it should be symmetrised",
    grads="dm",
    says="any.derivative-missing",
)
def symmetric_part(m):
    return 0.5 * (m + m.T), lambda dy: dy.copy()


@wrong(
    given=lambda rng: (rng.normal(size=(2, 3)), rng.normal(size=(4, 5))),
    mistake="the axes of dy are split in the order I J K L in place of I K J L",
    grads="da db",
)
def kronecker(a, b):
    def backward(dy):
        blocks = dy.reshape(*a.shape, *b.shape)
        return np.tensordot(blocks, b, 2), np.tensordot(a, blocks, 2)

    return np.kron(a, b), backward


@wrong(
    given=lambda rng: (rng.normal(size=(4, 3)), rng.normal(size=(4, 3))),
    mistake="db is a x dy in place of dy x a, thus of the wrong sign",
    grads="db",
)
def cross_product(a, b):
    return np.cross(a, b), lambda dy: (np.cross(b, dy), np.cross(a, dy))


@wrong("N D, D", mistake="dv takes the squared length of v for a constant", grads="dv")
def householder_reflection(x, v):
    s = v @ v
    p = x @ v
    y = x - 2 * np.outer(p, v) / s

    def backward(dy):
        q = dy @ v
        dx = dy - 2 * np.outer(q, v) / s
        dv = -2 * (x.T @ q + dy.T @ p) / s
        return dx, dv

    return y, backward


@wrong(
    "N M",
    mistake="the diagonal is not halved where the lower triangle of L^T dL is taken",
    grads="dM",
)
def cholesky_of_gram(M):
    L = np.linalg.cholesky(M @ M.T + np.eye(len(M)))

    def backward(dL):
        P = np.tril(L.T @ np.tril(dL))
        Li = np.linalg.inv(L)
        S = Li.T @ P @ Li
        return (S + S.T) @ M

    return L, backward


@wrong(
    "T D, D D",
    mistake="dL is half of what it should be, it lacks the factor 2 of the square",
    grads="dL",
    says="any.factor-too-small",
)
def mahalanobis_with_factor(x, L):
    z = x @ L
    y = (z**2).sum(axis=1)

    def backward(dy):
        dz = 2 * dy[:, None] * z
        return dz @ L.T, 0.5 * (x.T @ dz)

    return y, backward

"""Activations and functions that the package does not have, and mistakes in each of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_se.checker.mistakes.registry import Layout, known, mistake
from numpy_se.checker.mistakes.unary import ROOT, Atoms, erf, logistic, unary
from numpy_se.contract import Array

SLOPES = (0.01, 0.1, 0.2, 0.3, 0.02, 0.05, 0.25, 0.5, 1 / 3, 0.001)
ALPHAS = (1.0, 0.5, 2.0, 0.1, 0.2, 0.3, 1.5, 0.7, 0.25, 3.0)
SELU = ((1.6732632423543772, 1.0507009873554805), (1.67326324, 1.05070098), (1.67326, 1.0507),
        (1.6733, 1.0507), (1.6732632, 1.0507009), (1.673, 1.051))  # fmt: skip
GELU = (float(np.sqrt(2 / np.pi)), 0.7978845608, 0.79788456, 0.7978845, 0.797885, 0.79788, 0.8)
BOUNDS = ((0, 6), (-1, 1), (0, 1), (-2, 2), (-3, 3), (-0.5, 0.5), (0, 20), (-5, 5), (-6, 6))
POWERS = (3.0, 2.0, 4.0, 5.0, -2.0, -3.0, 1.5, -0.5, 1 / 3, 2.5, 0.25, 0.75, -1.5, 2 / 3)


def _phi(x: Array) -> Any:
    return np.exp(-x * x / 2) / ROOT


def _tanh_form(x: Array, c: float, cubed: float = 3.0) -> Atoms:
    t = np.tanh(c * (x + 0.044715 * x**3))
    inner = c * (1 + cubed * 0.044715 * x * x)
    return {"(1+t)": 1 + t, "{x}/2": x / 2, "(1 - t^2)": 1 - t * t, "u'": inner, "t": t}


def _gelu_tanh(x: Array, c: float, cubed: float) -> Any:
    p = _tanh_form(x, c, cubed)
    return p["(1+t)"] / 2 + p["{x}/2"] * p["(1 - t^2)"] * p["u'"]


def _phi_rule(x: Array, scale: float, phi: float = 1.0, root: float = 1.0) -> Any:
    return (1 + erf(x * scale)) / 2 + phi * x * np.exp(-x * x / 2 * root) / ROOT


def _softplus(x: Array) -> Any:
    return np.logaddexp(0, x)


def _mish(x: Array, y: Array, a: Any) -> Atoms:
    t = np.tanh(_softplus(x))
    return {"t": t, "(1 - t^2)": 1 - t * t, "sigmoid({x})": logistic(x)}


def _swish(x: Array, y: Array, a: float) -> Atoms:
    return {"s": logistic(a * x), "(1 - s)": logistic(-a * x), "beta": a}


def _elu(x: Array, y: Array, a: float) -> Atoms:
    return {"alpha": a, "exp({x}/alpha)": np.exp(x / a)}


def _clip(x: Array, y: Array, a: Any) -> Atoms:
    return {"(lower < {x} < upper)": (a[0] < x) & (x < a[1])}


def _shrink(x: Array, y: Array, a: float) -> Atoms:
    return {"(abs({x}) > lambda)": abs(x) > a}


SHRINK = [
    ("upper", "only {x} > lambda passes: the lower side is missing", lambda x, y, a: x > a),
    ("lower", "only {x} < -lambda passes: the upper side is missing", lambda x, y, a: x < -a),
    ("signed", "the sign of {x} is there too: the rule of abs",
     lambda x, y, a: np.sign(x) * (abs(x) > a)),
]  # fmt: skip
ONE_SIDE = "({x} > 0) + ({x} <= 0)"

unary("softplus", lambda x, a: _softplus(x), "sigmoid({x})",
      lambda x, y, a: {"sigmoid({x})": logistic(x)},
      [("sign-in-exp", "the sign of {x} is wrong in exp", lambda x, y, a: logistic(-x)),
       ("one-missing", "1/exp(-{x}) in place of 1/(1 + exp(-{x}))", lambda x, y, a: np.exp(x)),
       ("log-alone", "the inner derivative exp({x}) is missing: 1/(1 + exp({x}))",
        lambda x, y, a: 1 / (1 + np.exp(x)))])  # fmt: skip
unary("log-sigmoid", lambda x, a: -_softplus(-x), "(1 - s)",
      lambda x, y, a: {"s": logistic(x), "(1 - s)": logistic(-x)},
      [("s-for-1-s", "sigmoid({x}) in place of 1 - sigmoid({x})", lambda x, y, a: logistic(x)),
       ("log-alone", "1/sigmoid({x}) alone: the derivative of the sigmoid is missing",
        lambda x, y, a: 1 / logistic(x)),
       ("y-for-s", "1 - {y} in place of 1 - sigmoid({x})", lambda x, y, a: 1 - y)])  # fmt: skip
unary("gelu-tanh", lambda x, c: x / 2 * (1 + np.tanh(c * (x + 0.044715 * x**3))),
      "1/2 * (1+t) + {x}/2 * (1 - t^2) * u'", lambda x, y, c: _tanh_form(x, c),
      [("cube", "the factor 3 of the cube is missing in u'",
        lambda x, y, c: _gelu_tanh(x, c, 1.0)),
       ("cube-two", "2 in place of 3 in u'", lambda x, y, c: _gelu_tanh(x, c, 2.0)),
       ("cubic-term", "the cubic term is missing in u'", lambda x, y, c: _gelu_tanh(x, c, 0.0)),
       ("exact", "the derivative of the exact gelu, Phi + {x} * phi",
        lambda x, y, c: _phi_rule(x, np.sqrt(0.5))),
       ("root", "the factor sqrt(2/pi) is missing in u'",
        lambda x, y, c: (1 + (t := _tanh_form(x, c)["t"])) / 2
        + x / 2 * (1 - t * t) * _tanh_form(x, 1.0)["u'"]),
       ("square-missing", "1 - t in place of 1 - t^2",
        lambda x, y, c: (1 + (t := _tanh_form(x, c)["t"])) / 2
        + x / 2 * (1 - t) * _tanh_form(x, c)["u'"])], *GELU)  # fmt: skip
unary("mish", lambda x, a: x * np.tanh(_softplus(x)),
      "t + {x} * (1 - t^2) * sigmoid({x})", _mish,
      [("square-missing", "1 - t in place of 1 - t^2",
        lambda x, y, a: (t := np.tanh(_softplus(x))) + x * (1 - t) * logistic(x)),
       ("sigmoid-rule-inside", "s (1 - s) in place of sigmoid({x})",
        lambda x, y, a: (t := np.tanh(_softplus(x)))
        + x * (1 - t * t) * logistic(x) * logistic(-x)),
       ("tanh-of-x-inside", "tanh({x}) in place of tanh(softplus({x}))",
        lambda x, y, a: (t := np.tanh(x)) + x * (1 - t * t) * logistic(x))])  # fmt: skip
unary("swish", lambda x, a: x * logistic(a * x), "s + {x} * beta * s * (1 - s)", _swish,
      [("beta-in-s", "beta is missing in the sigmoid", lambda x, y, a:
        (s := logistic(x)) + x * a * s * (1 - s)),
       ("y-for-s", "1 - {y} in place of 1 - s", lambda x, y, a: logistic(a * x) + a * y * (1 - y)),
       ("y-alone", "beta {y} in place of beta {y} (1 - s)", lambda x, y, a:
        logistic(a * x) + a * y)], 1.702, 0.5, 1.5, 2.0, 0.7, 1.3, 3.0, 0.8)  # fmt: skip
unary("elu", lambda x, a: np.where(x > 0, x, a * np.expm1(x)),
      f"{ONE_SIDE} * alpha * exp({{x}})", lambda x, y, a: {"alpha": a},
      [("y-below", "{y} in place of {y} + alpha for negative {x}",
        lambda x, y, a: np.where(x > 0, 1, y)),
       ("y-plus-one", "{y} + 1 in place of {y} + alpha for negative {x}",
        lambda x, y, a: np.where(x > 0, 1, y + 1)),
       ("alpha-minus-y", "alpha - {y} in place of {y} + alpha for negative {x}",
        lambda x, y, a: np.where(x > 0, 1, a - y)),
       ("alpha-twice", "alpha is there twice",
        lambda x, y, a: np.where(x > 0, 1, a * a * np.exp(x))),
       ("sign-in-exp", "the sign of {x} is wrong in exp", lambda x, y, a:
        np.where(x > 0, 1, a * np.exp(-x)))], *ALPHAS)  # fmt: skip
unary("selu", lambda x, a: a[1] * np.where(x > 0, x, a[0] * np.expm1(x)),
      "scale * ({x} > 0) + scale * ({x} <= 0) * alpha * exp({x})",
      lambda x, y, a: {"alpha": a[0], "scale": a[1]},
      [("elu", "the scale is missing: the rule of elu",
        lambda x, y, a: np.where(x > 0, 1, a[0] * np.exp(x))),
       ("y-below", "{y} in place of {y} + scale * alpha for negative {x}",
        lambda x, y, a: np.where(x > 0, a[1], y)),
       ("y-plus-alpha", "{y} + alpha in place of {y} + scale * alpha for negative {x}",
        lambda x, y, a: np.where(x > 0, a[1], y + a[0])),
       ("one", "1 in place of the scale for positive {x}",
        lambda x, y, a: np.where(x > 0, 1, a[0] * a[1] * np.exp(x)))], *SELU)  # fmt: skip
unary("celu", lambda x, a: np.where(x > 0, x, a * np.expm1(x / a)),
      f"{ONE_SIDE} * exp({{x}}/alpha)", _elu,
      [("alpha-too", "a factor alpha too much for negative {x}: 1/alpha inside exp cancels it",
        lambda x, y, a: np.where(x > 0, 1, a * np.exp(x / a))),
       ("divided-by-alpha", "divided by alpha for negative {x}: the outer alpha cancels it",
        lambda x, y, a: np.where(x > 0, 1, np.exp(x / a) / a)),
       ("elu", "exp({x}) in place of exp({x}/alpha)",
        lambda x, y, a: np.where(x > 0, 1, np.exp(x))),
       ("y-below", "{y} in place of {y}/alpha + 1 for negative {x}",
        lambda x, y, a: np.where(x > 0, 1, y)),
       ("y-plus-alpha", "{y} + alpha in place of {y}/alpha + 1 for negative {x}",
        lambda x, y, a: np.where(x > 0, 1, y + a))], *ALPHAS[1:])  # fmt: skip
unary("leaky-relu", lambda x, a: np.where(x > 0, x, a * x), f"{ONE_SIDE} * slope",
      lambda x, y, a: {"slope": a},
      [("slope-sign", "the slope of negative {x} has the wrong sign",
        lambda x, y, a: np.where(x > 0, 1, -a)),
       ("slope-everywhere", "the slope is there for all {x}", lambda x, y, a: a),
       ("slope-squared", "the slope is there twice", lambda x, y, a: np.where(x > 0, 1, a * a)),
       ("divided-by-slope", "divided by the slope", lambda x, y, a: np.where(x > 0, 1, 1 / a)),
       ("x-below", "slope * {x} in place of the slope", lambda x, y, a: np.where(x > 0, 1, y)),
       ("one-minus", "1 - slope in place of the slope", lambda x, y, a: np.where(x > 0, 1, 1 - a))],
      *SLOPES)  # fmt: skip
unary("hardswish", lambda x, a: x * np.clip(x + 3, 0, 6) / 6,
      "({x} >= 3) + (abs({x}) < 3) * (2{x}+3)/6",
      lambda x, y, a: {"({x} >= 3)": x >= 3, "(abs({x}) < 3)": abs(x) < 3,
                       "(2{x}+3)/6": (2 * x + 3) / 6},
      [("gate-alone", "the hard sigmoid alone: {x} times its slope is missing",
        lambda x, y, a: np.clip(x + 3, 0, 6) / 6),
       ("slope-alone", "{x} times the slope alone: the hard sigmoid is missing",
        lambda x, y, a: x / 6 * (abs(x) < 3)),
       ("slope-mask", "the mask is missing in the slope of the hard sigmoid",
        lambda x, y, a: np.clip(x + 3, 0, 6) / 6 + x / 6),
       ("x-missing", "{x} is missing in front of the slope: gate + 1/6",
        lambda x, y, a: np.clip(x + 3, 0, 6) / 6 + (abs(x) < 3) / 6),
       ("slope", "the slope 1 in place of 1/6",
        lambda x, y, a: np.clip(x + 3, 0, 6) / 6 + x * (abs(x) < 3)),
       ("two-missing", "{x} in place of 2 {x}: the square has the factor 2",
        lambda x, y, a: (x >= 3) + (abs(x) < 3) * (x + 3) / 6),
       ("sixth", "1/6 is missing for abs({x}) < 3",
        lambda x, y, a: (x >= 3) + (abs(x) < 3) * (2 * x + 3)),
       ("constant", "+ 3 is missing: {x}/3 for abs({x}) < 3",
        lambda x, y, a: (x >= 3) + (abs(x) < 3) * x / 3)])  # fmt: skip
unary("clip", lambda x, a: np.clip(x, *a), "(lower < {x} < upper)", _clip,
      [("upper-missing", "the upper mask is missing", lambda x, y, a: x > a[0]),
       ("lower-missing", "the lower mask is missing", lambda x, y, a: x < a[1])],
      *BOUNDS)  # fmt: skip
unary("hard-sigmoid-of", lambda x, a: np.clip(a[0] * x + a[1], 0, 1), "slope * (0 < {y} < 1)",
      lambda x, y, a: {"slope": a[0], "(0 < {y} < 1)": (y > 0) & (y < 1)},
      [("upper-missing", "the upper mask is missing", lambda x, y, a: a[0] * (y > 0)),
       ("lower-missing", "the lower mask is missing", lambda x, y, a: a[0] * (y < 1)),
       ("mask-of-x", "the mask is that of {x} between 0 and 1",
        lambda x, y, a: a[0] * ((x > 0) & (x < 1))),
       ("mask-abs", "the mask is abs({x}) < 1", lambda x, y, a: a[0] * (abs(x) < 1))],
      (0.2, 0.5), (0.25, 0.5), (0.5, 0.5))  # fmt: skip
unary("softsign", lambda x, a: x / (1 + abs(x)), "1/(1+abs({x})) * 1/(1+abs({x}))",
      lambda x, y, a: {"1/(1+abs({x}))": 1 / (1 + abs(x))},
      [("square-missing", "the square is missing: 1/(1 + abs({x}))",
        lambda x, y, a: 1 / (1 + abs(x))),
       ("abs-missing", "abs is missing: 1/(1 + {x})^2", lambda x, y, a: 1 / (1 + x) ** 2),
       ("sign", "1 - abs({x}) in place of 1 + abs({x})", lambda x, y, a: 1 / (1 - abs(x)) ** 2),
       ("square-inside", "1/(1 + {x}^2): the rule of arctan", lambda x, y, a: 1 / (1 + x * x)),
       ("cubed", "1/(1 + abs({x}))^3 in place of its square",
        lambda x, y, a: 1 / (1 + abs(x)) ** 3),
       ("quotient", "the quotient rule has + in place of -: (1 + 2 abs({x}))/(1 + abs({x}))^2",
        lambda x, y, a: (1 + 2 * abs(x)) / (1 + abs(x)) ** 2),
       ("quotient-second", "the second term of the quotient rule alone",
        lambda x, y, a: -abs(x) / (1 + abs(x)) ** 2)])  # fmt: skip
unary("tanhshrink", lambda x, a: x - np.tanh(x), "tanh({x}) * tanh({x})",
      lambda x, y, a: {"tanh({x})": np.tanh(x)},
      [("square-missing", "the square is missing: tanh({x})", lambda x, y, a: np.tanh(x)),
       ("one-missing", "1 is missing: -(1 - tanh({x})^2) alone",
        lambda x, y, a: np.tanh(x) ** 2 - 1),
       ("sign", "1 + (1 - tanh^2) in place of 1 - (1 - tanh^2)",
        lambda x, y, a: 2 - np.tanh(x) ** 2),
       ("y-squared", "{y}^2 in place of tanh({x})^2", lambda x, y, a: y * y)])  # fmt: skip
unary("softshrink", lambda x, a: np.sign(x) * np.maximum(abs(x) - a, 0), "(abs({x}) > lambda)",
      _shrink, SHRINK, 0.5, 1.0, 0.1, 0.2, 0.3, 0.25)  # fmt: skip
unary("hardshrink", lambda x, a: x * (abs(x) > a), "(abs({x}) > lambda)",
      _shrink, SHRINK, 0.5, 1.0, 0.1, 0.2, 0.3, 0.25)  # fmt: skip
unary("squared-relu", lambda x, a: np.maximum(x, 0) ** 2, "2 * {x} * ({x} > 0)")
unary("exp", lambda x, a: np.exp(x), "exp({x})", None,
      [("power-rule", "{x} exp({x} - 1): the rule of a power",
        lambda x, y, a: x * np.exp(x - 1))])  # fmt: skip
unary("expm1", lambda x, a: np.expm1(x), "exp({x})")
unary("log", lambda x, a: np.log(x), "1/{x}", lambda x, y, a: {"1/{x}": 1 / x},
      [("square", "1/{x}^2 in place of 1/{x}", lambda x, y, a: 1 / x**2)])  # fmt: skip
unary("log1p", lambda x, a: np.log1p(x), "1/(1+{x})",
      lambda x, y, a: {"1/(1+{x})": 1 / (1 + x)},
      [("one-missing", "1 + is missing: 1/{x}", lambda x, y, a: 1 / x)])  # fmt: skip
unary("sqrt", lambda x, a: np.sqrt(x), "1/2 * 1/{y}", lambda x, y, a: {"1/{y}": 1 / y},
      [("y-for-reciprocal", "{y}/2 in place of 1/(2 {y})", lambda x, y, a: y / 2),
       ("x-for-y", "1/(2 {x}) in place of 1/(2 {y})", lambda x, y, a: 1 / (2 * x)),
       ("reciprocal-root", "1/2 divided by the root of {y}", lambda x, y, a: 0.5 / np.sqrt(y)),
       ("twice-y", "2 {y} in place of 1/(2 {y})", lambda x, y, a: 2 * y)])  # fmt: skip
unary("reciprocal", lambda x, a: 1 / x, "-1 * 1/{x} * 1/{x}", lambda x, y, a: {"1/{x}": 1 / x},
      [("square-missing", "the square is missing: -1/{x}", lambda x, y, a: -1 / x),
       ("log", "the log of {x}: the integral", lambda x, y, a: np.log(abs(x))),
       ("square-of-x", "-{x}^2 in place of -1/{x}^2", lambda x, y, a: -x * x)])  # fmt: skip
unary("power",
      lambda x, p: x**p, "p * {x}^(p-1)", lambda x, y, p: {"p": p, "{x}^(p-1)": x ** (p - 1)},
      [("exponent", "the exponent is not lowered: p {x}^p", lambda x, y, p: p * x**p),
       ("exponent-raised", "the exponent is raised: p {x}^(p+1)", lambda x, y, p: p * x ** (p + 1)),
       ("factor-lowered", "(p - 1) in place of p", lambda x, y, p: (p - 1) * x ** (p - 1)),
       ("linear", "p {x}: the exponent p - 1 is missing", lambda x, y, p: p * x),
       ("integral", "the integral in place of the derivative",
        lambda x, y, p: x ** (p + 1) / (p + 1))], *POWERS)  # fmt: skip
unary("sin", lambda x, a: np.sin(x), "cos({x})", lambda x, y, a: {"cos({x})": np.cos(x)})
unary("cos", lambda x, a: np.cos(x), "-1 * sin({x})", lambda x, y, a: {"sin({x})": np.sin(x)})
unary("tan", lambda x, a: np.tan(x), "1 + {y} * {y}", None,
      [("cos", "1/cos({x}) in place of 1/cos({x})^2", lambda x, y, a: 1 / np.cos(x)),
       ("tanh-rule", "1 - {y}^2: the rule of tanh", lambda x, y, a: 1 - y * y)])  # fmt: skip
unary("sinh", lambda x, a: np.sinh(x), "cosh({x})", lambda x, y, a: {"cosh({x})": np.cosh(x)})
unary("arctan", lambda x, a: np.arctan(x), "1/(1+{x}^2)",
      lambda x, y, a: {"1/(1+{x}^2)": 1 / (1 + x * x)},
      [("square-missing", "the square is missing: 1/(1 + {x})", lambda x, y, a: 1 / (1 + x)),
       ("sign", "1/(1 - {x}^2) in place of 1/(1 + {x}^2)", lambda x, y, a: 1 / (1 - x * x)),
       ("root", "1/sqrt(1 + {x}^2) in place of 1/(1 + {x}^2)",
        lambda x, y, a: 1 / np.sqrt(1 + x * x)),
       ("tan", "1 + tan({x})^2: the rule of tan", lambda x, y, a: 1 / np.cos(x) ** 2)])  # fmt: skip
unary("abs", lambda x, a: abs(x), "sign({x})", lambda x, y, a: {"sign({x})": np.sign(x)})
unary("gaussian", lambda x, a: np.exp(-x * x), "-1 * 2 * {x} * {y}")
unary("gelu", lambda x, a: x * (1 + erf(x / np.sqrt(2))) / 2, "Phi({x}) + {x} * phi({x})",
      lambda x, y, a: {"Phi({x})": (1 + erf(x / np.sqrt(2))) / 2, "phi({x})": _phi(x)},
      [("phi-constant", "1/sqrt(2 pi) is missing in phi",
        lambda x, y, a: _phi_rule(x, np.sqrt(0.5), ROOT)),
       ("phi-two", "1/sqrt(pi) in place of 1/sqrt(2 pi): the inner derivative 1/sqrt(2) is missing",
        lambda x, y, a: _phi_rule(x, np.sqrt(0.5), np.sqrt(2))),
       ("phi-half", "1/2 is missing in the exponent of phi",
        lambda x, y, a: _phi_rule(x, np.sqrt(0.5), 1.0, 2.0)),
       ("phi-2pi", "1/(2 pi) in place of 1/sqrt(2 pi)",
        lambda x, y, a: _phi_rule(x, np.sqrt(0.5), 1 / ROOT)),
       ("erf-twice", "2/sqrt(pi) in place of 1/sqrt(2 pi): the factor of erf is not halved",
        lambda x, y, a: _phi_rule(x, np.sqrt(0.5), 2 * np.sqrt(2))),
       ("erf-root", "1/sqrt(2) is missing in erf", lambda x, y, a: _phi_rule(x, 1.0)),
       ("tanh-form", "the derivative of the tanh form",
        lambda x, y, a: _gelu_tanh(x, np.sqrt(2 / np.pi), 3.0)),
       ("sigmoid-form", "the derivative of {x} sigmoid(1.702 {x})",
        lambda x, y, a: (s := logistic(1.702 * x)) + 1.702 * x * s * (1 - s)),
       ("erf-alone", "erf in place of Phi = (1 + erf)/2",
        lambda x, y, a: erf(x / np.sqrt(2)) + x * _phi(x))])  # fmt: skip
unary("erf", lambda x, a: erf(x), "2/sqrt(pi) * exp(-{x}^2)",
      lambda x, y, a: {"2/sqrt(pi)": 2 / np.sqrt(np.pi), "exp(-{x}^2)": np.exp(-x * x)},
      [("half", "{x}^2/2 in place of {x}^2 in exp",
        lambda x, y, a: 2 / np.sqrt(np.pi) * np.exp(-x * x / 2))])  # fmt: skip


# Functions with a parameter a that is learned: one number, or one for each channel.


class Parametric:
    """y = f(x, a), with ``a`` along an axis of x."""

    def __init__(self, code: str, f: Any, fx: Any, fa: Any) -> None:
        self.__name__, self.axes = code, "..., ..."
        self.f, self.fx, self.fa = f, fx, fa

    def __call__(self, x: Array, a: Array, *, axis: int = 1) -> Any:
        b = self.along(x, a, axis)
        back = lambda dy: (dy * self.fx(x, b), self.summed(x, a, axis, dy * self.fa(x, b)))  # noqa: E731
        return self.f(x, b), back

    def along(self, x: Array, a: Array, axis: int) -> Array:
        if np.size(a) == 1:
            return np.reshape(a, ())
        if a.ndim != 1 or len(a) != x.shape[axis]:
            raise ValueError("one number for each channel")
        return a.reshape([-1 if k == axis % x.ndim else 1 for k in range(x.ndim)])

    def summed(self, x: Array, a: Array, axis: int, da: Array) -> Array:
        others = tuple(k for k in range(x.ndim) if np.size(a) == 1 or k != axis % x.ndim)
        return np.reshape(da.sum(axis=others), np.shape(a))


prelu = Parametric(
    "prelu",
    lambda x, a: np.where(x > 0, x, a * x),
    lambda x, a: np.where(x > 0, 1, a),
    lambda x, a: np.minimum(x, 0),
)
learned_swish = Parametric(
    "learned_swish",
    lambda x, a: x * logistic(a * x),
    lambda x, a: (s := logistic(a * x)) + a * x * s * (1 - s),
    lambda x, a: x * x * (s := logistic(a * x)) * (1 - s),
)
for op in (prelu, learned_swish):
    known(op, Layout(), Layout(order=(1, 0)), axis=(1, -1, 0))

# Rules of x, a and s = sigmoid(a x), for dx (0) and for da (1).
for op, place, code, says, rule in [
    (prelu, 0, "dx.missing", "the derivative is missing: it is d{y}", lambda x, a, s: x**0),
    (prelu, 0, "dx.slope-missing", "{a} is missing: the rule of ReLU", lambda x, a, s: x > 0),
    (prelu, 0, "dx.swapped", "the sides are swapped", lambda x, a, s: np.where(x > 0, a, 1)),
    (prelu, 0, "dx.mask-missing", "the mask is missing: {a} for all {x}", lambda x, a, s: x**0 * a),
    (prelu, 0, "dx.y-for-slope", "{a} {x} in place of {a} for negative {x}",
     lambda x, a, s: np.where(x > 0, 1, a * x)),
    (prelu, 0, "dx.slope-added", "{a} is added for all {x}", lambda x, a, s: (x > 0) + a),
    (prelu, 1, "da.mask-missing", "the mask is missing", lambda x, a, s: x),
    (prelu, 1, "da.inverted", "the mask is inverted", lambda x, a, s: np.maximum(x, 0)),
    (prelu, 1, "da.x-missing", "{x} is missing: it is the sum of d{y} where {x} < 0",
     lambda x, a, s: x <= 0),
    (prelu, 1, "da.a-too", "a factor {a} too much", lambda x, a, s: a * np.minimum(x, 0)),
    (prelu, 1, "da.abs", "abs({x}) in place of {x}", lambda x, a, s: np.maximum(-x, 0)),
    (learned_swish, 0, "dx.s-alone", "sigmoid({a} {x}) alone: {a} {x} s (1 - s) is missing",
     lambda x, a, s: s),
    (learned_swish, 0, "dx.a-missing", "{a} is missing in {a} {x} s (1 - s)",
     lambda x, a, s: s + x * s * (1 - s)),
    (learned_swish, 0, "dx.x-missing", "{x} is missing in {a} {x} s (1 - s)",
     lambda x, a, s: s + a * s * (1 - s)),
    (learned_swish, 0, "dx.s-missing", "the term s is missing",
     lambda x, a, s: a * x * s * (1 - s)),
    (learned_swish, 0, "dx.1-s-missing", "1 - s is missing", lambda x, a, s: s + a * x * s),
    (learned_swish, 0, "dx.a-in-s", "{a} is missing in the sigmoid",
     lambda x, a, s: (t := logistic(x)) + a * x * t * (1 - t)),
    (learned_swish, 1, "da.square-missing", "{x} in place of {x}^2",
     lambda x, a, s: x * s * (1 - s)),
    (learned_swish, 1, "da.1-s-missing", "1 - s is missing", lambda x, a, s: x * x * s),
    (learned_swish, 1, "da.x-missing", "{x}^2 is missing", lambda x, a, s: s * (1 - s)),
    (learned_swish, 1, "da.a-too", "a factor {a} too much",
     lambda x, a, s: a * x * x * s * (1 - s)),
]:  # fmt: skip

    @mistake(f"{op.__name__.replace('_', '-')}.{code}", of=op, says=says)
    def wrong(
        args: Any, dy: Array, axis: int = 1, op: Any = op, place: int = place, rule: Any = rule
    ) -> dict[int, Array]:
        x, a = args
        b = op.along(x, a, axis)
        d = dy * rule(x, b, logistic(b * x))
        return {1: op.summed(x, a, axis, d)} if place else {0: d}

"""Wrong backwards of softmax with cross-entropy, with their own plain forward pass."""

import numpy as np

from mutants import wrong


def _softmax(logits):
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def _loss(p, labels):
    return -np.log(p[np.arange(len(p)), labels]).mean()


def _one_hot(labels, p):
    return np.eye(p.shape[1])[labels]


@wrong(
    "softmax_cross_entropy",
    "N K, int N",
    says=r"(?<![*\w])(N|logits\.shape\[0\]|len\(logits\)) times too large",
)
def forgets_the_mean_over_the_batch(logits, labels):
    """The loss is a mean, and its 1/N is missing in the gradient."""
    p = _softmax(logits)

    def backward(dloss):
        return (p - _one_hot(labels, p)) * dloss

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy",
    "N K, int N",
    says=r"(?<![*\w])(N|logits\.shape\[0\]|len\(logits\)) times too small",
)
def divides_by_the_batch_twice(logits, labels):
    """The gradient is divided by N, and by N again at the end."""
    p = _softmax(logits)

    def backward(dloss):
        dlogits = (p - _one_hot(labels, p)) / len(p)
        return dlogits * dloss / len(p)

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy", "N K, int N", says=r"(?<![*\w])(K|logits\.shape\[1\]) times too small"
)
def divides_by_all_entries(logits, labels):
    """The gradient is divided by N*K, the number of logits, in place of N."""
    p = _softmax(logits)

    def backward(dloss):
        return (p - _one_hot(labels, p)) * dloss / logits.size

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy",
    "N K, int N",
    says=r"1/K in place of 1/N|K in place of N|(?<![*\w])N/K times the right one",
)
def divides_by_the_classes(logits, labels):
    """The gradient is divided by K, the number of classes, in place of N."""
    p = _softmax(logits)

    def backward(dloss):
        return (p - _one_hot(labels, p)) * dloss / logits.shape[1]

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="one-hot is missing")
def forgets_the_one_hot(logits, labels):
    """The gradient is p/N: nothing is subtracted at the label."""
    p = _softmax(logits)

    def backward(dloss):
        return p * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="one-hot (is added|has the wrong sign)")
def adds_the_one_hot(logits, labels):
    """1 is added at the label, where it is subtracted."""
    p = _softmax(logits)

    def backward(dloss):
        dlogits = p.copy()
        dlogits[np.arange(len(p)), labels] += 1
        return dlogits * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="softmax is applied twice")
def applies_softmax_twice(logits, labels):
    """The probabilities are put through softmax again in backward."""
    p = _softmax(logits)

    def backward(dloss):
        return (_softmax(p) - _one_hot(labels, p)) * dloss / len(p)

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy",
    "N K, int N",
    says="derivative of the softmax (is applied|counts) twice|softmax is applied twice",
)
def sends_the_difference_through_the_softmax_again(logits, labels):
    """P - one-hot is multiplied by p (1 - p), though it has the softmax in it already."""
    p = _softmax(logits)

    def backward(dloss):
        return (p - _one_hot(labels, p)) * p * (1 - p) * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="derivative of the softmax is missing")
def stops_at_the_probabilities(logits, labels):
    """The gradient is -1/p at the label, which is that of p and not of the logits."""
    p = _softmax(logits)

    def backward(dloss):
        return -_one_hot(labels, p) / p * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="the sign is wrong")
def subtracts_p_from_the_one_hot(logits, labels):
    """The gradient is one-hot - p, which is the way down and not the gradient."""
    p = _softmax(logits)

    def backward(dloss):
        return (_one_hot(labels, p) - p) * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="label is shifted")
def counts_the_labels_from_one(logits, labels):
    """1 is subtracted at label - 1, as if the classes were numbered from 1."""
    p = _softmax(logits)

    def backward(dloss):
        dlogits = p.copy()
        dlogits[np.arange(len(p)), labels - 1] -= 1
        return dlogits * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="(dy|dloss) is ignored")
def ignores_dloss(logits, labels):
    """The gradient does not depend on dloss, as if the loss were always the end."""
    p = _softmax(logits)

    def backward(dloss):
        return (p - _one_hot(labels, p)) / len(p)

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy",
    "N K, int N",
    says=r"one-hot .*(every row|all rows|whole column|every sample|all samples|wrong axis)",
)
def subtracts_one_in_whole_columns(logits, labels):
    """P[:, labels] -= 1 changes the columns of all labels in every row."""
    p = _softmax(logits)

    def backward(dloss):
        dlogits = p.copy()
        dlogits[:, labels] -= 1
        return dlogits * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N N, int N", says=r"transposed|one-hot .*(wrong axis|axes)")
def writes_the_one_hot_at_label_and_row(logits, labels):
    """1 is subtracted at [label, row] in place of [row, label]; N = K hides the mistake."""
    p = _softmax(logits)

    def backward(dloss):
        dlogits = p.copy()
        dlogits[labels, np.arange(len(p))] -= 1
        return dlogits * dloss / len(p)

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy", "N K, int N", says="softmax.* over (N|the batch|axis 0|the wrong axis)"
)
def takes_the_softmax_over_the_batch(logits, labels):
    """Backward normalises each column over the batch, where each row is a distribution."""
    p = _softmax(logits)

    def backward(dloss):
        over_batch = _softmax(logits.T).T
        return (over_batch - _one_hot(labels, p)) * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="logits in place of|softmax is missing")
def takes_the_logits_for_probabilities(logits, labels):
    """The one-hot is subtracted from the logits, where the probabilities are needed."""
    p = _softmax(logits)

    def backward(dloss):
        return (logits - _one_hot(labels, p)) * dloss / len(p)

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy",
    "N K, int N",
    says="exp in place of|not normali[sz]ed|division by the sum is missing",
)
def forgets_to_normalise_the_probabilities(logits, labels):
    """Exp(a) is not divided by its sum in backward."""
    p = _softmax(logits)

    def backward(dloss):
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (exp - _one_hot(labels, p)) * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says=r"one-hot is (?<![*\w])N times too large")
def divides_p_alone_by_the_batch(logits, labels):
    """p/N - 1 at the label: the brackets are missing, so the one-hot lacks its 1/N."""
    p = _softmax(logits)

    def backward(dloss):
        return (p / len(p) - _one_hot(labels, p)) * dloss

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy",
    "N K, int N",
    says=r"the (softmax|p) is N times too large",
)
def divides_the_one_hot_alone_by_the_batch(logits, labels):
    """P - 1/N at the label: the probabilities are not divided by N."""
    p = _softmax(logits)

    def backward(dloss):
        dlogits = p.copy()
        dlogits[np.arange(len(p)), labels] -= 1 / len(p)
        return dlogits * dloss

    return _loss(p, labels), backward


@wrong(
    "softmax_cross_entropy",
    "N K, int N",
    says=r"only the (class of the )?label|other classes|other logits",
)
def gives_a_gradient_to_the_label_alone(logits, labels):
    """Only the logit of the right class gets p - 1; the other classes get zero."""
    p = _softmax(logits)

    def backward(dloss):
        rows = np.arange(len(p))
        dlogits = np.zeros_like(p)
        dlogits[rows, labels] = (p[rows, labels] - 1) * dloss / len(p)
        return dlogits

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says="only sample 0 counts")
def sends_back_the_first_sample_only(logits, labels):
    """The first sample gets its gradient; the rest of the batch stays zero."""
    p = _softmax(logits)

    def backward(dloss):
        dlogits = np.zeros_like(p)
        dlogits[0] = (p[0] - _one_hot(labels, p)[0]) * dloss / len(p)
        return dlogits

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says=r"(?<![*\w])2 times too large")
def has_the_factor_of_a_squared_error(logits, labels):
    """The gradient is 2 (p - one-hot)/N: the 2 belongs to the squared error."""
    p = _softmax(logits)

    def backward(dloss):
        return 2 * (p - _one_hot(labels, p)) * dloss / len(p)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says=r"averaged over N|summed over N too often")
def averages_the_gradient_over_the_batch(logits, labels):
    """Every row gets the mean gradient of the batch."""
    p = _softmax(logits)

    def backward(dloss):
        mean = (p - _one_hot(labels, p)).mean(axis=0) * dloss / len(p)
        return np.tile(mean, (len(p), 1))

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says=r"has shape|wrong shape|transposed")
def returns_the_gradient_with_classes_first(logits, labels):
    """The gradient has the shape (K, N)."""
    p = _softmax(logits)

    def backward(dloss):
        return ((p - _one_hot(labels, p)) * dloss / len(p)).T.copy()

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says=r"raises")
def takes_the_shape_of_dloss_and_crashes(logits, labels):
    """Backward reads N from dloss, which is one number and has no length."""
    p = _softmax(logits)

    def backward(dloss):
        return (p - _one_hot(labels, p)) * dloss / len(dloss)

    return _loss(p, labels), backward


@wrong("softmax_cross_entropy", "N K, int N", says=r"(gives|has|returns) 2 gradients")
def gives_a_gradient_to_the_labels(logits, labels):
    """A second gradient, None for the labels, is returned; labels have no gradient."""
    p = _softmax(logits)

    def backward(dloss):
        return (p - _one_hot(labels, p)) * dloss / len(p), None

    return _loss(p, labels), backward

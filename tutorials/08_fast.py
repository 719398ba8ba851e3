r"""
8. Making it fast
=================

Forward and backward, an SE block does some six additions and products with each value of a feature
map. That is very little, and still the block takes time. Where does it go, and how fast can a block
be at best?

You need: chapter 4.

After this chapter you can

- write the block in loops, and compare it with NumPy before you time it;
- count the moves of data of a block, and tell how fast it can be at best;
- measure the time of several programs so that a slow spell of the machine hits all of them;
- find the steps in which the time goes, and name ways to save some of it, memory among them.
"""

import time
from ctypes import CDLL
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from course import QUICK, show

from numpy_se import channel_scale, excite, fused, global_avg_pool, squeeze_excite
from numpy_se.blas import one_blas_thread

rng = np.random.default_rng(0)
ROUNDS = 3 if QUICK else 25
C, R, H, W = 64, 4, 28, 28


def problem(N, H=H, W=W):
    """Draw x, w1, w2 and dy for a block with C channels."""
    shapes = (N, C, H, W), (R, C), (C, R), (N, C, H, W)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


# %%
# The block in loops
# ------------------
#
# Chapters 1 to 4 give the formulas for one entry. Four loops over all entries compute them. The
# gates between them are N·C numbers, few enough to leave them to the package.


def by_loops(x, w1, w2, dy):
    """The SE block and its gradients, one entry after the other."""
    N, C, H, W = x.shape
    z, ds = np.zeros((2, N, C), x.dtype)
    y, dx = np.empty_like(x), np.empty_like(x)
    for n, c, h, w in np.ndindex(x.shape):
        z[n, c] += x[n, c, h, w] / (H * W)
    s, back_excite = excite(z, w1, w2)
    for n, c, h, w in np.ndindex(x.shape):
        y[n, c, h, w] = s[n, c] * x[n, c, h, w]
    for n, c, h, w in np.ndindex(x.shape):
        ds[n, c] += dy[n, c, h, w] * x[n, c, h, w]
    dz, dw1, dw2 = back_excite(ds)
    for n, c, h, w in np.ndindex(x.shape):
        dx[n, c, h, w] = s[n, c] * dy[n, c, h, w] + dz[n, c] / (H * W)
    return y, dx, dw1, dw2


# %%
# The same block in NumPy is ``squeeze_excite``: one line of NumPy for each of these loops. A third
# one is ``fused.squeeze_excite``, about which more below. Before anything is timed, the results are
# compared. A program that is fast and wrong is not fast:


def both_passes(block, x, w1, w2, dy):
    """Forward and backward of a block in the form of the package."""
    y, backward = block(x, w1, w2)
    return y, *backward(dy)


blocks = {
    "loops": by_loops,
    "NumPy": partial(both_passes, squeeze_excite),
    "fused": partial(both_passes, fused.squeeze_excite),
}
small = problem(2, 7, 5)
wanted = both_passes(squeeze_excite, *(array.astype(np.float64) for array in small))
for name, block in blocks.items():
    pairs = zip(block(*small), wanted, strict=True)
    errors = [np.abs(result - want).max() / np.abs(want).max() for result, want in pairs]
    assert max(errors) < 1e-5
    print(f"{name:8} largest relative error {max(errors):.0e}")

# %%
# How to measure
# --------------
#
# A machine does other things too, and is slower for a while. So each contender is timed once in
# every round, in a random order, and we take the median of the rounds. A slow spell then hits all
# of them. Half of the rounds lie between the *quartiles*: they say how much a round can differ. The
# call before the timed one brings the data into the *cache*, the small and fast memory of the
# processor, as far as they fit. In training, the layer before has just written them there. BLAS,
# the library behind NumPy's matrix products, gets one thread, as all the rest here has one:


def quartiles(contenders):
    """Time every contender in each round; give lower quartile, median and upper one, in seconds."""
    seconds = {name: [] for name in contenders}
    with one_blas_thread():
        for _ in range(ROUNDS):
            for name in rng.permutation(list(contenders)):
                contenders[name]()
                start = time.perf_counter()
                contenders[name]()
                seconds[name].append(time.perf_counter() - start)
    return {name: np.quantile(times, [0.25, 0.5, 0.75]) for name, times in seconds.items()}


def medians(contenders):
    """Give the median time of each contender in seconds."""
    return {name: median for name, (_, median, _) in quartiles(contenders).items()}


x, w1, w2, dy = arrays = problem(1)
times = quartiles({name: partial(block, *arrays) for name, block in blocks.items()})
print("ns for each value of x:  median, and the quartiles")
for name, seconds in times.items():
    low, median, high = seconds / x.size * 1e9
    print(f"{name:24} {median:6.1f}  {low:6.1f} to {high:6.1f}")

# %%
# The loops take hundreds of times as long. In Python, each of their steps finds out anew
# what ``x``, ``[n, c, h, w]`` and ``*`` mean. NumPy finds it out once for a whole array.
#
# The limit
# ---------
#
# How far can this go? Whatever a program does, it must read x and write y. Later it must read dy
# and x, and write dx. The loss lies in between, so the two halves cannot be joined. That makes
# *five moves* of an array as large as x. ``np.copyto`` does two moves, one read and one write, and
# nothing else. So we take as the limit of a block
#
# .. math:: t_\text{limit} = \tfrac{5}{2} \, t_\text{copy}
#
# Where the time goes
# -------------------
#
# Here is every step of ``squeeze_excite``, timed alone. The moves are counted by hand: a sum reads
# one array, a product with the gates reads one and writes one.

N = 8 if QUICK else 128
x, w1, w2, dy = arrays = problem(N)
z, back_squeeze = global_avg_pool(x)
s, back_excite = excite(z, w1, w2)
y, back_scale = channel_scale(x, s)
dx, ds = back_scale(dy)
dz, *_ = back_excite(ds)
dx_squeeze = back_squeeze(dz)

steps = {  # name: moves, what is run
    "squeeze: z": (1, lambda: global_avg_pool(x)),
    "excite: s": (0, lambda: excite(z, w1, w2)),
    "scale: y": (2, lambda: channel_scale(x, s)),
    "ds, and scale path of dx": (4, lambda: back_scale(dy)),
    "dz, dw1, dw2": (0, lambda: back_excite(ds)),
    "squeeze path of dx": (1, lambda: back_squeeze(dz)),
    "add both paths": (3, lambda: np.add(dx, dx_squeeze, out=dx)),
}
times = medians({name: run for name, (_, run) in steps.items()} | {"": lambda: np.copyto(y, x)})
move = times.pop("") / 2

print(f"{'':26}moves      ms   ms of as many moves by np.copyto")
for name, (moves, _) in steps.items():
    print(f"{name:26}{moves:5} {times[name] * 1e3:7.2f} {moves * move * 1e3:7.2f}")
total, excitation = sum(times.values()), times["excite: s"] + times["dz, dw1, dw2"]
print(f"all steps {total * 1e3:.2f} ms, of which excite and its gradients {excitation / total:.1%}")

figure, axis = plt.subplots(figsize=(7.2, 3.2))
names = list(steps)[::-1]
axis.barh(names, [times[name] * 1e3 for name in names], color="C5", label="measured")
copies = [steps[name][0] * move * 1e3 for name in names]
axis.plot(copies, names, "|", color="black", markersize=16, markeredgewidth=2)
axis.plot([], [], "|", color="black", markersize=10, label="as many moves by np.copyto")
axis.set_xlabel(f"time in ms, for x of {x.nbytes / 2**20:.0f} MiB")
axis.grid(False, axis="y")
axis.legend(loc="upper right")
axis.set_title("The time goes into moving the maps, not into the weights")
show(figure, "08_fast_passes")

# %%
# The two steps that have all the weights cost next to nothing, as they work on N·C numbers. All the
# others move data: eleven moves, where five are needed.
#
# The copy is a rough measure, and so is the limit. An addition in place can beat it: it writes
# where it has just read, and memory that is only written may have to be fetched first.
#
# Fewer moves
# -----------
#
# ``fused.squeeze_excite`` computes the same and saves time in three ways.
#
# *Chunks.* A few samples take all steps before the next ones begin. The squeeze has just read their
# x, so the scale finds it in the cache. This is allowed because the samples of a batch do not mix.
# (With a batch norm between the steps, they would.)
#
# *No array for the squeeze path.* ``dx_squeeze`` holds one number for each channel, repeated over
# all pixels. It need not be written out: broadcasting adds the (N, C) numbers in place.
#
# That saves memory, too. In training, ``y`` and ``dx`` are freed and made anew in every step. The
# system takes the memory back, and must clear it before it hands it out again. The first call of
# any operation of ``numpy_se`` asks the usual C library of Linux, glibc, to keep some 64 MiB. Two
# arrays as large as x fit into it up to x of 32 MiB, and three, which ``squeeze_excite`` holds at
# once, up to 21 MiB. What that costs is measured below.
#
# *Faster routines.* NumPy has several routines for each of the two sums over the pixels. Which one
# is fast depends on the length of a row, the H·W pixels of a channel:


def ways(x, dy):
    """Time the ways to write the two sums, in ns for each value of x."""
    rows, drows = (a.reshape(*a.shape[:2], -1) for a in (x, dy))
    ones = np.ones(rows.shape[2], x.dtype)
    results = {
        "z   x.sum(axis=(2, 3))": lambda: x.sum(axis=(2, 3)),
        "z   rows @ ones": lambda: rows @ ones,
        "ds  (dy * x).sum(axis=(2, 3))": lambda: (dy * x).sum(axis=(2, 3)),
        "ds  einsum": lambda: np.einsum("ncp,ncp->nc", drows, rows),
        "ds  vecdot": lambda: np.vecdot(drows, rows),
    }
    return {way: t / x.size * 1e9 for way, t in medians(results).items()}


sizes = {"7 x 7": (7, 7), "28 x 28": (28, 28)}
columns = []
for h, w in sizes.values():
    many_x, *_, many_dy = problem(N * 28 * 28 // (h * w), h, w)  # as many values for all sizes
    columns.append(ways(many_x, many_dy))
print(f"{'ns for each value of x':32}" + "".join(f"{size:>9}" for size in sizes))
for way in columns[0]:
    print(f"{way:32}" + "".join(f"{column[way]:9.2f}" for column in columns))

# %%
# A product of the rows with a vector of ones is a sum, too. It makes the same single move, and BLAS
# does it with other instructions. Where rows are short, NumPy's sum begins a new loop for every few
# values, and BLAS gains; compare the two columns. The product ``dy * x`` followed by a sum writes
# an array that nobody needs; ``einsum`` and ``vecdot`` do not. So two things count, and neither is
# less arithmetic: fewer moves, and the right routine to make them.
#
# How large should a chunk be?
# ----------------------------
#
# A small chunk stays in the cache. But every chunk asks Python for all steps again:

default = fused.se.CHUNK


def in_chunks(size):
    """Run the fused block with chunks of ``size`` bytes of x."""
    fused.se.CHUNK = size
    return blocks["fused"](*arrays)


exponents = (20, 23) if QUICK else (18, 19, 20, 21, 22, 23, 25)
times = medians({str(k): partial(in_chunks, 2**k) for k in exponents})
fused.se.CHUNK = default
print("KiB of x in a chunk    ns for each value of x")
for k, seconds in times.items():
    print(f"{2 ** int(k) // 1024:19}    {seconds / x.size * 1e9:22.2f}")

# %%
# Small chunks lose clearly. What is lost by large ones depends on the size of the cache and on what
# else runs on the machine; it can be little.
#
# How close do we come?
# ---------------------
#
# Here are all blocks beside the limit, for batches of 1, 2, 4, ... samples. The loops are timed at
# one size only, as they take the same time for each value at all sizes. And a third curve tells
# what is due to memory: the same ``squeeze_excite``, while glibc may keep 1 GiB of what is freed.
# (With another C library, the two curves are one.) The bands are the quartiles.

try:
    mallopt = CDLL(None).mallopt
except (AttributeError, OSError, TypeError):
    mallopt = None  # this is not glibc


def while_keeping(mebibytes, run):
    """Run with another limit of what glibc keeps: M_TRIM_THRESHOLD, its parameter -1."""
    if mallopt:
        mallopt(-1, mebibytes * 2**20)
    return run()


batches = [1, 2, 4] if QUICK else [1, 2, 4, 8, 16, 32, 64, 128]


def contenders(N):
    """The blocks in NumPy, and the copy for the limit, on a batch of N samples."""
    arrays = x, *_ = problem(N)
    y = np.zeros_like(x)
    return {
        "NumPy": partial(while_keeping, 64, partial(blocks["NumPy"], *arrays)),
        "NumPy, kept": partial(while_keeping, 1024, partial(blocks["NumPy"], *arrays)),
        "fused": partial(while_keeping, 64, partial(blocks["fused"], *arrays)),
        "limit": partial(np.copyto, y, x),
    }


curves = {name: [] for name in contenders(1)}
for N in batches:
    times = quartiles(contenders(N))
    times["limit"] *= 5 / 2
    for name, curve in curves.items():
        curve.append(times[name] / (N * C * H * W) * 1e9)
curves = {name: np.array(curve) for name, curve in curves.items()}  # (batches, 3)

arrays = problem(1, 14, 14)
loops = medians({"loops": partial(by_loops, *arrays)})["loops"] / arrays[0].size * 1e9
mebibytes = [N * x[0].nbytes / 2**20 for N in batches]
print("ns for each value of x: median, and quartiles in brackets")
print("MiB of x" + "".join(f"{name:>19}" for name in curves))
for place, size in enumerate(mebibytes):
    cells = (curve[place] for curve in curves.values())
    print(f"{size:8.1f}" + "".join(f"{m:7.2f} ({a:4.2f}-{b:4.2f})" for a, m, b in cells))
print(f"loops: {loops:.0f}")

figure, axis = plt.subplots(figsize=(7.2, 3.8))
labels = {
    "NumPy": "NumPy",
    "NumPy, kept": "NumPy, memory kept",
    "fused": "NumPy, fused",
    "limit": "limit: five moves",
}
for (name, curve), style in zip(curves.items(), ("o-", "^-", "s-", "--"), strict=True):
    low, median, high = curve.T
    (line,) = axis.plot(mebibytes, median, style, label=labels[name])
    axis.fill_between(mebibytes, low, high, color=line.get_color(), alpha=0.25, linewidth=0)
axis.annotate(
    f"loops in Python: {loops:,.0f} ↑", (0.5, 0.97), xycoords="axes fraction", ha="center", va="top"
)
axis.set(xscale="log", xlabel="size of x in MiB", ylabel="ns for each value of x", ylim=(0, None))
axis.set_xticks(mebibytes, [f"{size:.2g}" for size in mebibytes])
axis.minorticks_off()
figure.legend(loc="outside lower center", ncols=4)
axis.set_title("Loops to NumPy is the large step; fewer moves bring a smaller one")
show(figure, "08_fast")

# %%
# Where the first two curves part, the time is not that of the block. The system hands memory out in
# *pages*, and clears each of them when it is first written: a *page fault*. They can be counted,
# here for the largest x, and for both blocks with both limits. (A page has 4 KiB. Linux can join
# 512 of them to one of 2 MiB, so a few faults may stand for much memory.)

try:
    from resource import RUSAGE_SELF, getrusage
except ImportError:
    getrusage = None  # this is not a Unix


def faults(run):
    """Count the page faults of a call."""
    run()
    before = getrusage(RUSAGE_SELF).ru_minflt
    run()
    return getrusage(RUSAGE_SELF).ru_minflt - before


arrays = problem(batches[-1])
runs = {
    f"{name}, {kept} MiB": partial(while_keeping, kept, partial(blocks[name], *arrays))
    for name in ("NumPy", "fused")
    for kept in (64, 1024)
}
times = medians(runs)
print("block, glibc keeps  ns for each value of x  page faults")
for name, run in runs.items():
    count = f"{faults(run):13,}" if getrusage else ""
    print(f"{name:18}{times[name] / arrays[0].size * 1e9:24.2f}{count}")
for kept in (64, 1024):
    gain = times[f"NumPy, {kept} MiB"] / times[f"fused, {kept} MiB"]
    print(f"where glibc keeps {kept:4} MiB, fused is {gain:.2f} times as fast as NumPy")

# %%
# The factor in the last line is what the steps gain. If that above it is larger, the rest of it is
# memory that was given back and cleared again.
#
# From the loops to NumPy is the large step, from NumPy to fused a small one. Where x is small, the
# limit is out of reach: five moves within the cache take so little time that all the rest counts.
# That is the sums, a new loop for each row, and the calls. The curves rise to the left, because a
# call costs the same for few values as for many. What all calls of a block cost can be seen on a
# map of one pixel:

pixel = problem(1, 1, 1)
calls = medians({name: partial(block, *pixel) for name, block in blocks.items()})
for name in ("NumPy", "fused"):
    print(f"{name}: {calls[name] * 1e6:.0f} µs for all calls")

# %%
# Why NumPy can keep up with a framework
# --------------------------------------
#
# Nothing in a block happens in Python for each *value*. Python is asked a few dozen times for each
# *block*, and each time a compiled loop runs over a whole array. A framework has the same memory,
# the same kind of loops and the same kind of BLAS. Run operation by operation, it makes about as
# many moves as our composed block, and more of them than the fused one. It wins where it makes
# fewer: a compiler that joins several steps into one loop can come closer to the limit than NumPy,
# which has to finish one step before it begins the next. ``benchmarks/se_block.py`` measures it,
# beside PyTorch and JAX, each in a process of its own.
#
# Questions
# ---------
#
# 1. A friend writes the block in C. By which factor can it be faster than the fused one, at most?
# 2. ``ds`` needs x once more. Why not compute it in the forward pass, when x is in the cache?
# 3. What do you expect for float64? Change ``problem`` and see.
# 4. Two cores: ``with numpy_se.parallel.workers(2):`` around the fused block. Is the time halved?
# 5. The scale of y could wait: the next layer could multiply by s while it reads. What is saved?
#
# Answers
# -------
#
# 1. By about the time of the fused block divided by the limit, at the size that matters to your
#    friend. The table above the last figure has both. Better code cannot beat the memory; smaller
#    numbers can.
# 2. ``ds`` is the sum of dy times x, and dy is known only when the loss is.
# 3. Twice the bytes, so about twice the time, for the blocks and for the limit. It is less where x
#    is small and the calls count, and more where the arrays have grown out of the cache.
# 4. At best. Both cores share the memory and one cache, and where x is large, a single core may
#    already take a good part of what the memory can give. An x below ``fused.se.SMALL`` bytes is
#    not shared at all: to wake a thread costs more than it saves.
# 5. The write of y, one of five moves, and the memory for y; the next layer reads x instead of y.
#    The price: the block is no longer a piece of its own, with an output to look at and to check.

"""Exercises answer back: right answers pass, usual slips each get a word of their own."""

import numpy as np
import pytest

from helpers import exercises
from helpers.cells import sigmoid, softmax
from helpers.exercises import EXERCISES

NOTEBOOKS = [f"{k:02}" for k in range(1, 9)]


def all_names():
    for number in NOTEBOOKS:
        exercises._find(f"{number}.1")
    return sorted(EXERCISES)


def states(x, W, U, b, squash=np.tanh):
    h, kept = np.zeros(len(U)), []
    for word in x:
        h = squash(word @ W + h @ U + b)
        kept.append(h)
    return np.array(kept)


def last_step_only(x, h, d_hidden, W, U):
    return every_step(x, h, np.vstack([np.zeros_like(d_hidden[:-1]), d_hidden[-1:]]), W, U)


def every_step(x, h, d_hidden, W, U, back=1.0, slope=True):
    dW, dU, db, dh = np.zeros_like(W), np.zeros_like(U), np.zeros(len(U)), np.zeros_like(h)
    for t in reversed(range(len(x))):
        dh[t + 1] += d_hidden[t]
        da = dh[t + 1] * (1 - h[t + 1] ** 2 if slope else 1)
        dW, dU, db = dW + np.outer(x[t], da), dU + np.outer(h[t], da), db + da
        dh[t] = back * da @ U.T
    return dW, dU, db


def coupled(x, h, c, W, U, b, old=None, new=None, show=None):
    a_f, a_g, a_o = np.split(x @ W + h @ U + b, 3)
    f, g, o = sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    new_c = (f if old is None else old(f)) * c + (1 - f if new is None else new(f)) * g
    return o * np.tanh(new_c if show is None else c), new_c


def thrifty(steps, dh, dc, W, U, slip=True, both=True, kept=True):
    dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros(len(W[0]))
    n = len(U)
    for x, h, c, i, f, g, o, new_c in reversed(steps):
        da, came = np.empty(4 * n), dh
        da[3 * n :] = dh * np.tanh(new_c) * o * (1 - o if both else 1)
        dh = da[3 * n :] @ U[:, 3 * n :].T
        dc = dc + (dh if slip else came) * o * (1 - np.tanh(new_c) ** 2)
        da[:n], da[n : 2 * n], da[2 * n : 3 * n] = (
            dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2),
        )  # fmt: skip
        dh = dh + da[: 3 * n] @ U[:, : 3 * n].T
        dW, dU, db, dc = dW + np.outer(x, da), dU + np.outer(h, da), db + da, dc * f if kept else dc
    return dW, dU, db


def cut(ids, batch_size, seq_len, ahead=1, shuffled=False):
    long = (len(ids) - 1) // (batch_size * seq_len) * seq_len
    if shuffled:
        return tuple(
            ids[k : k + batch_size * long].reshape(-1, batch_size, seq_len) for k in (0, ahead)
        )
    return tuple(
        ids[k : k + batch_size * long].reshape(batch_size, -1, seq_len).swapaxes(0, 1)
        for k in (0, ahead)
    )


def pairs(train, held_out, size, add=1.0, axis=1):
    counts = np.full((size, size), add)
    np.add.at(counts, (train[:-1], train[1:]), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = counts / counts.sum(axis=axis, keepdims=True)
        return -np.log2(p[held_out[:-1], held_out[1:]]).mean()


def adam(weight, gradients, rate, b1, b2, correct=True, root=True, sign=-1):
    m = v = 0
    for k, g in enumerate(gradients, start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        m_hat, v_hat = (m / (1 - b1**k), v / (1 - b2**k)) if correct else (m, v)
        weight = weight + sign * rate * m_hat / ((np.sqrt(v_hat) if root else v_hat) + 1e-7)
    return weight


def min_p(p, share, renormalise=True):
    kept = np.where(p >= share * p.max(), p, 0)
    return kept / (kept.sum() if renormalise else 1)


def surprise_at(logits, T):
    return -(softmax(logits / T) * np.log2(softmax(logits))).sum()


def penalise(logits, recent, penalty, each=np.unique, sign=1):
    lowered = logits.copy()
    np.subtract.at(lowered, each(recent), sign * penalty)
    return lowered


def stop(bits, patience, what="best"):
    best = 0
    for k in range(len(bits)):
        best = k if bits[k] < bits[best] else best
        if k - best >= patience:
            break
    return {"best": best, "end": k, "score": bits[best]}[what]


def right_after(own, other):
    return (np.cumsum(own, axis=1) < np.cumsum(other, axis=1)).mean(axis=0)


def drop(h, share, rng, factor=None):
    stays = rng.random(h.shape) >= share
    return h * stays * (1 / (1 - share) if factor is None else factor(share))


def pairs_won(values, labels, tie=0.5):
    true, false = values[labels][:, None], values[~labels]
    return ((true > false) + tie * (true == false)).mean()


def at_mean(states, units, axis=(0, 1), copy=np.copy):
    changed = copy(states)
    changed[..., units] = states[..., units].mean(axis=axis, keepdims=True)
    return changed


# By exercise: a right answer, and wrong ones that must each be told apart from the others.
CASES = {
    "01.1": (0.65, [0.825, 0.6, 0.5625]),
    "01.2": ("47.5 %", [0.4, 0.65, 0.5]),
    "01.3": (states, [
        lambda x, W, U, b: np.tanh(x @ W + b),
        lambda x, W, U, b: states(x, W, U, b, squash=lambda a: a),
        lambda x, W, U, b: states(x, W, U.T, b),
        lambda x, W, U, b: np.vstack([np.zeros((1, 3)), states(x, W, U, b)]),
        lambda x, W, U, b: states(x, W, U, b)[-1],
    ]),
    "01.4": ([1.0, 1.5], [(2, 1), (2, 0.9), (2, -2), (0, 2), (-2, 2)]),
    "02.1": (66, [65, 30, 44]),
    "02.2": (-0.1505, [-0.301, 0.1505, -0.3466, 0.7071]),
    "02.3": (1.25, [1.0, 1.2, 0.8]),
    "02.4": (
        lambda gs, most: [g * min(1, most / np.sqrt(sum((g**2).sum() for g in gs))) for g in gs], [
        lambda gs, most: [g.clip(-most, most) for g in gs],
        lambda gs, most: [g * most / np.linalg.norm(g) for g in gs],
        lambda gs, most: gs,
        lambda gs, most: [g * most / np.sqrt(sum((g**2).sum() for g in gs)) for g in gs],
    ]),
    "02.5": (every_step, [
        last_step_only,
        lambda *given: every_step(*given, back=0.0),
        lambda *given: every_step(*given, slope=False),
    ]),
    "03.1": (lambda *given: thrifty(*given, slip=False), [
        thrifty,
        lambda *given: thrifty(*given, slip=False, both=False),
        lambda *given: thrifty(*given, slip=False, kept=False),
        lambda *given: thrifty(*given, slip=False)[:2],
    ]),
    "03.2": (4.97, [0.9931, 0.0, 2.158]),
    "03.3": (221_952, [295_936, 73_984, 221_184, 147_968]),
    "03.4": (coupled, [
        lambda *given: coupled(*given, new=lambda f: f),
        lambda *given: coupled(*given, old=lambda f: 1 - f, new=lambda f: f),
        lambda *given: coupled(*given, new=lambda f: 1),
        lambda *given: coupled(*given, show="old"),
        lambda *given: coupled(*given)[::-1],
    ]),
    "03.5": (
        lambda f: np.vstack([np.cumprod(f[::-1], axis=0)[::-1][1:], np.ones((1, f.shape[1]))]), [
        lambda f: np.cumprod(f[::-1], axis=0)[::-1],
        lambda f: np.cumprod(f, axis=0),
        lambda f: f,
    ]),
    "04.1": (2.2, [0.275, 23.7, 2.265]),
    "04.2": (lambda p: -np.log2(p).mean(), [
        lambda p: -np.log(p).mean(),
        lambda p: -np.log2(p.mean()),
        lambda p: -np.log2(p).sum(),
        lambda p: np.log2(p).mean(),
    ]),
    "04.3": (cut, [
        lambda *given: cut(*given, shuffled=True),
        lambda *given: cut(*given, ahead=0),
        lambda *given: cut(*given)[0],
        lambda *given: [part[:-1] for part in cut(*given)],
    ]),
    "04.4": (pairs, [
        lambda *given: pairs(*given, add=0.0),
        lambda *given: pairs(*given, axis=0),
        lambda train, held_out, size: pairs(held_out, held_out, size),
        lambda *given: pairs(*given) * np.log(2),
    ]),
    "04.5": ("B", ["a", "(c)", "d", "e"]),
    "05.1": (1.89, [0.908, 2.479, 3.706]),
    "05.2": (6.66, [4.615, 101, 6.508]),
    "05.3": (lambda k, n, peak, up: peak * min((k + 1) / up, (n - k) / (n - up)), [
        lambda k, n, peak, up: peak,
        lambda k, n, peak, up: peak * (1 - k / n),
        lambda k, n, peak, up: peak * min(1, (k + 1) / up),
        lambda k, n, peak, up: 2 * peak * min((k + 1) / up, (n - k) / (n - up)),
    ]),
    "05.4": ("c", ["a", "b", "d"]),
    "05.5": (adam, [
        lambda *given: adam(*given, sign=1),
        lambda *given: adam(*given, correct=False),
        lambda *given: adam(*given, root=False),
        lambda w, g, rate, *_: w - rate * g.sum(axis=0),
    ]),
    "06.1": (0.941, [0.667, 0.64, 1.6]),
    "06.2": (min_p, [
        lambda *given: min_p(*given, renormalise=False),
        lambda p, share: min_p(p, share / p.max()),
        lambda p, share: p,
        lambda p, share: np.where(p < share * p.max(), p, 0) / p[p < share * p.max()].sum(),
    ]),
    "06.3": (66.2, [220, 0.33, 152.5, -66.2]),
    "06.4": (surprise_at, [
        lambda logits, T: surprise_at(logits / T, 1),
        lambda logits, T: surprise_at(logits, 1),
        lambda logits, T: surprise_at(logits, T) * np.log(2),
        lambda logits, T: -np.log2(softmax(logits)).mean(),
    ]),
    "06.5": (penalise, [
        lambda logits, recent, penalty: logits,
        lambda *given: penalise(*given, each=np.sort),
        lambda *given: penalise(*given, sign=-1),
        lambda logits, recent, penalty: logits - penalty,
    ]),
    "07.1": ("d", ["a", "b", "c"]),
    "07.2": (stop, [
        lambda *given: stop(*given, what="end"),
        lambda *given: stop(*given, what="score"),
        lambda bits, patience: int(np.argmin(bits)),
        lambda bits, patience: stop(bits, 1, what="end"),
    ]),
    "07.3": (drop, [
        lambda *given: drop(*given, factor=lambda share: 1.0),
        lambda *given: drop(*given, factor=lambda share: 1 - share),
        lambda h, share, rng: drop(h, 1 - share, rng),
        lambda h, share, rng: h,
    ]),
    "07.4": (0.85, [0.15, 0.924, 0.543, 5.657]),
    "07.5": (right_after, [
        lambda own, other: (own < other).mean(axis=0),
        lambda own, other: right_after(other, own),
        lambda own, other: 100 * right_after(own, other),
        lambda own, other: right_after(own, other).mean(),
    ]),
    "08.1": (34.3, [50, 25, 0.99]),
    "08.2": (0.93, [0.07, -0.07, 0.43]),
    "08.3": (pairs_won, [
        lambda values, labels: 1 - pairs_won(values, labels),
        lambda values, labels: pairs_won(values, labels, tie=0),
        lambda values, labels: pairs_won(values, labels, tie=1),
        lambda values, labels: values[labels].mean() - values[~labels].mean(),
        lambda values, labels: np.corrcoef(values, labels)[0, 1],
    ]),
    "08.4": (1 - 0.99**768, [7.68, 0.01, 0.00044]),
    "08.5": (at_mean, [
        lambda states, units: at_mean(states, units, axis=1),
        lambda states, units: at_mean(states, units, axis=0),
        lambda states, units: at_mean(states, units, axis=2),
        lambda states, units: at_mean(states, units, axis=None),
        lambda states, units: at_mean(states, slice(None)),
        lambda states, units: np.where(np.isin(np.arange(5), units), 0, states),
        lambda states, units: at_mean(states, units, copy=np.asarray),
    ]),
}  # fmt: skip
NONSENSE = [None, "", "a text", [], {}, [1, "b"], np.nan, -np.inf, np.zeros((2, 2)), object(), True,
            len, lambda *given: [].append(1), lambda *given: 1 / 0, lambda *given: "x",
            1e300, 3 + 4j]  # fmt: skip


@pytest.fixture(autouse=True)
def fresh():
    exercises.wrong_tries.clear()
    exercises.hints_given.clear()


def said(capsys, name, answer):
    capsys.readouterr()
    exercises.check(name, answer)
    return capsys.readouterr().out


def test_every_exercise_has_cases():
    assert all_names() == sorted(CASES)
    assert all(len(wrong) >= 3 for _, wrong in CASES.values())


@pytest.mark.parametrize("name", CASES)
def test_a_right_answer_is_called_right(name, capsys):
    assert said(capsys, name, CASES[name][0]).startswith(f"{name}: right. ")


@pytest.mark.parametrize("name", CASES)
def test_each_usual_slip_gets_a_word_of_its_own(name, capsys):
    words = []
    for answer in CASES[name][1]:
        exercises.wrong_tries.clear()
        words.append(said(capsys, name, answer))
    assert all(word.startswith(f"{name}: not yet. ") for word in words)
    assert len(set(words)) == len(words)
    assert not any(" is too " in word or "could not be read" in word for word in words)


@pytest.mark.parametrize("name", CASES)
def test_nonsense_gets_a_kind_word(name, capsys):
    for answer in NONSENSE:
        assert said(capsys, name, answer).startswith(f"{name}: not yet. ")
    assert said(capsys, name, ...).startswith(f"{name}: nothing to check yet.")


@pytest.mark.parametrize("name", CASES)
def test_hints_come_one_by_one_and_end(name, capsys):
    count = len(EXERCISES[name].hints) if name in EXERCISES else len(all_names())
    seen = []
    for _ in range(count):
        exercises.hint(name)
        seen.append(capsys.readouterr().out)
    assert len(set(seen)) == len(seen) == len(EXERCISES[name].hints) >= 2
    exercises.hint(name)
    assert "notebooks/solutions" in capsys.readouterr().out


def test_a_second_wrong_try_offers_a_hint_until_all_were_given(capsys):
    assert "A hint?" not in said(capsys, "05.1", 3)
    assert "A hint?" in said(capsys, "05.1", 3)
    for _ in EXERCISES["05.1"].hints:
        exercises.hint("05.1")
    assert "A hint?" not in said(capsys, "05.1", 3)


@pytest.mark.parametrize("name", ["03.99", "99.1", "", None, 3, "../x", "03"])
def test_an_exercise_that_is_not_there_is_told(name, capsys):
    assert "There is no exercise" in said(capsys, name, 1)
    exercises.hint(name)
    assert "There is no exercise" in capsys.readouterr().out


def test_numbers_come_in_many_forms(capsys):
    from fractions import Fraction

    for answer in (
        0.65,
        "65%",
        "65 %",
        "0.65",
        np.float32(0.65),
        np.array([0.65]),
        Fraction(13, 20),
    ):
        assert "right" in said(capsys, "01.1", answer)
    for answer in ("221,952", 221952, np.int64(221952)):
        assert "right" in said(capsys, "03.3", answer)


def test_a_function_that_stops_is_told_where_it_went_wrong(capsys):
    assert "IndexError" in said(capsys, "04.2", lambda p: p[99])
    assert "return" in said(capsys, "04.2", lambda p: [].append(p))
    assert "parentheses" in said(capsys, "04.2", 2.39)

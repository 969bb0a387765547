"""Exercises that answer back: `check` says what is wrong with an answer, `hint` helps a step on.

The exercises of notebook 03 are in `checks_03.py`, and so on; their solutions, with the reasoning,
in `notebooks/solutions/`.
"""

import importlib
import math
from collections import Counter
from dataclasses import dataclass
from functools import wraps

import numpy as np

from helpers import ROOT

EXERCISES = {}
wrong_tries, hints_given = Counter(), Counter()  # of this session, by the name of the exercise


class Wrong(Exception):
    """What a check raises: the message says what is wrong, and never the answer."""


@dataclass(frozen=True)
class Exercise:
    """A check, which raises `Wrong` or returns a sentence of praise, and hints, soft to plain."""

    check: callable
    hints: tuple


def exercise(name, *hints):
    """Register the function below as the check of the exercise called `name`, such as "03.2"."""

    def register(function):
        EXERCISES[name] = Exercise(function, hints)
        return function

    return register


def _find(name):
    """Return the exercise called `name`, or None after saying which there are."""
    number = str(name)[:2]
    if (ROOT / "helpers" / f"checks_{number}.py").exists():
        importlib.import_module(f"helpers.checks_{number}")
    if str(name) in EXERCISES:
        return EXERCISES[str(name)]
    near = sorted(each for each in EXERCISES if each[:2] == number) or ["01.1", "and so on"]
    print(f"There is no exercise {name!r}, but {', '.join(near)}.")
    return None


def check(name, answer=...):
    """Say whether an answer is right, and if not, what is wrong with it.

    Parameters
    ----------
    name : str
        Number of the notebook and of the exercise.
    answer : object
        A number, an array, a text or a function, as the exercise asks; `...`, or a function that
        holds nothing else, stands for no answer yet. Nonsense gets a kind word, never an error.

    Returns
    -------
    None
        The verdict is printed.

    Examples
    --------
    >>> check("03.2", ...)
    03.2: nothing to check yet. Put your answer in place of the three dots.
    """
    found = _find(name)
    if found is None:
        return
    if _is_blank(answer):
        print(f"{name}: nothing to check yet. Put your answer in place of the three dots.")
        return
    try:
        praise = found.check(answer)
    except Wrong as problem:
        verdict = str(problem)
    except Exception as problem:  # an answer of a form that nobody thought of
        verdict = f"This could not be read as an answer ({type(problem).__name__}: {problem})."
    else:
        print(f"{name}: right. {praise}")
        return
    wrong_tries[name] += 1
    print(f"{name}: not yet. {verdict}")
    if wrong_tries[name] >= 2 and hints_given[name] < len(found.hints):
        print(f'(A hint? exercises.hint("{name}"))')


def _blank(): ...


def _is_blank(answer):
    """Whether nothing stands in place of the dots: in a value, a tuple, or a function's body."""
    if isinstance(answer, tuple | list):
        return any(each is ... for each in answer)
    code = getattr(answer, "__code__", None)
    return answer is ... or (code is not None and code.co_code == _blank.__code__.co_code)


def hint(name):
    """Print the next hint to an exercise; each call says a little more."""
    found = _find(name)
    if found is None:
        return
    if hints_given[name] < len(found.hints):
        hints_given[name] += 1
        print(f"{name}, hint {hints_given[name]} of {len(found.hints)}: "
              f"{found.hints[hints_given[name] - 1]}")  # fmt: skip
        return
    for count, text in enumerate(found.hints, start=1):
        print(f"{name}, hint {count} of {len(found.hints)}: {text}")
    print(f"That was all. The solution, with the reasoning: notebooks/solutions/{name[:2]}_*.ipynb")


def number(answer):
    """Return an answer as a float; raise `Wrong` if it is not one finite number.

    Examples
    --------
    >>> number(np.array([0.25])), number("56.25 %")
    (0.25, 0.5625)
    """
    if isinstance(answer, str):
        text = answer.strip().replace(",", "").replace("_", "")
        share = text.endswith("%")
        try:
            return float(text.rstrip("% ")) / (100 if share else 1)
        except ValueError:
            raise Wrong(f"A number is wanted here, not the text {answer!r}.") from None
    if isinstance(answer, bool) or callable(answer):
        raise Wrong(f"A number is wanted here, not {answer!r}.")
    try:
        values = np.asarray(answer, dtype=float).ravel()
    except (TypeError, ValueError):
        raise Wrong(f"A number is wanted here, not {type(answer).__name__}.") from None
    if values.size != 1:
        raise Wrong(f"One number is wanted here, not {values.size}.")
    if not math.isfinite(values[0]):
        raise Wrong(f"The answer is a finite number, not {values[0]}.")
    return float(values[0])


def near(answer, right, within, usual=None):
    """Raise `Wrong` unless an answer is one number within `within` of the right one.

    Parameters
    ----------
    answer : object
    right, within : float
    usual : dict of float to str, optional
        What a usual wrong answer, met with the same tolerance, has overlooked.
    """
    value = number(answer)
    if abs(value - right) <= within:
        return
    for slip, message in (usual or {}).items():
        if abs(value - slip) <= within:
            raise Wrong(message)
    side = "high" if value > right else "low"
    raise Wrong(f"{value:.6g} is too {side}.")


def array(answer, shape):
    """Return an answer as an array of floats of this shape; raise `Wrong` if it is none."""
    try:
        values = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        raise Wrong(f"An array of numbers is wanted here, not {type(answer).__name__}.") from None
    if values.shape != tuple(shape):
        raise Wrong(f"The shape should be {tuple(shape)}, not {values.shape}.")
    if not np.isfinite(values).all():
        raise Wrong("Some of the numbers are not finite.")
    return values


def function(answer):
    """Return an answer that is a function, so wrapped that an error in it becomes `Wrong`."""
    if not callable(answer):
        raise Wrong("A function is wanted here: give its name, without parentheses.")

    @wraps(answer)
    def called(*arguments, **named):
        try:
            result = answer(*arguments, **named)
        except Exception as problem:
            raise Wrong(f"Your function stopped with {type(problem).__name__}: {problem}") from None
        if result is None:
            raise Wrong("Your function returns nothing: is the return missing?")
        return result

    return called

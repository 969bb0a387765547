"""Train a character model: budget, schedule, checkpoints and resume (built in notebook 05).

python -m helpers.training --corpus dracula --minutes 10 --out runs/long
"""

import argparse
import hashlib
import json
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helpers.models import (
    adapt,
    build_char_model,
    describe,
    keras,
    load_model,
    save_model,
    zero_state,
)
from helpers.sampling import CharLSTM, generate
from helpers.storage import write_atomically
from helpers.text import Vocabulary, load_split, make_streams

import tensorflow as tf  # isort: skip  (after helpers.models, which keeps its greeting quiet)


@dataclass
class History:
    """What a run measured.

    `train_bits` has the bits per character of every training step; `evaluations` one dict for every evaluation,
    with `step`, `seconds`, `held_out_bits` and `sample`.
    """

    train_bits: list = field(default_factory=list)
    evaluations: list = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False

    def curve(self, key="step"):
        """Return the evaluations as two lists, `key` ("step" or "seconds") and held-out bits per character."""
        return [e[key] for e in self.evaluations], [e["held_out_bits"] for e in self.evaluations]

    @property
    def held_out_bits(self):
        """Bits per character on the held-out text at the last evaluation."""
        return self.evaluations[-1]["held_out_bits"]

    @property
    def best(self):
        """The evaluation with the fewest bits per character."""
        return min(self.evaluations, key=lambda evaluation: evaluation["held_out_bits"])


def learning_rate(progress, step, peak=1.5e-2, warmup_steps=50):
    """Return the rate at a share `progress` (0 to 1) of the run: a linear warm-up, then half a cosine down to zero.

    The schedule is that of Loshchilov and Hutter (2017), without restarts.

    Examples
    --------
    >>> [round(float(learning_rate(p, step=1000, peak=1.0)), 2) for p in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.0]
    """
    return (
        peak
        * min(1.0, (step + 1) / warmup_steps)
        * 0.5
        * (1.0 + np.cos(np.pi * min(progress, 1.0)))
    )


def make_train_step(model, optimizer, weight_dropout=0.0):
    """Compile one training step: `loss, *state = step(inputs, targets, state)`, the loss in nats per character.

    `weight_dropout` is the share of the weights from hidden state to hidden state that each step does without
    (Merity, Keskar and Socher, "Regularizing and optimizing LSTM language models", 2018).
    """
    if not 0 <= weight_dropout < 1:
        raise ValueError(f"weight_dropout is a share from 0 to less than 1, not {weight_dropout}.")

    def thinned(number, variable):
        if variable.name != "recurrent_kernel":
            return variable.value
        # The mask hangs on the number of the step, which a checkpoint keeps: a resumed run does without the same weights.
        seed = [describe(model)["seed"] + number, tf.cast(optimizer.iterations, tf.int32)]
        kept = tf.random.stateless_uniform(variable.shape, seed) >= weight_dropout
        return tf.where(kept, variable.value / (1 - weight_dropout), 0.0)

    @tf.function
    def step(inputs, targets, state):
        with tf.GradientTape() as tape:
            if weight_dropout:
                weights = [thinned(*numbered) for numbered in enumerate(model.trainable_variables)]
                others = (
                    model.non_trainable_variables
                )  # where dropout stands in its sequence of random numbers
                outputs, moved = model.stateless_call(
                    weights, others, [inputs, *state], training=True
                )
                for variable, value in zip(others, moved, strict=True):
                    variable.assign(value)
            else:
                outputs = model([inputs, *state], training=True)
            logits, *new_state = outputs
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss, *new_state

    return step


@lru_cache(maxsize=4)
def _make_score(model):
    """Compile the summed loss in nats over the characters marked in `scored`, and the new state; once for a model."""

    @tf.function(reduce_retracing=True)
    def score(inputs, targets, scored, state):
        logits, *state = model([inputs, *state])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_sum(tf.where(scored, losses, 0.0)), *state

    return score


def bits_per_char(model, ids, context=(), batch_size=32, overlap=128):
    """Score a text: the mean of -log2 p(character | those before it).

    A long text is cut into `batch_size` stretches that are read side by side. Each first reads, unscored, the last
    `overlap` characters of the stretch before, so that none but the first characters of all are met cold.

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`.
    ids : ndarray of int, shape (length,)
    context : ndarray of int, optional
        The characters before `ids`: read, not scored. Without it the first character, met with nothing, is not scored.

    Returns
    -------
    float
        Bits per character.

    Raises
    ------
    ValueError
        If there is nothing to score.

    Examples
    --------
    >>> model = build_char_model(vocab_size=4, hidden_size=8)
    >>> 1 < bits_per_char(model, np.array([0, 1, 2, 3] * 10)) < 4
    True
    """
    context = np.asarray(context, dtype=np.int32)[-overlap:]
    text = np.concatenate([context, np.asarray(ids, dtype=np.int32)])
    length, first = len(text) - 1, max(len(context) - 1, 0)
    if len(ids) < 1 or length <= first:
        raise ValueError(f"A text of {len(ids)} characters leaves nothing to score.")
    if length < 4 * batch_size * overlap:
        batch_size, overlap = 1, 0
    stride = -(-(length - overlap) // batch_size)
    column = np.arange(stride + overlap)
    row = np.arange(batch_size)[:, None]
    place = row * stride + column
    scored = (place >= first) & (place < length) & ((column >= overlap) | (row == 0))
    place = np.minimum(place, length - 1)
    state, nats, score = zero_state(model, batch_size), 0.0, _make_score(model)
    for start in range(0, len(column), 256):
        part = np.s_[:, start : start + 256]
        loss, *state = score(text[place[part]], text[place[part] + 1], scored[part], state)
        nats += float(loss)
    return float(nats / np.log(2) / scored.sum())


@contextmanager
def _interrupt_waits():
    """Let Ctrl-C, or the stop button, wait for the end of the block: no step is taken by halves."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python interrupts the main thread only
        return
    waiting = []
    usual = signal.signal(signal.SIGINT, lambda *caught: waiting.append(caught))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if waiting and callable(usual):
        usual(*waiting[0])


def _digest(numbers):
    """Return a short fingerprint, so that a run is not taken up with another text."""
    return hashlib.sha256(np.ascontiguousarray(numbers, np.int32)).hexdigest()[:16]


def _save_checkpoint(folder, recipe, history, groups):
    """Write all that a run needs to go on, as one file: a run that is killed finds the last whole one."""
    arrays = {
        f"{name}_{i:03}": np.asarray(v)
        for name, values in groups.items()
        for i, v in enumerate(values)
    }
    note = json.dumps({"recipe": recipe, "history": asdict(history)}).encode()
    write_atomically(
        folder / "checkpoint.npz",
        lambda file: np.savez(file, note=np.frombuffer(note, np.uint8), **arrays),
    )


def _load_checkpoint(folder, recipe):
    """Return history and arrays of the run in `folder`; refuse one with another recipe."""
    try:
        with np.load(folder / "checkpoint.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        note = json.loads(arrays.pop("note").tobytes())
    except Exception as problem:
        raise ValueError(
            f"The checkpoint in {str(folder)!r} cannot be read ({problem!r}): delete it."
        ) from problem
    theirs = {"keep_best": False, "weight_dropout": 0.0} | note[
        "recipe"
    ]  # an older run has neither
    other = [
        f"{key} {theirs[key]!r}, not {value!r}"
        for key, value in recipe.items()
        if theirs.get(key, value) != value
    ]
    if other:
        raise ValueError(
            f"The folder {str(folder)!r} holds a run with {'; '.join(other)}. Choose another folder, or pass restart=True to train anew."
        )
    return History(**note["history"]), arrays


def fit(
    model,
    vocab,
    train_ids,
    held_out_ids,
    *,
    steps=None,
    epochs=None,
    minutes=None,
    batch_size=32,
    seq_len=64,
    peak_rate=1.5e-2,
    warmup_steps=50,
    clip_norm=1.0,
    weight_dropout=0.0,
    evaluations=6,
    prompt="The ",
    folder=None,
    checkpoint_seconds=30,
    restart=False,
    keep_best=False,
    card=None,
    on_step=None,
    progress_bar=True,
):
    """Train `model` on contiguous streams and carry the state from batch to batch.

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`; trained in place.
    vocab : Vocabulary
    train_ids, held_out_ids : ndarray of int
    steps, epochs, minutes : int or float
        The budget: give exactly one of them. Minutes are of wall clock, evaluations included.
    batch_size, seq_len : int
        Streams read side by side, and characters read from each in a step.
    peak_rate, warmup_steps : float, int
        See `learning_rate`.
    clip_norm : float or None
        Largest norm of all gradients together.
    weight_dropout : float
        See `make_train_step`.
    evaluations : int
        How often, evenly spread, to score the held-out text and write a sample.
    prompt : str
        What each sample begins with.
    folder : str or Path, optional
        Where to keep checkpoints and, in the end, the model. A run found there is continued; a finished one is loaded.
    checkpoint_seconds : float
        What a killed run can lose.
    restart : bool
        Ignore a run found in `folder`.
    keep_best : bool
        Early stopping: at the end take the weights back to the evaluation that scored best, `History.best`.
        The held-out text then has had a say in the training; judge the model by another.
    card : dict, optional
        What else to note in the model's config.json.
    on_step : callable, optional
        Called after each step with the number of steps taken; it may raise KeyboardInterrupt to stop.
    progress_bar : bool
        Show how far it is, with bits per character and samples.

    Returns
    -------
    History
        After an interrupt (the stop button, Ctrl-C) what was measured until then; the model is usable.

    Raises
    ------
    ValueError
        If the text is too short, the budget not exactly one, or `folder` holds a run with another recipe.
    FloatingPointError
        If the loss is no longer a finite number.

    Examples
    --------
    >>> vocab = Vocabulary("ab")
    >>> ids = vocab.encode("ab" * 200)
    >>> model = build_char_model(len(vocab), hidden_size=8)
    >>> history = fit(model, vocab, ids, ids, steps=3, batch_size=2, seq_len=8, prompt="a", progress_bar=False)
    >>> len(history.train_bits), history.finished
    (3, True)
    """
    if sum(budget is not None for budget in (steps, epochs, minutes)) != 1:
        raise ValueError("Give exactly one budget: steps, epochs or minutes.")
    inputs, targets = make_streams(train_ids, batch_size, seq_len)
    steps = steps if epochs is None else round(epochs * len(inputs))
    total = 60 * minutes if steps is None else steps
    if not 0 < total < np.inf:
        raise ValueError(
            f"The budget is a positive number, not {total} {'seconds' if steps is None else 'steps'}."
        )
    optimizer = keras.optimizers.Adam(peak_rate, global_clipnorm=clip_norm)
    optimizer.build(model.trainable_variables)
    state, history, started = zero_state(model, batch_size), History(), time.perf_counter()
    recipe = describe(model) | {
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "seq_len": seq_len,
    }
    recipe |= {
        "peak_rate": peak_rate,
        "warmup_steps": warmup_steps,
        "clip_norm": clip_norm,
        "weight_dropout": weight_dropout,
        "vocabulary": _digest([ord(character) for character in vocab.characters]),
    }
    recipe |= {
        "train_text": _digest(train_ids),
        "held_out_text": _digest(held_out_ids),
        "keep_best": keep_best,
    }
    recipe |= {"start_from": (card or {}).get("start_from")}
    folder, best = None if folder is None else Path(folder), []
    if folder:
        folder.mkdir(
            parents=True, exist_ok=True
        )  # a folder that cannot be had is told now, not after the training
    if folder and not restart and (folder / "checkpoint.npz").exists():
        history, arrays = _load_checkpoint(folder, recipe)
        for name, variables in {"model": model.variables, "optimizer": optimizer.variables}.items():
            for i, variable in enumerate(variables):
                variable.assign(arrays[f"{name}_{i:03}"])
        state = [arrays[f"state_{i:03}"] for i in range(len(state))]
        done = "finished already" if history.finished else "goes on"
        if progress_bar:
            print(f"The run in {folder.name} {done}, after {len(history.train_bits):,} steps.")
        if history.finished:
            return history
        best = [arrays[name] for name in sorted(arrays) if name.startswith("best")]
    before, saved = history.seconds, started

    def check(numbers):
        if not np.isfinite(numbers).all():
            raise FloatingPointError(
                f"Loss or weights are not finite at step {len(history.train_bits)}: lower peak_rate or clip_norm. "
                "The weights are spoilt; a checkpoint made earlier is not."
            )

    def save(finished=False):
        nonlocal saved
        for weight in model.get_weights():
            check(weight)
        history.seconds = before + time.perf_counter() - started
        history.finished = finished
        if folder:
            measured = {"seconds": round(history.seconds), "steps_taken": len(history.train_bits)}
            if history.evaluations:
                score = history.best if keep_best and finished else history.evaluations[-1]
                measured |= {"held_out_bits": round(score["held_out_bits"], 4)}
            save_model(model, vocab, folder, recipe=recipe, **measured, **(card or {}))
            # After the model: a run whose checkpoint says that it is finished has its model beside it.
            groups = {
                "model": model.variables,
                "optimizer": optimizer.variables,
                "state": state,
                "best": best,
            }
            _save_checkpoint(folder, recipe, history, groups)
        saved = time.perf_counter()

    def say(line):
        if progress_bar:
            tqdm.write(line, file=sys.stdout)

    def evaluate():
        bits = bits_per_char(model, held_out_ids, context=train_ids)
        sample = generate(CharLSTM.from_keras(model, vocab), prompt, 60, temperature=0.7, seed=0)
        step, shown = len(history.train_bits), " ".join(sample.split())
        say(f"step {step:5}  held-out {bits:.3f} bits/char  {shown}")
        seconds = before + time.perf_counter() - started
        with _interrupt_waits():
            history.evaluations.append(
                {"step": step, "seconds": seconds, "held_out_bits": bits, "sample": sample}
            )
            if keep_best and history.best["step"] == step:
                best[:] = model.get_weights()

    train_step = make_train_step(model, optimizer, weight_dropout)
    unit = (
        {"unit": " step"}
        if steps
        else {"unit": " s", "bar_format": "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"}
    )
    with tqdm(
        total=total, file=sys.stdout, mininterval=0.5, ncols=100, disable=not progress_bar, **unit
    ) as bar:
        try:
            while True:
                step = len(history.train_bits)
                done = step if steps is not None else before + time.perf_counter() - started
                progress = min(done / total, 1.0)
                bar.update(min(done, total) - bar.n)
                if len(history.evaluations) <= progress * evaluations or progress >= 1.0:
                    evaluate()
                if progress >= 1.0:
                    break
                if step % len(inputs) == 0:
                    state = zero_state(model, batch_size)  # the streams begin anew
                optimizer.learning_rate = learning_rate(progress, step, peak_rate, warmup_steps)
                k = step % len(inputs)
                with _interrupt_waits():
                    loss, *state = train_step(inputs[k], targets[k], state)
                    history.train_bits.append(float(loss) / np.log(2))
                check(history.train_bits[-1])
                bar.set_postfix_str(
                    f"{np.mean(history.train_bits[-50:]):.3f} bits/char", refresh=False
                )
                if folder and time.perf_counter() - saved > checkpoint_seconds:
                    save()
                if on_step:
                    on_step(len(history.train_bits))
        except KeyboardInterrupt:
            save()
            say(f"Stopped after {len(history.train_bits):,} steps: the model is usable.")
            return history
    if keep_best:
        model.set_weights(best)
    save(finished=True)
    return history


def main(arguments=None):
    """Train from the command line; a run found in the folder is continued."""
    parser = argparse.ArgumentParser(prog="python -m helpers.training", description=main.__doc__)
    parser.add_argument(
        "--corpus",
        default="dracula",
        help="dracula, speeches, addresses, or the path of a text file",
    )
    parser.add_argument(
        "--out", required=True, metavar="FOLDER", help="where checkpoints and the model go"
    )
    parser.add_argument(
        "--start-from",
        metavar="FOLDER",
        help="begin with this model's weights instead of random ones",
    )
    for name, default in {"minutes": None, "epochs": None, "steps": None}.items():
        parser.add_argument(f"--{name}", type=float if name == "minutes" else int, default=default)
    # For runs longer than a class: wider than in notebook 05, so slower, and with dropout against learning by heart.
    sizes = {"hidden_size": 512, "embedding_size": 32, "layers": 1, "dropout": 0.4, "seed": 0}
    recipe = {
        "batch_size": 32,
        "seq_len": 100,
        "peak_rate": 1e-2,
        "warmup_steps": 50,
        "clip_norm": 1.0,
    }
    recipe |= {"weight_dropout": 0.0, "evaluations": 6}
    for name, default in (sizes | recipe).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=30.0, help="what a killed run can lose"
    )
    parser.add_argument(
        "--keep-best", action="store_true", help="keep the weights that scored best, not the last"
    )
    parser.add_argument(
        "--restart", action="store_true", help="train anew even if the folder holds a run"
    )
    args = vars(parser.parse_args(arguments))
    train, held_out = load_split(args["corpus"])
    if args["start_from"]:
        changes = {name: args[name] for name in ("dropout", "seed")}
        model, vocab = adapt(*load_model(args["start_from"]), train + held_out, **changes)
    else:
        vocab = Vocabulary.from_text(train + held_out)
        model = build_char_model(len(vocab), **{name: args[name] for name in sizes})
    options = {
        name: args[name]
        for name in [
            *recipe,
            "steps",
            "epochs",
            "minutes",
            "restart",
            "keep_best",
            "checkpoint_seconds",
        ]
    }
    digest = hashlib.sha256((train + held_out).encode()).hexdigest()
    card = {"corpus": args["corpus"], "text_sha256": digest, "start_from": args["start_from"]}
    history = fit(
        model,
        vocab,
        vocab.encode(train),
        vocab.encode(held_out),
        folder=args["out"],
        card=card,
        prompt=held_out[:20],
        **options,
    )
    if not history.finished:
        return 130
    score = history.best["held_out_bits"] if args["keep_best"] else history.held_out_bits
    print(f"bits per character on held-out text: {score:.3f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, FloatingPointError) as problem:
        sys.exit(f"helpers.training: {problem}")

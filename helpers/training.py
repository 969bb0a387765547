"""Train a character model, interrupt it, and resume it (built in notebook 05).

python -m helpers.training --corpus dracula --minutes 10 --out runs/long
"""

import argparse
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helpers.corpora import load_split
from helpers.evaluation import bits_per_char
from helpers.models import (
    adapt,
    build_char_model,
    describe,
    keras,
    load_model,
    save_model,
    tf,
    zero_state,
)
from helpers.sampling import CharLSTM, generate
from helpers.storage import read_checkpoint, sha256, write_checkpoint
from helpers.text import Vocabulary, make_streams


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: everything that decides the result, besides the model and the texts.

    Parameters
    ----------
    steps, epochs, minutes : int, float, float
        The budget: give exactly one of them. Minutes are of wall clock, evaluations included.
    batch_size, seq_len : int
        Streams that are read side by side, and characters that a step reads of each.
    peak_rate, warmup_steps : float, int
        See `learning_rate`.
    clip_norm : float or None
        Largest norm of all gradients together.
    weight_dropout : float
        Share of the recurrent weights that each step drops, see `make_train_step`.
    keep_best : bool
        Early stopping: at the end take the weights back to the evaluation that scored best. The
        held-out text then had a say in the training, so judge the model by another one.

    Raises
    ------
    ValueError
        If there is not exactly one budget, or a number makes no sense.

    Examples
    --------
    >>> Recipe(steps=1300, peak_rate=0.012).seq_len
    64
    """

    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    batch_size: int = 32
    seq_len: int = 64
    peak_rate: float = 1.5e-2
    warmup_steps: int = 50
    clip_norm: float | None = 1.0
    weight_dropout: float = 0.0
    keep_best: bool = False

    def __post_init__(self):
        budgets = {name: getattr(self, name) for name in ("steps", "epochs", "minutes")}
        given = {name: budget for name, budget in budgets.items() if budget is not None}
        if len(given) != 1:
            raise ValueError("Give exactly one budget: steps, epochs or minutes.")
        for name, budget in given.items():
            if not 0 < budget < np.inf:
                raise ValueError(f"The budget is a positive number of {name}, not {budget}.")
        for name in ("steps", "batch_size", "seq_len", "warmup_steps"):
            number = getattr(self, name)
            if number is not None and (number < 1 or number != int(number)):
                raise ValueError(f"{name} should be a whole number, at least 1, not {number}.")
        if not 0 <= self.peak_rate < np.inf:
            raise ValueError(f"peak_rate should be 0 or more, not {self.peak_rate}.")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm should be positive or None, not {self.clip_norm}.")
        if not 0 <= self.weight_dropout < 1:
            asked = "weight_dropout should be from 0 to less than 1"
            raise ValueError(f"{asked}, not {self.weight_dropout}.")

    def in_steps(self, steps_per_epoch):
        """Return the same recipe, with a budget of epochs counted in steps."""
        if self.epochs is None:
            return self
        return replace(self, steps=round(self.epochs * steps_per_epoch), epochs=None)


@dataclass
class History:
    """What a run measured.

    Attributes
    ----------
    train_bits : list of float
        Bits per character of every training step.
    evaluations : list of dict
        One for every evaluation, with `step`, `seconds`, `held_out_bits` and `sample`.
    seconds : float
        Time spent so far, over all sittings.
    finished : bool
    """

    train_bits: list = field(default_factory=list)
    evaluations: list = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False

    def curve(self, key="step"):
        """Return two lists: `key` ("step" or "seconds") and held-out bits of each evaluation."""
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
    """Return the rate at a share `progress` (0 to 1) of the run.

    A linear warm-up, then half a cosine down to zero: the schedule of Loshchilov and Hutter (2017)
    without restarts.

    Examples
    --------
    >>> [round(float(learning_rate(p, step=1000, peak=1.0)), 2) for p in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.0]
    """
    warm = min(1.0, (step + 1) / warmup_steps)
    return peak * warm * 0.5 * (1.0 + np.cos(np.pi * min(progress, 1.0)))


def make_train_step(model, optimizer, weight_dropout=0.0):
    """Compile one training step: `loss, *state = step(inputs, targets, state)`.

    The loss is in nats per character. `weight_dropout` is the share of the recurrent weights that
    each step drops (Merity, Keskar and Socher, "Regularizing and optimizing LSTM language models",
    2018).
    """

    def dropped(number, variable):
        if variable.name != "recurrent_kernel":
            return variable.value
        # The mask depends on the number of the step, which a checkpoint keeps: a resumed run drops
        # the same weights.
        seed = [describe(model)["seed"] + number, tf.cast(optimizer.iterations, tf.int32)]
        kept = tf.random.stateless_uniform(variable.shape, seed) >= weight_dropout
        return tf.where(kept, variable.value / (1 - weight_dropout), 0.0)

    def with_dropped_weights(arguments):
        weights = [dropped(*numbered) for numbered in enumerate(model.trainable_variables)]
        others = model.non_trainable_variables  # where output dropout is in its random sequence
        outputs, new_values = model.stateless_call(weights, others, arguments, training=True)
        for variable, value in zip(others, new_values, strict=True):
            variable.assign(value)
        return outputs

    @tf.function
    def step(inputs, targets, state):
        with tf.GradientTape() as tape:
            if weight_dropout:
                logits, *new_state = with_dropped_weights([inputs, *state])
            else:
                logits, *new_state = model([inputs, *state], training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss, *new_state

    return step


@contextmanager
def _interrupt_waits():
    """Let Ctrl-C, or the stop button, wait for the end of the block: no step is left half done."""
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


class _Display:
    """Show how far a run is: as a bar, as a line every half minute, or not at all."""

    def __init__(self, recipe, how):
        self.how, self.last_line, self.bar = how, time.perf_counter(), None
        self.total = recipe.steps or 60 * recipe.minutes
        self.unit = "steps" if recipe.steps else "s"

    def update(self, done, train_bits):
        done, recent = min(done, self.total), f"{np.mean(train_bits[-50:]):.3f} bits/char"
        if self.how is True:
            self.bar = self.bar or self._new_bar()
            self.bar.set_postfix_str(recent, refresh=False)
            self.bar.update(done - self.bar.n)
        elif self.how == "lines" and time.perf_counter() - self.last_line > 30:
            self.say(f"{done:,.0f} of {self.total:,.0f} {self.unit}  {recent}")

    def _new_bar(self):
        seconds = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"
        style = {"unit": " step"} if self.unit == "steps" else {"bar_format": seconds}
        return tqdm(total=self.total, file=sys.stdout, mininterval=0.5, ncols=100, **style)

    def say(self, line):
        if self.how and line:
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()  # a file or a pipe would wait for some thousand characters
            self.last_line = time.perf_counter()

    def close(self):
        if self.bar:
            self.bar.close()


@dataclass
class Run:
    """What changes while a model is trained, and the folder where it is kept.

    The parameters are those of `fit`, which is the loop that moves a run forward.
    """

    model: keras.Model
    vocab: Vocabulary
    train_ids: np.ndarray
    held_out_ids: np.ndarray
    recipe: Recipe
    prompt: str
    folder: str | Path | None
    card: dict

    def __post_init__(self):
        if len(self.held_out_ids) < 1:  # what an evaluation needs, before anything is deleted
            raise ValueError("A held-out text of 0 characters leaves nothing to score.")
        CharLSTM.from_keras(self.model, self.vocab).read(self.prompt)
        if self.folder:
            self.folder = Path(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)  # fails now rather than after training
        rate, clip_norm = self.recipe.peak_rate, self.recipe.clip_norm
        self.optimizer = keras.optimizers.Adam(rate, global_clipnorm=clip_norm)
        self.optimizer.build(self.model.trainable_variables)
        self.state = zero_state(self.model, self.recipe.batch_size)
        self.best = self.model.get_weights() if self.recipe.keep_best else []
        self.history, self.seconds_before = History(), 0.0
        self.started = self.saved = time.perf_counter()
        # A checkpoint is resumed only by a run that would have made the same one.
        texts = {"train_text": self.train_ids, "held_out_text": self.held_out_ids}
        self.identity = describe(self.model) | asdict(self.recipe)
        self.identity |= {"start_from": self.card.get("start_from")}
        self.identity |= {"vocabulary": sha256(self.vocab.characters)[:16]}
        self.identity |= {name: sha256(np.int32(ids).tobytes())[:16] for name, ids in texts.items()}

    @property
    def steps_taken(self):
        """Steps since the beginning, over all sittings."""
        return len(self.history.train_bits)

    @property
    def seconds(self):
        """Seconds since the beginning, over all sittings."""
        return self.seconds_before + time.perf_counter() - self.started

    @property
    def spent(self):
        """What is spent of the budget, in its unit: steps or seconds."""
        return self.steps_taken if self.recipe.steps else self.seconds

    def progress(self):
        """Return the share of the budget that is spent, at most 1."""
        return min(1.0, self.spent / (self.recipe.steps or 60 * self.recipe.minutes))

    def take_step(self, train_step, inputs, targets):
        """Train on one batch, and carry the state over to the next."""
        with _interrupt_waits():
            loss, *self.state = train_step(inputs, targets, self.state)
            self.history.train_bits.append(float(loss) / np.log(2))
        self.require_finite(self.history.train_bits[-1])

    def evaluate(self):
        """Score the held-out text, write a sample, and return a line about both."""
        if self.steps_taken in [each["step"] for each in self.history.evaluations]:
            return ""  # an interrupt came right after it
        bits = bits_per_char(self.model, self.held_out_ids, context=self.train_ids)
        writer = CharLSTM.from_keras(self.model, self.vocab)
        sample = generate(writer, self.prompt, 60, temperature=0.7, seed=0)
        found = {"step": self.steps_taken, "seconds": self.seconds}
        with _interrupt_waits():
            self.history.evaluations.append(found | {"held_out_bits": bits, "sample": sample})
            if self.recipe.keep_best and self.history.best["step"] == self.steps_taken:
                self.best = self.model.get_weights()
        shown = " ".join(sample.split())
        return f"step {self.steps_taken:5}  held-out {bits:.3f} bits/char  {shown}"

    def require_finite(self, *arrays):
        """Raise FloatingPointError if a loss or a weight is not a finite number."""
        if not all(np.isfinite(array).all() for array in arrays):
            raise FloatingPointError(
                f"Loss or weights are not finite at step {self.steps_taken}: lower peak_rate or "
                "clip_norm. The model is useless now; a checkpoint made earlier is not."
            )

    def groups(self):
        """Return the arrays that a checkpoint keeps."""
        variables = {"model": self.model.variables, "optimizer": self.optimizer.variables}
        return variables | {"state": self.state, "best": self.best}

    def save(self, finished=False):
        """Write model and checkpoint to the folder, if there is one."""
        self.require_finite(*self.model.get_weights())
        self.history.seconds, self.history.finished = self.seconds, finished
        if self.folder:
            measured = {"seconds": round(self.history.seconds), "steps_taken": self.steps_taken}
            if self.history.evaluations:
                kept_best = self.recipe.keep_best and finished
                score = self.history.best if kept_best else self.history.evaluations[-1]
                measured["held_out_bits"] = round(score["held_out_bits"], 4)
            card = {"recipe": self.identity} | measured | self.card
            save_model(self.model, self.vocab, self.folder, **card)
            # After the model: a checkpoint that says "finished" always has its model beside it.
            write_checkpoint(self.folder, self.identity, asdict(self.history), self.groups())
        self.saved = time.perf_counter()

    def finish(self):
        """Save the model that the run is for: the last one, or with `keep_best` the best one."""
        if self.recipe.keep_best:
            self.model.set_weights(self.best)
        self.save(finished=True)

    def resume(self):
        """Continue from the checkpoint in the folder, if there is one; return a line about it."""
        if not self.folder or not (self.folder / "checkpoint.npz").exists():
            return ""
        shapes = {name: [each.shape for each in group] for name, group in self.groups().items()}
        history, arrays = read_checkpoint(self.folder, self.identity, shapes)
        for name in ("model", "optimizer"):
            for variable, value in zip(self.groups()[name], arrays[name], strict=True):
                variable.assign(value)
        self.state, self.best = arrays["state"], arrays["best"]
        self.history = History(**history)
        self.seconds_before = self.history.seconds
        done = "is finished" if self.history.finished else "continues"
        return f"The run in {self.folder.name} {done}, after {self.steps_taken:,} steps."

    def forget(self):
        """Delete the checkpoint, so that nobody continues from it, even if this run is killed."""
        if self.folder:
            (self.folder / "checkpoint.npz").unlink(missing_ok=True)


def fit(
    model,
    vocab,
    train_ids,
    held_out_ids,
    recipe,
    *,
    evaluations=6,
    prompt="The ",
    folder=None,
    checkpoint_seconds=30,
    restart=False,
    card=None,
    on_step=None,
    progress_bar=True,
):
    """Train `model` on contiguous streams, and carry the state from batch to batch.

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`; trained in place.
    vocab : Vocabulary
    train_ids, held_out_ids : ndarray of int
    recipe : Recipe
    evaluations : int
        How often, evenly spread, to score the held-out text and write a sample.
    prompt : str
        What each sample begins with.
    folder : str or Path, optional
        Where to keep checkpoints and, in the end, the model. A run found there is resumed, a
        finished one is loaded.
    checkpoint_seconds : float
        How much a killed run can lose.
    restart : bool
        Delete the checkpoint of a run found in `folder`, and train from the beginning.
    card : dict, optional
        What else to record with the model.
    on_step : callable, optional
        Called after each step with the number of steps taken; may raise KeyboardInterrupt to stop.
    progress_bar : bool or "lines"
        Show progress, bits per character and samples: as a bar, or as a line now and then.

    Returns
    -------
    History
        After an interrupt (the stop button, Ctrl-C) what was measured until then; the model is
        usable.

    Raises
    ------
    ValueError
        If the text is too short, or `folder` holds a run with another recipe.
    FloatingPointError
        If the loss is no longer a finite number.
    OSError
        If `folder` cannot be written. What was saved there before stays.

    Examples
    --------
    >>> vocab = Vocabulary("ab")
    >>> ids = vocab.encode("ab" * 200)
    >>> model = build_char_model(len(vocab), hidden_size=8)
    >>> recipe = Recipe(steps=3, batch_size=2, seq_len=8)
    >>> history = fit(model, vocab, ids, ids, recipe, prompt="a", progress_bar=False)
    >>> len(history.train_bits), history.finished
    (3, True)
    """
    inputs, targets = make_streams(train_ids, recipe.batch_size, recipe.seq_len)
    recipe = recipe.in_steps(len(inputs))
    run = Run(model, vocab, train_ids, held_out_ids, recipe, prompt, folder, card or {})
    display = _Display(recipe, progress_bar)
    display.say(run.forget() if restart else run.resume())
    if run.history.finished:
        return run.history

    train_step = make_train_step(model, run.optimizer, recipe.weight_dropout)
    try:
        while (progress := run.progress()) < 1:
            if len(run.history.evaluations) <= progress * evaluations:
                display.say(run.evaluate())
            step = run.steps_taken
            batch = step % len(inputs)
            if batch == 0:
                run.state = zero_state(model, recipe.batch_size)  # the text begins again
            rate = learning_rate(progress, step, recipe.peak_rate, recipe.warmup_steps)
            run.optimizer.learning_rate = rate
            run.take_step(train_step, inputs[batch], targets[batch])
            display.update(run.spent, run.history.train_bits)
            if time.perf_counter() - run.saved > checkpoint_seconds:
                run.save()
            if on_step:
                on_step(run.steps_taken)
        display.say(run.evaluate())
    except KeyboardInterrupt:
        run.save()
        display.say(f"Stopped after {run.steps_taken:,} steps: the model is usable.")
    else:
        run.finish()
    finally:
        display.close()
    return run.history


# A run longer than a class gets a wider network than notebook 05, so it is slower, and dropout,
# so that it does not learn the text by heart.
LONG_RUN = {"hidden_size": 512, "dropout": 0.4, "seq_len": 100, "peak_rate": 1e-2}


def _parser():
    """Return the command line: an option for each number of a recipe, and for the model's sizes."""
    parser = argparse.ArgumentParser(prog="python -m helpers.training", description=main.__doc__)
    parser.add_argument(
        "--corpus", default="dracula",
        help="dracula, speeches, addresses, or the path of a text file",
    )  # fmt: skip
    parser.add_argument("--out", required=True, metavar="FOLDER", help="for checkpoints and model")
    parser.add_argument(
        "--start-from", metavar="FOLDER", help="a model whose weights to begin with"
    )
    parser.add_argument("--hidden-size", type=int, help=f"(default: {LONG_RUN['hidden_size']})")
    parser.add_argument("--embedding-size", type=int, help="(default: 32)")
    parser.add_argument("--dropout", type=float, default=LONG_RUN["dropout"])
    parser.add_argument("--seed", type=int, default=0)
    for option in fields(Recipe):
        flag = f"--{option.name.replace('_', '-')}"
        if option.type is bool:
            parser.add_argument(flag, action="store_true")
        else:
            kind = float if "float" in str(option.type) else int
            default = LONG_RUN.get(option.name, option.default)
            parser.add_argument(flag, type=kind, default=default)
    parser.add_argument("--evaluations", type=int, default=6)
    parser.add_argument("--checkpoint-seconds", type=float, default=30.0)
    parser.add_argument("--restart", action="store_true", help="ignore a run found in the folder")
    return parser


def main(arguments=None):
    """Train from the command line; a run found in the folder is resumed."""
    args = _parser().parse_args(arguments)
    sizes = {name: getattr(args, name) for name in ("hidden_size", "embedding_size")}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    if args.start_from and sizes:
        raise ValueError(f"--start-from brings its own sizes: leave out {', '.join(sizes)}.")
    recipe = Recipe(**{option.name: getattr(args, option.name) for option in fields(Recipe)})
    train, held_out = load_split(args.corpus)
    others = {"dropout": args.dropout, "seed": args.seed}
    if args.start_from:
        model, vocab = adapt(*load_model(args.start_from), train + held_out, **others)
    else:
        vocab = Vocabulary.from_text(train + held_out)
        sizes = {"hidden_size": LONG_RUN["hidden_size"]} | sizes
        model = build_char_model(len(vocab), **sizes, **others)
    card = {"corpus": args.corpus, "text_sha256": sha256(train + held_out)}
    history = fit(
        model,
        vocab,
        vocab.encode(train),
        vocab.encode(held_out),
        recipe,
        evaluations=args.evaluations,
        prompt=held_out[:20],
        folder=args.out,
        checkpoint_seconds=args.checkpoint_seconds,
        restart=args.restart,
        card=card | {"start_from": args.start_from},
        progress_bar=True if sys.stdout.isatty() else "lines",
    )
    if not history.finished:
        return 130
    score = history.best["held_out_bits"] if recipe.keep_best else history.held_out_bits
    print(f"bits per character on held-out text: {score:.3f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, FloatingPointError) as problem:
        sys.exit(f"helpers.training: {problem}")

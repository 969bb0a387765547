"""A training run: its recipe, what it measured, where it is, and how it is saved and resumed."""

import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helpers.backend import keras
from helpers.evaluation import bits_per_char
from helpers.models import describe, save_model, zero_state
from helpers.sampling import CharLSTM, generate
from helpers.storage import read_checkpoint, sha256, write_checkpoint
from helpers.text import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: with the model and the texts, this decides the result.

    Parameters
    ----------
    steps, epochs, minutes : int, float, float
        The budget: give exactly one of them. Minutes are of wall clock, evaluations included.
    batch_size, seq_len : int
        Streams that are read side by side, and characters that a step reads of each.
    peak_rate, warmup_steps : float, int
        See `learning_rate`.
    beta_1, beta_2 : float
        How much of its running means of the gradient and of its square Adam keeps at each step.
    clip_norm : float or None
        Largest norm of all gradients together.
    weight_dropout : float
        Share of the recurrent weights that each step drops, see `make_train_step`.
    fresh_starts : float
        Share of the streams whose state is emptied before each step: a model that always reads on
        learns little of how to begin (after Melis, Dyer and Blunsom, "On the state of the art of
        evaluation in neural language models", 2018).
    keep_best : bool
        Early stopping: at the end, restore the weights of the best evaluation. The held-out text
        has then influenced the training, so report the score on another text.

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
    beta_1: float = 0.9
    beta_2: float = 0.999
    clip_norm: float | None = 1.0
    weight_dropout: float = 0.0
    fresh_starts: float = 0.0
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
        for name in ("weight_dropout", "fresh_starts", "beta_1", "beta_2"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ValueError(f"{name} should be from 0 to less than 1, not {share}.")

    def in_steps(self, steps_per_epoch):
        """Return the same recipe, with a budget in epochs converted to steps."""
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
        Time spent so far, over all sessions.
    finished : bool
        Whether the budget is spent.
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


@contextmanager
def _interrupt_deferred():
    """Defer Ctrl-C, or the stop button, to the end of the block: no step is left half done."""
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


class Display:
    """Show how far a run is: as a bar, as a line every half minute, or not at all."""

    def __init__(self, recipe, how):
        self.how, self.last_line, self.bar = how, time.perf_counter(), None
        self.total = recipe.steps or 60 * recipe.minutes
        self.unit = "steps" if recipe.steps else "s"

    def update(self, done, train_bits):
        """Show what is spent of the budget, and the mean loss of the last 50 steps."""
        done, recent = min(done, self.total), f"{np.mean(train_bits[-50:]):.3f} bits/char"
        if self.how is True:
            self.bar = self.bar or self._new_bar(done)
            self.bar.set_postfix_str(recent, refresh=False)
            self.bar.update(done - self.bar.n)
        elif self.how == "lines" and time.perf_counter() - self.last_line > 30:
            self.say(f"{done:,.0f} of {self.total:,.0f} {self.unit}  {recent}")

    def _new_bar(self, done):
        seconds = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"
        style = {"unit": " step"} if self.unit == "steps" else {"bar_format": seconds}
        return tqdm(
            total=self.total, initial=done, file=sys.stdout, mininterval=0.5, ncols=100, **style
        )

    def say(self, line):
        """Print a line, if there is one, beside the bar."""
        if self.how and line:
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()  # a file or a pipe would wait for some thousand characters
            self.last_line = time.perf_counter()

    def close(self):
        """Leave the bar as it is."""
        if self.bar:
            self.bar.close()


def freshly_started(state, share, step):
    """Return the state with that of a random share of the streams emptied.

    The number of the step is the seed: a resumed run empties the same.

    Examples
    --------
    >>> freshly_started([np.ones((4, 1))], share=0.5, step=1)[0].ravel()
    array([1., 1., 0., 1.])
    """
    if not share:
        return state
    kept = np.random.default_rng(step).random((len(state[0]), 1)) >= share
    return [part * kept.astype(np.float32) for part in state]


@dataclass
class Run:
    """What changes while a model is trained, and the folder where it is kept.

    The parameters are those of `fit`, which is the loop that moves a run forward.

    Attributes
    ----------
    optimizer : keras.optimizers.Adam
        With clipping by the global norm.
    state : list of arrays, shape (batch_size, hidden_size)
        Hidden state, and an LSTM's cell state, carried into the next batch.
    history : History
    best_weights : list of ndarray
        At the best evaluation, with `keep_best`.
    identity : dict
        A checkpoint is resumed only if all of this is equal.
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
        # Fail now, before a checkpoint is deleted, rather than at the first evaluation: it needs a
        # text to score, and a prompt that the model can read.
        if len(self.held_out_ids) < 1:
            raise ValueError("A held-out text of 0 characters leaves nothing to score.")
        CharLSTM.from_keras(self.model, self.vocab).read(self.prompt)
        if self.folder:
            self.folder = Path(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)  # fails now rather than after training
        self.optimizer = keras.optimizers.Adam(
            beta_1=self.recipe.beta_1,
            beta_2=self.recipe.beta_2,
            global_clipnorm=self.recipe.clip_norm,
        )
        self.optimizer.build(self.model.trainable_variables)
        self.state = zero_state(self.model, self.recipe.batch_size)
        self.best_weights = self.model.get_weights() if self.recipe.keep_best else []
        self.history, self.seconds_before = History(), 0.0
        self.started = self.last_saved = time.perf_counter()
        # A checkpoint is resumed only by a run that would have made the same one.
        texts = {"train_text": self.train_ids, "held_out_text": self.held_out_ids}
        self.identity = describe(self.model) | asdict(self.recipe)
        self.identity |= {"start_from": self.card.get("start_from")}
        self.identity |= {"vocabulary": sha256(self.vocab.characters)[:16]}
        self.identity |= {name: sha256(np.int32(ids).tobytes())[:16] for name, ids in texts.items()}

    @property
    def steps_taken(self):
        """Steps since the beginning, over all sessions."""
        return len(self.history.train_bits)

    @property
    def seconds(self):
        """Seconds since the beginning, over all sessions."""
        return self.seconds_before + time.perf_counter() - self.started

    @property
    def spent(self):
        """What is spent of the budget, in its unit: steps or seconds."""
        return self.steps_taken if self.recipe.steps else self.seconds

    @property
    def progress(self):
        """The share of the budget that is spent, at most 1."""
        return min(1.0, self.spent / (self.recipe.steps or 60 * self.recipe.minutes))

    def take_step(self, train_step, inputs, targets):
        """Train on one batch, and carry the state over to the next."""
        state = freshly_started(self.state, self.recipe.fresh_starts, self.steps_taken)
        with _interrupt_deferred():
            loss, *self.state = train_step(inputs, targets, state)
            self.history.train_bits.append(float(loss) / np.log(2))
        self.require_finite(self.history.train_bits[-1])

    def evaluate(self):
        """Score the held-out text, write a sample, and return a line about both."""
        if self.steps_taken in [each["step"] for each in self.history.evaluations]:
            return ""  # already scored, before an interrupt
        bits = bits_per_char(self.model, self.held_out_ids, context=self.train_ids)
        writer = CharLSTM.from_keras(self.model, self.vocab)
        sample = generate(writer, self.prompt, 60, temperature=0.7, seed=0)
        found = {"step": self.steps_taken, "seconds": self.seconds}
        with _interrupt_deferred():
            self.history.evaluations.append(found | {"held_out_bits": bits, "sample": sample})
            if self.recipe.keep_best and self.history.best["step"] == self.steps_taken:
                self.best_weights = self.model.get_weights()
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
        return variables | {"state": self.state, "best": self.best_weights}

    def save(self, finished=False, after=0.0):
        """Write model and checkpoint to the folder; not before `after` seconds since the last."""
        if after and time.perf_counter() - self.last_saved <= after:
            return
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
        self.last_saved = time.perf_counter()

    def finish(self):
        """Save the model that the run is for: the last one, or with `keep_best` the best one."""
        if self.recipe.keep_best:
            self.model.set_weights(self.best_weights)
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
        self.state, self.best_weights = arrays["state"], arrays["best"]
        self.history = History(**history)
        self.seconds_before = self.history.seconds
        done = "is finished" if self.history.finished else "continues"
        return f"The run in {self.folder.name} {done}, after {self.steps_taken:,} steps."

    def start_over(self):
        """Delete the checkpoint in the folder, if there is one; return a line about it."""
        # Now, so that nobody takes it for this run's, even if this run is killed before it saves.
        if not self.folder or not (self.folder / "checkpoint.npz").exists():
            return ""
        (self.folder / "checkpoint.npz").unlink()
        return f"The checkpoint in {self.folder.name} is deleted: training starts over."

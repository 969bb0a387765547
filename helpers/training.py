"""Train a character model, interrupt it, and resume it (built in notebook 05).

python -m helpers.training --corpus dracula --minutes 10 --out runs/long
"""

import argparse
import sys
from dataclasses import fields

import numpy as np

from helpers.backend import tf
from helpers.corpora import NOVELS, load_split, split_tail
from helpers.models import adapt, build_char_model, describe, load_model, zero_state
from helpers.runs import Display, Recipe, Run
from helpers.storage import sha256
from helpers.text import Vocabulary, make_streams


def learning_rate(progress, step, peak=1.5e-2, warmup_steps=50):
    """Return the learning rate: a linear warm-up, times half a cosine that falls to zero.

    `progress` is the share of the budget that is spent, 0 to 1, and sets the cosine (Loshchilov and
    Hutter, 2017, without restarts); `step` counts from 0 and sets the warm-up.

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

    def dropped(variable):
        if variable.name != "recurrent_kernel":
            return variable.value
        # The mask depends on the number of the step, which a checkpoint keeps: a resumed run drops
        # the same weights. `seed + 2` is the recurrent kernel's in `build_char_model`, too.
        seed = [describe(model)["seed"] + 2, tf.cast(optimizer.iterations, tf.int32)]
        kept = tf.random.stateless_uniform(variable.shape, seed) >= weight_dropout
        return tf.where(kept, variable.value / (1 - weight_dropout), 0.0)

    def with_dropped_weights(arguments):
        weights = [dropped(variable) for variable in model.trainable_variables]
        others = model.non_trainable_variables  # the state of the output dropout's random generator
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
        Score the held-out text and write a sample before training, at the end, and
        `evaluations - 1` times in between, evenly spread over the budget; with 0, at the end only.
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
    display = Display(recipe, progress_bar)
    display.say(run.start_over() if restart else run.resume())
    if run.history.finished:
        return run.history

    train_step = make_train_step(model, run.optimizer, recipe.weight_dropout)
    try:
        while (progress := run.progress) < 1:
            if evaluations and len(run.history.evaluations) <= progress * evaluations:
                display.say(run.evaluate())
            step = run.steps_taken
            batch = step % len(inputs)
            if batch == 0:
                run.state = zero_state(model, recipe.batch_size)  # the text begins again
            rate = learning_rate(progress, step, recipe.peak_rate, recipe.warmup_steps)
            run.optimizer.learning_rate = rate
            # Truncated backpropagation: gradients stop at the ends of a batch, the state goes on.
            run.take_step(train_step, inputs[batch], targets[batch])
            display.update(run.spent, run.history.train_bits)
            run.save(after=checkpoint_seconds)
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
        help="dracula, speeches, addresses, shelf, stoker, or the path of a text file",
    )  # fmt: skip
    parser.add_argument(
        "--validate", action="store_true",
        help="hold out the end of the training text, for choices; leave the held-out text alone",
    )  # fmt: skip
    parser.add_argument("--out", required=True, metavar="FOLDER", help="for checkpoints and model")
    parser.add_argument(
        "--start-from", metavar="FOLDER", help="a model whose weights to begin with"
    )
    parser.add_argument(
        "--hidden-size", type=int,
        help=f"(default: {LONG_RUN['hidden_size']}, or what the model to begin with has)",
    )  # fmt: skip
    parser.add_argument("--embedding-size", type=int, help="(default: 32)")
    parser.add_argument("--cell", choices=("lstm", "rnn"), help="(default: lstm)")
    parser.add_argument("--dropout", type=float, default=LONG_RUN["dropout"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fast", action="store_true", help="multiply matrices in bfloat16")
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
    parser.add_argument("--restart", action="store_true", help="delete the run in the folder first")
    return parser


def main(arguments=None):
    """Train from the command line; a run found in the folder is resumed."""
    args = _parser().parse_args(arguments)
    sizes = {name: getattr(args, name) for name in ("hidden_size", "embedding_size", "cell")}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    fixed = " and ".join(name for name in sizes if name != "hidden_size")
    if args.start_from and fixed:
        raise ValueError(f"--start-from brings its own {fixed}: leave it out.")
    recipe = Recipe(**{option.name: getattr(args, option.name) for option in fields(Recipe)})
    train, held_out = load_split(args.corpus)
    characters = train + held_out
    if args.validate:
        train, held_out = split_tail(train)
    others = {"dropout": args.dropout, "seed": args.seed, "fast": args.fast}
    if args.start_from:
        model, vocab = adapt(*load_model(args.start_from), characters, **sizes, **others)
    else:
        vocab = Vocabulary.from_text(characters)
        sizes = {"hidden_size": LONG_RUN["hidden_size"]} | sizes
        model = build_char_model(len(vocab), **sizes, **others)
    judged_by = "validation" if args.validate or args.corpus in NOVELS else "held-out"
    card = {"corpus": args.corpus, "text_sha256": sha256(train + held_out), "judge": judged_by}
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
    print(f"bits per character on {judged_by} text: {score:.3f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, FloatingPointError) as problem:
        sys.exit(f"helpers.training: {problem}")

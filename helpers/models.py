"""The character model in Keras: build it, save it, load it."""

import functools

import numpy as np

from helpers.backend import keras
from helpers.storage import GATES, read_model, write_model
from helpers.text import Vocabulary


def build_char_model(
    vocab_size, hidden_size=256, embedding_size=32, dropout=0.0, seed=0, fast=False, cell="lstm"
):
    """Build a model that reads characters and predicts, after each, the next one.

    The state is an input and an output: `logits, *state = model([tokens, *state])`. It is
    hidden and cell state, or with a plain cell the hidden state alone.

    Parameters
    ----------
    vocab_size, hidden_size, embedding_size : int
    dropout : float
        Share of the recurrent layer's outputs that is dropped in training, from 0 to less than 1.
    seed : int
        Fixes the initial weights and the dropout masks.
    fast : bool
        Train with `helpers.fast_lstm`, which multiplies in bfloat16: for long runs.
    cell : {"lstm", "rnn"}
        The LSTM, or the plain recurrent cell (`keras.layers.SimpleRNN`).

    Returns
    -------
    keras.Model
        From tokens `(batch, time)` and the state, one or two arrays `(batch, hidden_size)`,
        to logits `(batch, time, vocab_size)` and the new state.

    Raises
    ------
    ValueError
        If there is no such cell, or no fast one.

    Examples
    --------
    >>> model = build_char_model(vocab_size=10, hidden_size=8, embedding_size=4)
    >>> logits, *state = model([np.zeros((2, 5), "int32"), *zero_state(model, batch_size=2)])
    >>> logits.shape, [s.shape for s in state]
    (TensorShape([2, 5, 10]), [TensorShape([2, 8]), TensorShape([2, 8])])
    """
    layers, initializers = keras.layers, keras.initializers
    if cell not in ("lstm", "rnn") or (fast and cell != "lstm"):
        raise ValueError(f"There is no {'fast ' * fast}cell {cell!r}.")
    layer = {"lstm": layers.LSTM, "rnn": layers.SimpleRNN}[cell]
    recurrent = functools.partial(layer, return_sequences=True, return_state=True)
    if fast:
        from helpers.fast_lstm import FastLSTM as recurrent  # here, as no lesson needs it
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    names = {"lstm": ("hidden", "cell"), "rnn": ("hidden",)}[cell]
    state = [keras.Input((hidden_size,), name=name) for name in names]
    # Keras starts an embedding within 0.05 of zero, and training first has to make it larger.
    wide = initializers.RandomNormal(stddev=1.0, seed=seed)
    x = layers.Embedding(vocab_size, embedding_size, embeddings_initializer=wide)(tokens)
    x, *new_state = recurrent(
        hidden_size,
        # Glorot's rule, Keras's own, makes these weights smaller the more sums they feed.
        kernel_initializer=initializers.LecunUniform(seed=seed + 1),
        recurrent_initializer=initializers.Orthogonal(seed=seed + 2),
    )(x, initial_state=state)
    if dropout:
        x = layers.Dropout(dropout, seed=seed)(x)
    glorot = initializers.GlorotUniform(seed=seed)
    logits = layers.Dense(vocab_size, kernel_initializer=glorot)(x)
    return keras.Model([tokens, *state], [logits, *new_state])


def zero_state(model, batch_size):
    """Return the state before anything was read: a list of arrays `(batch_size, hidden_size)`."""
    return [np.zeros((batch_size, state.shape[1]), np.float32) for state in model.inputs[1:]]


def describe(model):
    """Return the options with which `build_char_model` built a model, read off the model itself."""
    embedding = next(each for each in model.layers if isinstance(each, keras.layers.Embedding))
    dropout = [each.rate for each in model.layers if isinstance(each, keras.layers.Dropout)]
    kinds = (keras.layers.LSTM, keras.layers.SimpleRNN)
    recurrent = next(each for each in model.layers if isinstance(each, kinds))
    plain = isinstance(recurrent, keras.layers.SimpleRNN)
    return {
        "hidden_size": model.inputs[1].shape[1],
        "embedding_size": embedding.output_dim,
        "dropout": dropout[0] if dropout else 0.0,
        "seed": embedding.embeddings_initializer.seed,
        "fast": type(recurrent) not in kinds,
        "cell": "rnn" if plain else "lstm",
    }


def adapt(model, vocab, text, **changes):
    """Copy a model for another text, with a vocabulary that grows by the characters it never met.

    A new character gets a random row of the embedding, and an output as unlikely as that of the
    rarest character the model knows. A new unit listens to all others, and nobody listens to it
    until training says so: the wider model predicts what the narrow one predicts (after Chen,
    Goodfellow and Shlens, "Net2Net: accelerating learning via knowledge transfer", 2016).

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`; left as it is.
    vocab : Vocabulary
    text : str
    **changes
        What else is different: `dropout`, `seed`, `fast`, or a larger `hidden_size`.

    Returns
    -------
    model : keras.Model
    vocab : Vocabulary
        The characters of `vocab`, then the new ones.

    Raises
    ------
    ValueError
        If `hidden_size` is smaller than the model's.

    Examples
    --------
    >>> model, vocab = build_char_model(vocab_size=2, hidden_size=8), Vocabulary("ab")
    >>> model, vocab = adapt(model, vocab, "a cab", dropout=0.2)
    >>> vocab.characters, model.output_shape[0][-1]
    ('ab c', 4)
    """
    unknown = sorted(set(text) - set(vocab.characters))
    vocab = Vocabulary(vocab.characters + "".join(unknown))
    options = describe(model) | changes
    if options["hidden_size"] < describe(model)["hidden_size"]:
        raise ValueError("A model can be given more units, but none can be taken away.")
    embedding, *recurrent, kernel, bias = model.get_weights()
    adapted = build_char_model(len(vocab), **options)
    rows, *fresh, dense, _ = adapted.get_weights()  # as a new model has them
    recurrent = [_widened(*pair, options["cell"]) for pair in zip(recurrent, fresh, strict=True)]
    dense[:] = 0  # nobody listens to a new unit, and nothing speaks for a new character
    dense[: len(kernel), : len(bias)] = kernel
    bias = np.concatenate([bias, np.full(len(unknown), bias.min(), bias.dtype)])
    embedding = np.concatenate([embedding, rows[len(embedding) :]])
    adapted.set_weights([embedding, *recurrent, dense, bias])
    return adapted, vocab


def _widened(old, new, cell):
    """Return the weights `new` of a wider layer, with `old` in the place of the units it had."""
    old, wide = (each.reshape(*each.shape[:-1], GATES[cell], -1) for each in (old, new.copy()))
    wide[..., : old.shape[-1]] = 0  # the old units do not listen to the new ones
    wide[tuple(slice(size) for size in old.shape)] = old
    return wide.reshape(new.shape)


def save_model(model, vocab, folder, dtype="float32", **card):
    """Write a model to a folder, as plain numbers and a JSON card.

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`.
    vocab : Vocabulary
    folder : str or Path
    dtype : {"float32", "float16", "int8"}
        Half precision halves the file, 8 bits quarter it: see `helpers.storage.write_model`.
    **card
        What else to record: data, recipe, bits per character.
    """
    config = {"characters": vocab.characters, **describe(model), **card}
    write_model(folder, config, model.get_weights(), dtype)


def load_model(folder):
    """Load a model that `save_model` wrote.

    Returns
    -------
    model : keras.Model
    vocab : Vocabulary

    Raises
    ------
    FileNotFoundError, ValueError
        As `helpers.storage.read_model`, which also takes the name of a folder in `data/models/`.
    """
    config, weights = read_model(folder)
    vocab = Vocabulary(config["characters"])
    options = ("hidden_size", "embedding_size", "dropout", "seed", "cell")
    model = build_char_model(len(vocab), **{key: config[key] for key in options if key in config})
    model.set_weights(list(weights.values()))
    return model, vocab

"""The character model in Keras: build it, save it, load it."""

import os
from contextlib import contextmanager

import numpy as np

from helpers.storage import read_model, write_model
from helpers.text import Vocabulary


@contextmanager
def _stderr_shut():
    """Send what C++ code writes to stderr nowhere: TensorFlow's greeting cannot be switched off otherwise."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


with _stderr_shut():
    import keras


def build_char_model(vocab_size, hidden_size=256, embedding_size=32, layers=1, dropout=0.0, seed=0):
    """Build a model that reads characters and predicts, after each, the next one.

    The state goes in and comes out: `logits, *state = model([tokens, *state])`.

    Parameters
    ----------
    vocab_size, hidden_size, embedding_size, layers : int
    dropout : float
        Share of the last layer's outputs that is dropped in training, 0 to less than 1.
    seed : int
        Fixes the initial weights.

    Returns
    -------
    keras.Model
        From tokens `(batch, time)` and, for each layer, hidden and cell state `(batch, hidden_size)`
        to logits `(batch, time, vocab_size)` and the new states.

    Examples
    --------
    >>> model = build_char_model(vocab_size=10, hidden_size=8, embedding_size=4)
    >>> logits, *state = model([np.zeros((2, 5), "int32"), *zero_state(model, batch_size=2)])
    >>> logits.shape, [s.shape for s in state]
    (TensorShape([2, 5, 10]), [TensorShape([2, 8]), TensorShape([2, 8])])
    """
    layer, start = keras.layers, keras.initializers
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    states, new_states = [], []
    # Keras would start the embedding within 0.05 of zero, and training would first have to make it larger.
    x = layer.Embedding(
        vocab_size, embedding_size, embeddings_initializer=start.RandomNormal(stddev=1.0, seed=seed)
    )(tokens)
    for number in range(layers):
        state = [
            keras.Input((hidden_size,), name=f"{kind}_{number}") for kind in ("hidden", "cell")
        ]
        x, *new_state = layer.LSTM(
            hidden_size,
            return_sequences=True,
            return_state=True,
            kernel_initializer=start.GlorotUniform(seed=seed + 2 * number + 1),
            recurrent_initializer=start.Orthogonal(seed=seed + 2 * number + 2),
        )(x, initial_state=state)
        states += state
        new_states += new_state
    if dropout:
        x = layer.Dropout(dropout, seed=seed)(x)
    logits = layer.Dense(vocab_size, kernel_initializer=start.GlorotUniform(seed=seed))(x)
    return keras.Model([tokens, *states], [logits, *new_states])


def zero_state(model, batch_size):
    """Return the state before anything was read: one array `(batch_size, hidden_size)` for each state of `model`."""
    return [np.zeros((batch_size, state.shape[1]), np.float32) for state in model.inputs[1:]]


def describe(model):
    """Return what `build_char_model` was called with, read off the model itself."""
    embedding = next(layer for layer in model.layers if isinstance(layer, keras.layers.Embedding))
    dropout = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    return {
        "hidden_size": model.inputs[1].shape[1],
        "embedding_size": embedding.output_dim,
        "layers": len(model.inputs) // 2,
        "dropout": dropout[0] if dropout else 0.0,
        "seed": embedding.embeddings_initializer.seed,
    }


def adapt(model, vocab, text, **changes):
    """Copy a model, so that it can learn from another text: its vocabulary grows by the characters it never met.

    A new character gets a random row of the embedding, and an output as unlikely as the rarest the model knows.

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`; left as it is.
    vocab : Vocabulary
    text : str
    **changes
        What else is different: `dropout` or `seed`.

    Returns
    -------
    model : keras.Model
    vocab : Vocabulary
        The characters of `vocab`, then the new ones.

    Examples
    --------
    >>> model, vocab = build_char_model(vocab_size=2, hidden_size=8), Vocabulary("ab")
    >>> model, vocab = adapt(model, vocab, "a cab", dropout=0.2)
    >>> vocab.characters, model.output_shape[0][-1]
    ('ab c', 4)
    """
    unknown = sorted(set(text) - set(vocab.characters))
    vocab = Vocabulary(vocab.characters + "".join(unknown))
    embedding, *body, kernel, bias = model.get_weights()
    adapted = build_char_model(len(vocab), **describe(model) | changes)
    rows = adapted.get_weights()[0][len(bias) :]  # as a new model would have them
    columns = np.zeros((len(kernel), len(unknown)), kernel.dtype)
    quiet = np.full(len(unknown), bias.min(), bias.dtype)
    adapted.set_weights(
        [
            np.concatenate([embedding, rows]),
            *body,
            np.hstack([kernel, columns]),
            np.concatenate([bias, quiet]),
        ]
    )
    return adapted, vocab


def save_model(model, vocab, folder, dtype="float32", **card):
    """Write `model` to `folder`, as plain numbers and a JSON card.

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`.
    vocab : Vocabulary
    folder : str or Path
    dtype : {"float32", "float16"}
        Half precision halves the file.
    **card
        What else to note: data, recipe, bits per character.
    """
    write_model(
        folder,
        {"characters": vocab.characters, **describe(model), **card},
        model.get_weights(),
        dtype,
    )


def load_model(folder):
    """Load a model that `save_model` wrote.

    Returns
    -------
    model : keras.Model
    vocab : Vocabulary

    Raises
    ------
    FileNotFoundError, ValueError
        As `helpers.storage.read_model`, which also takes the name of a folder under `data/models/`.
    """
    config, weights = read_model(folder)
    vocab = Vocabulary(config["characters"])
    options = ("hidden_size", "embedding_size", "layers", "dropout", "seed")
    model = build_char_model(len(vocab), **{key: config[key] for key in options if key in config})
    model.set_weights(list(weights.values()))
    return model, vocab

"""Keep a model in a folder: `config.json` and `weights.npz`, both plain data; reading them runs no code."""

import json
import os
from pathlib import Path

import numpy as np

MODELS = Path(__file__).resolve().parent.parent / "data" / "models"
RUNS = Path(os.environ.get("COURSE_RUNS", Path(__file__).resolve().parent.parent / "runs"))


def write_atomically(path, write):
    """Call `write(file)` on a file beside `path`, then move it there: a reader finds the old file or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    with open(draft, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def weight_shapes(config):
    """Return name and shape of every weight of the model that `config` describes, in Keras's order."""
    vocab_size, hidden_size = len(config["characters"]), config["hidden_size"]
    shapes = {"embedding": (vocab_size, config["embedding_size"])}
    width = config["embedding_size"]
    for layer in range(config["layers"]):
        shapes[f"lstm_{layer}.kernel"] = (width, 4 * hidden_size)
        shapes[f"lstm_{layer}.recurrent_kernel"] = (hidden_size, 4 * hidden_size)
        shapes[f"lstm_{layer}.bias"] = (4 * hidden_size,)
        width = hidden_size
    return shapes | {"dense.kernel": (hidden_size, vocab_size), "dense.bias": (vocab_size,)}


def write_model(folder, config, weights, dtype="float32"):
    """Write a model's configuration and its list of weights; `dtype` float16 halves the file."""
    arrays = {
        name: np.asarray(w, dtype=dtype)
        for name, w in zip(weight_shapes(config), weights, strict=True)
    }
    write_atomically(Path(folder) / "weights.npz", lambda file: np.savez(file, **arrays))
    text = json.dumps(config, indent=1, ensure_ascii=True) + "\n"
    write_atomically(Path(folder) / "config.json", lambda file: file.write(text.encode()))


def read_model(folder):
    """Read the configuration and the weights of a model.

    Parameters
    ----------
    folder : str or Path
        A folder, or the name of one under `data/models/`.

    Returns
    -------
    config : dict
        With `characters`, `hidden_size`, `embedding_size`, `layers` and what else the card says.
    weights : dict of ndarray, float32
        By name, in Keras's order.

    Raises
    ------
    FileNotFoundError
        If there is no such model; the message lists those there are.
    ValueError
        If a file is damaged, or the weights do not fit the configuration.

    Examples
    --------
    >>> config, weights = read_model("dracula")
    >>> weights["embedding"].shape == (len(config["characters"]), config["embedding_size"])
    True
    """
    if not Path(folder).is_dir() and (MODELS / folder).is_dir():
        folder = MODELS / folder
    folder = Path(folder)
    if not (folder / "config.json").is_file() or not (folder / "weights.npz").is_file():
        known = sorted(path.parent.name for path in MODELS.glob("*/config.json"))
        raise FileNotFoundError(
            f"There is no model in {str(folder)!r}: it takes a config.json and a weights.npz. Under data/models/: {known}"
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shapes = weight_shapes(config)
        with np.load(folder / "weights.npz", allow_pickle=False) as file:
            if set(file.files) != set(shapes):
                raise ValueError(f"weights.npz holds {sorted(file.files)}, not {sorted(shapes)}")
            weights = {name: file[name].astype(np.float32) for name in shapes}
    except Exception as problem:  # damage has many faces, and every one is reported here
        raise ValueError(
            f"The model in {str(folder)!r} is damaged: {problem!r}. Fetch or train it again."
        ) from problem
    for name, shape in shapes.items():
        if weights[name].shape != shape or not np.isfinite(weights[name]).all():
            raise ValueError(
                f"The model in {str(folder)!r} does not fit its config.json: {name} should hold finite numbers "
                f"of shape {shape}, and has shape {weights[name].shape}."
            )
    return config, weights

"""Model and run files: plain numbers with a JSON card, replaced whole, and safe to read.

A model is a folder with one file, `model.npz`: a zip archive of `config.json` (characters, sizes,
recipe, scores) and one array per weight. One file, because only one file can be replaced in a
single step: nobody ever finds a new configuration beside old weights.
"""

import glob
import hashlib
import json
import math
import os
import threading
import time
import tokenize
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from helpers import MODELS

GATES = {"lstm": 4, "rnn": 1}  # blocks of weights in a layer, by kind of cell
LARGEST_SIZE = 65_536  # units of a layer; beyond any model of this course
LARGEST_CARD = 1_000_000  # bytes of JSON
ABANDONED = 60  # seconds since the last write after which a temporary file is a leftover
# What a damaged archive raises, depending on where the damage is. OSError: a seek to nowhere. The
# last three come from NumPy, which reads the header of an array as Python's parser would.
DAMAGE = (zipfile.BadZipFile, ValueError, TypeError, KeyError, EOFError, RuntimeError, OSError)
DAMAGE += (tokenize.TokenError, SyntaxError, MemoryError)


def sha256(data):
    """Return the SHA-256 digest of `data`, bytes or text, in hexadecimal."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@contextmanager
def _damage_reported(path, remedy):
    """Turn whatever a damaged file raises into one ValueError that says what to do."""
    try:
        yield
    except DAMAGE as problem:
        raise ValueError(f"{path} is damaged ({problem!s:.500}). {remedy}") from problem


@contextmanager
def replacing(path):
    """Yield the path of a temporary file that replaces `path` at the end, unless something fails.

    A reader of `path` finds the old file or the new one, never half of one. The temporary name
    belongs to this process and thread alone, so two writers do not disturb each other: the last one
    wins. What a killed process left behind is removed by the next writer, after a minute.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [path.name for path in folder.iterdir()]
    ['note.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        try:
            if time.time() - old.stat().st_mtime > ABANDONED:
                old.unlink()
        except OSError:
            pass  # another writer was faster, or it is not ours to delete
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_archive(path, card, arrays):
    """Write a JSON card and named arrays to one file, in one step.

    The arrays are not compressed, so a reader can tell from the size of the file how much memory
    they take. The file is an `.npz`: `numpy.load` opens it, and so does any program that unzips.

    Parameters
    ----------
    path : str or Path
    card : dict
        Anything that JSON can hold.
    arrays : dict of str to ndarray

    Raises
    ------
    OSError
        If the file cannot be written, for example because the disk is full. What was there stays.
    """
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                # ZipInfo dates every entry 1980, so the same content gives the same bytes.
                archive.writestr(zipfile.ZipInfo("config.json"), json.dumps(card, indent=1) + "\n")
                for name, array in arrays.items():
                    about = zipfile.ZipInfo(f"{name}.npy")
                    with archive.open(about, "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
            file.close()  # Windows does not rename an open file
    except OSError as problem:
        reason = f"{problem.strerror or problem}; what was saved there before is intact"
        raise OSError(problem.errno, reason, str(path)) from problem


def read_card(file, largest=LARGEST_CARD):
    """Return the JSON card of an open archive.

    Refuses an archive whose entries are compressed, or claim more bytes than the file has: from
    then on, nothing that is read can be larger than the file.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its entries are compressed, and could unpack to any size")
        if any(entry.compress_size != entry.file_size for entry in entries):
            raise ValueError("its entries claim two different sizes")
        file.seek(0, os.SEEK_END)
        if sum(entry.file_size for entry in entries) > file.tell():
            raise ValueError("its entries claim more bytes than the file has")
        if archive.getinfo("config.json").file_size > largest:
            raise ValueError(f"its config.json is larger than {largest:,} bytes")
        card = json.loads(archive.read("config.json"))
    if not isinstance(card, dict):
        raise ValueError("its config.json is not an object")
    return card


def read_arrays(file, shapes):
    """Return the arrays of an open archive by name, each compared with its shape before it is read.

    Parameters
    ----------
    file : binary file
        One that `read_card` accepted.
    shapes : dict of str to tuple
        The arrays that should be there: all of them, and no others.
    """
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        found = {name.removesuffix(".npy") for name in archive.namelist() if name != "config.json"}
        if found != set(shapes):
            raise ValueError(f"it holds {sorted(found)}, not {sorted(shapes)}")
        for name, shape in shapes.items():
            with archive.open(f"{name}.npy") as entry:
                version = np.lib.format.read_magic(entry)
                if version != (1, 0):
                    raise ValueError(
                        f"{name} is in version {version} of NumPy's format, not (1, 0)"
                    )
                header = np.lib.format.read_array_header_1_0(entry)
                size = archive.getinfo(f"{name}.npy").file_size - entry.tell()
            if header[0] != shape or header[2].kind not in "fiu":
                raise ValueError(f"{name} should hold numbers of shape {shape}, not {header[0]}")
            if size != math.prod(shape) * header[2].itemsize:  # NumPy allocates before it reads
                raise ValueError(f"{name} of shape {shape} does not have {size:,} bytes")
            with archive.open(f"{name}.npy") as entry:  # zipfile compares the checksum at the end
                arrays[name] = np.lib.format.read_array(entry, allow_pickle=False)
    return arrays


def check_config(config):
    """Return `config` if a model can be built from it; otherwise raise ValueError.

    Examples
    --------
    >>> check_config({"characters": "ab", "hidden_size": 0, "embedding_size": 4})
    Traceback (most recent call last):
    ValueError: hidden_size should be a whole number from 1 to 65,536, not 0
    """
    characters = config.get("characters")
    if not isinstance(characters, str) or not characters or len(set(characters)) < len(characters):
        raise ValueError("characters should be a string that lists each character once")
    for name in ("hidden_size", "embedding_size"):
        size = config.get(name)
        if type(size) is not int or not 1 <= size <= LARGEST_SIZE:
            asked = f"{name} should be a whole number from 1 to {LARGEST_SIZE:,}"
            raise ValueError(f"{asked}, not {str(size)[:20]}")
    dropout, seed = config.get("dropout", 0.0), config.get("seed", 0)
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ValueError(f"dropout should be from 0 to less than 1, not {str(dropout)[:20]}")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"seed should be a whole number, 0 or more, not {str(seed)[:20]}")
    if config.get("cell", "lstm") not in list(GATES):
        raise ValueError(f"cell should be 'lstm' or 'rnn', not {str(config['cell'])[:20]!r}")
    return config


def weight_shapes(config):
    """Return the shape of every weight of the model that `config` describes, in Keras's order."""
    vocab_size = len(config["characters"])
    hidden_size, embedding_size = config["hidden_size"], config["embedding_size"]
    cell = config.get("cell", "lstm")
    width = GATES[cell] * hidden_size
    return {
        "embedding": (vocab_size, embedding_size),
        f"{cell}.kernel": (embedding_size, width),
        f"{cell}.recurrent_kernel": (hidden_size, width),
        f"{cell}.bias": (width,),
        "dense.kernel": (hidden_size, vocab_size),
        "dense.bias": (vocab_size,),
    }


def in_8_bits(matrix):
    """Round a matrix to whole numbers from -127 to 127, with a scale for each row.

    A row holds what one unit, or one character, says to all others. (A scale for each column costs
    eight times as many bits per character: some units are loud.)

    Returns
    -------
    numbers : ndarray of int8, shape (rows, columns)
    scale : ndarray of float32, shape (rows, 1)
        The matrix is about `numbers * scale`: no number is off by more than half its scale.

    Examples
    --------
    >>> numbers, scale = in_8_bits(np.array([[1.0, -0.5], [0.0, 0.0]]))
    >>> numbers.tolist(), scale.tolist()
    ([[127, -64], [0, 0]], [[0.007874015718698502], [0.0]])
    """
    scale = (np.abs(matrix).max(axis=1, keepdims=True) / 127).astype(np.float32)
    return np.round(matrix / np.where(scale > 0, scale, 1)).astype(np.int8), scale


def write_model(folder, config, weights, dtype="float32"):
    """Write a model's configuration and its list of weights.

    Parameters
    ----------
    folder : str or Path
    config : dict
    weights : list of ndarray
        In Keras's order.
    dtype : {"float32", "float16", "int8"}
        Half precision halves the file, and `in_8_bits` quarters it; the biases are in half
        precision then.

    Raises
    ------
    ValueError
        If the weights do not fit the configuration. Nothing is written then.
    """
    shapes = weight_shapes(check_config(config))
    small = "float16" if dtype == "int8" else dtype
    arrays = {name: np.asarray(weight) for name, weight in zip(shapes, weights, strict=True)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} should have shape {shape}, not {arrays[name].shape}.")
        if dtype == "int8" and len(shape) == 2:
            arrays[name], arrays[f"{name}.scale"] = in_8_bits(arrays[name])
        else:
            arrays[name] = arrays[name].astype(small)
    config = config | {"scaled": True} if dtype == "int8" else config
    write_archive(Path(folder) / "model.npz", config, arrays)


def read_model(folder):
    """Read the configuration and the weights of a model.

    Parameters
    ----------
    folder : str or Path
        A folder, or the name of one under `data/models/`.

    Returns
    -------
    config : dict
        `characters`, `hidden_size`, `embedding_size`, and what else the card says. Without `cell`,
        which may be "rnn", it is an LSTM.
    weights : dict of ndarray, float32
        By name, in Keras's order.

    Raises
    ------
    FileNotFoundError
        If there is no such model; the message lists the models that come with the course.
    ValueError
        If the file is damaged, or the weights do not fit the configuration. Sizes are compared
        before memory is allocated, and no code is run.

    Examples
    --------
    >>> config, weights = read_model("dracula")
    >>> weights["embedding"].shape == (len(config["characters"]), config["embedding_size"])
    True
    """
    if not Path(folder).is_dir() and (MODELS / folder).is_dir():
        folder = MODELS / folder
    path = Path(folder) / "model.npz"
    if not path.is_file():
        known = ", ".join(sorted(path.parent.name for path in MODELS.glob("*/model.npz")))
        raise FileNotFoundError(
            f"There is no model in {str(folder)!r}: it should hold a file model.npz. "
            f"Models that come with the course: {known}."
        )
    with open(path, "rb") as file, _damage_reported(path, "Fetch or train the model again."):
        config = check_config(read_card(file))
        shapes = weight_shapes(config)
        scaled = [name for name in shapes if len(shapes[name]) == 2 and config.get("scaled")]
        scales = {f"{name}.scale": (shapes[name][0], 1) for name in scaled}
        arrays = read_arrays(file, shapes | scales)
        weights = {name: arrays[name] for name in shapes}
        for name, array in weights.items():
            with np.errstate(over="ignore"):  # a number too large for 32 bits becomes infinite
                weights[name] = array.astype(np.float32)
                if name in scaled:
                    weights[name] *= arrays[f"{name}.scale"].astype(np.float32)
            if not np.isfinite(weights[name]).all():
                raise ValueError(f"{name} holds numbers that are not finite")
    return config, weights


def write_checkpoint(folder, identity, history, groups):
    """Write all that a run needs in order to go on.

    Parameters
    ----------
    folder : str or Path
    identity : dict
        What has to be equal for a run to be resumed.
    history : dict
    groups : dict of str to list of ndarray
    """
    card = {"identity": identity, "history": history}
    write_archive(Path(folder) / "checkpoint.npz", card, _numbered(groups))


def read_checkpoint(folder, identity, shapes):
    """Read what `write_checkpoint` wrote.

    Parameters
    ----------
    folder : str or Path
    identity : dict
        That of the run that is to be resumed.
    shapes : dict of str to list of tuple
        The shapes of the arrays in each group.

    Returns
    -------
    history : dict
    groups : dict of str to list of ndarray

    Raises
    ------
    ValueError
        If the file is damaged, or belongs to another run; names what differs.
    """
    path = Path(folder) / "checkpoint.npz"
    remedy = "Delete it, or train from the beginning with restart=True (--restart)."
    with open(path, "rb") as file:
        with _damage_reported(path, remedy):
            # The history grows with the run; that it is no larger than the file is checked.
            card = read_card(file, largest=path.stat().st_size)
            theirs, history = dict(card["identity"]), dict(card["history"])
        different = [
            f"{name} {theirs.get(name)!r}, not {value!r}"
            for name, value in identity.items()
            if theirs.get(name) != value
        ]
        if different:
            raise ValueError(
                f"The folder {str(folder)!r} holds a run with {'; '.join(different)}. "
                "Choose another folder, or train from the beginning with restart=True (--restart)."
            )
        with _damage_reported(path, remedy):
            arrays = read_arrays(file, _numbered(shapes))
    return history, {
        name: [arrays[key] for key in _numbered({name: group})] for name, group in shapes.items()
    }


def _numbered(groups):
    """Return the members of all groups by name and number: model_000, model_001, ..."""
    return {
        f"{name}_{i:03}": each for name, group in groups.items() for i, each in enumerate(group)
    }

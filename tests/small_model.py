"""A small model in a folder, which can be written again in any way, sound or not."""

import io
import json
import zipfile

import numpy as np

from helpers.storage import weight_shapes, write_model

CONFIG = {"characters": "abc", "hidden_size": 2, "embedding_size": 3, "dropout": 0.0}


class SmallModel:
    """Write a sound model to begin with; see the fixture `small_model`."""

    def __init__(self, folder):
        self.folder, self.path, self.config = folder, folder / "model.npz", dict(CONFIG)
        write_model(folder, self.config, list(self.weights().values()))

    def weights(self, config=None):
        """Return random weights, by name, that fit a configuration."""
        rng, shapes = np.random.default_rng(0), weight_shapes(config or self.config)
        return {name: rng.normal(size=shape) for name, shape in shapes.items()}

    def forge(self, card=None, **changes):
        """Write any card, and weights of which some are replaced, or left out (None)."""
        card = self.config if card is None else card
        entries = {"config.json": card if isinstance(card, str | bytes) else json.dumps(card)}
        for name, value in (self.weights() | changes).items():
            if value is not None:
                entries[f"{name}.npy"] = value if isinstance(value, bytes) else saved(value)
        with zipfile.ZipFile(self.path, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content)


def saved(array):
    """Return what `numpy.save` writes of an array."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def headed(header, content=b""):
    """Return an array file whose header says anything."""
    header = header.encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content

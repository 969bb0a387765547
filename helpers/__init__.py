"""Settings made before TensorFlow and NumPy are imported, and where things are; nothing else."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Writing one character at a time is too little work for several threads: on a busy machine they
# wait for each other, and sampling falls from thousands of characters per second to hundreds.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
TEXTS = DATA / "texts"  # downloaded books
MODELS = DATA / "models"  # models that come with the course
RUNS = Path(os.environ.get("COURSE_RUNS", ROOT / "runs"))  # what you train

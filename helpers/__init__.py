"""Settings of the course, made before TensorFlow and NumPy are imported; nothing else."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# One character at a time is too little work for several threads: on a busy machine they wait for each other, and
# sampling falls from thousands of characters a second to hundreds.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

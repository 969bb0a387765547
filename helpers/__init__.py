"""Plumbing of the course: quiet TensorFlow settings, made before anyone imports it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

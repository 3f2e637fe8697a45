"""Transformers that keep the promise, built weight by weight."""

import os

# Worker threads that wait by spinning stall each other as soon as another process wants a core: a sweep was
# seen to take forty times as long.  Read once, when torch is first imported; the user's own setting stands.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""Alembic's folder: env.py runs the versions, each a plain file `NNNN_name.py` with revision "NNNN"."""

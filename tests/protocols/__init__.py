"""Codecs, tested through their public functions. strategies.py makes what a dialect can carry."""

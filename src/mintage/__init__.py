"""Mintage turns a language model into a business: serve, meter, charge, settle, invoice, and see the margin."""

__version__ = "0.1.0"

"""The corpus: documents in, batches of clean documents out, and a count of every one that was left behind.

In: files as The Pile, C4, BookCorpus, OpenWebText and Wikipedia publish them, plain text, JSON lines, Parquet. Out:
Arrow record batches of SCHEMA. Every step is a function from batches to batches that writes what it took and what it
left to a Tally. Nothing read is ever executed, unpacked to disk or trusted for its size. Start at read.py.
"""

from mintage.factory.corpus.documents import SCHEMA, Tally, batches, documents
from mintage.factory.corpus.read import FORMATS, read_corpus
from mintage.factory.corpus.streams import Limits

__all__ = ["FORMATS", "SCHEMA", "Limits", "Tally", "batches", "documents", "read_corpus"]

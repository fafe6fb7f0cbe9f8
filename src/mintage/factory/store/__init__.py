"""Token stores: documents as ids in Megatron-LM's indexed format (.bin and .idx), memory-mapped when read.

In: lists of ids. Out: NAME.bin and NAME.idx, which Megatron-LM reads as they are, and a TokenStore over them.
Start with indexed.py.
"""

from mintage.factory.store.indexed import StoreReport, TokenStore, open_store, write_store

__all__ = ["StoreReport", "TokenStore", "open_store", "write_store"]

"""What answers cost us: provider prices (dated, from genai-prices), the operator's overrides, own machines.

In: provider, model, usage, moment. Out: Cost, exact; or MintageError("unpriceable"), never a guess.
book.py finds the prices, schedule.py applies them, shelf.py keeps the books. Start with CostBook.cost.
"""

from mintage.pricing.costs.book import CostBook, compute_cost
from mintage.pricing.costs.shelf import BookShelf, ShelfEntry

__all__ = ["BookShelf", "CostBook", "ShelfEntry", "compute_cost"]

"""What answers cost us: provider prices (dated, from genai-prices), the operator's overrides, own machines.

In: provider, model, usage, moment. Out: Cost, exact; or MintageError("unpriceable"), never a guess.
book.py finds the prices, schedule.py applies them, data.py is how they are stored. Start with CostBook.cost.
"""

from mintage.pricing.costs.book import CostBook, compute_cost

__all__ = ["CostBook", "compute_cost"]

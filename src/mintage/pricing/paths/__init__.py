"""Plans whose bill depends on the order of events: prepaid lots that expire, packs, automatic top-ups, limits.

In: events in order, what each costs, a wallet's rules. Out: cash, burned, breakage, shortfall, exact integers of nanos.
reference.py is plain Python over the same burn order that wallets use; kernel.py is numba over arrays and equals it bit
for bit. Start with WalletRules, then walk_wallets.
"""

from mintage.pricing.paths.kernel import walk_wallets
from mintage.pricing.paths.reference import walk_wallet
from mintage.pricing.paths.rules import FIELDS, WalletPath, WalletRules, rules_of

__all__ = ["FIELDS", "WalletPath", "WalletRules", "rules_of", "walk_wallet", "walk_wallets"]

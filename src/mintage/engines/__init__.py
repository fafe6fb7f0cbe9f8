"""What answers: local runtimes and upstream providers, behind one protocol.

In: a canonical Request. Out: a stream of canonical Events that ends with exact usage; aclose() cancels.
Importing this room is light: a runtime's library is imported by its engine's start().
Start with protocol.py, then llamacpp.py (local) and upstream.py (providers).
"""

from mintage.engines.audio_length import audio_bound_ms
from mintage.engines.host_frames import HostConfig
from mintage.engines.http_connection import Call, ResponseHead, ResponseSink
from mintage.engines.llamacpp import LlamaCppEngine
from mintage.engines.llamacpp_runtime import LlamaSettings
from mintage.engines.probe import Probed, probe
from mintage.engines.protocol import (
    Capabilities,
    Engine,
    EventStream,
    Health,
    HealthState,
    MeasuringEngine,
    MeteredStream,
    RelayEngine,
)
from mintage.engines.remote import RemoteEngine
from mintage.engines.room import EngineRoom
from mintage.engines.shares import EngineShares
from mintage.engines.slots import Slots
from mintage.engines.speech import SpeechEngine
from mintage.engines.upstream import UpstreamEngine

__all__ = [
    "Call",
    "Capabilities",
    "Engine",
    "EngineRoom",
    "EngineShares",
    "EventStream",
    "Health",
    "HealthState",
    "HostConfig",
    "LlamaCppEngine",
    "LlamaSettings",
    "MeasuringEngine",
    "MeteredStream",
    "Probed",
    "RelayEngine",
    "RemoteEngine",
    "ResponseHead",
    "ResponseSink",
    "Slots",
    "SpeechEngine",
    "UpstreamEngine",
    "audio_bound_ms",
    "probe",
]

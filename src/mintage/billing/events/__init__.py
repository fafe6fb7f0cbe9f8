"""Usage that others report: parsed, checked and recorded once, all of a body or none of it.

In: JSON, JSON lines or CSV of a customer. Out: UsageEvents in the commit log, which the plan's meters count.
An event is what happened once; a correction is a new event that supersedes it.
Start with read.py (the formats), then intake.py (what is durable when). period_usage.py says which period counts what.
"""

from mintage.billing.events.intake import EventIntake, Recorded
from mintage.billing.events.read import FORMATS, event_type, read_events
from mintage.billing.events.view import EventList, EventView

__all__ = ["FORMATS", "EventIntake", "EventList", "EventView", "Recorded", "event_type", "read_events"]

"""Webhooks out: what happened, told to whoever wants to know, signed, in order of trying, never lost.

In: messages that other parts write into the outbox in their own transactions. Out: signed POSTs (Standard Webhooks).
A message is sent until it is accepted or its tries are used up; then it waits, dead, for somebody to replay it.
Start with outbox.py (what is told), then endpoints.py (to whom), then sender.py (how).
"""

from mintage.billing.webhooks.endpoints import Delivery, Endpoint, Endpoints, NewEndpoint
from mintage.billing.webhooks.outbox import TYPES, announce
from mintage.billing.webhooks.sender import BACKOFF_S, Sender, sign

__all__ = ["BACKOFF_S", "TYPES", "Delivery", "Endpoint", "Endpoints", "NewEndpoint", "Sender", "announce", "sign"]

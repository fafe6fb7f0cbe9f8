"""What must be true of a log after anything: an oracle that shares no arithmetic with the books.

`Claims` is what the client side knows: what it tried and what it was told. `judge` reads the log entry by entry and
names every contradiction between the two, and within the log.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import apsw

from mintage.base import MintageError
from mintage.books import Expired, FrameReader, Held, Released, Reported, Settled, ToppedUp, WalletOpened
from mintage.books.entries import decode_frame, number
from mintage.books.log_store import GENESIS, chain_hash


@dataclass
class Claims:
    """tried: every id ever sent, by kind. told: (kind, id) -> what the acknowledgement said."""

    tried: dict[str, set] = field(default_factory=lambda: defaultdict(set))
    told: dict[tuple, object] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)

    def trying(self, kind, name):
        self.tried[kind].add(name)

    def tell(self, kind, name, answer=None):
        """An acknowledgement. A second one of the same must say the same."""
        before = self.told.setdefault((kind, name), answer)
        if before != answer:
            self.contradictions.append(f"{kind} {name} was acknowledged as {before}, then as {answer}")

    def all(self, kind):
        return {name: answer for (of, name), answer in self.told.items() if of == kind}


class Books:
    """The log, added up the plain way."""

    def __init__(self, path):
        self.problems = []
        self.kinds = Counter()
        self.held, self.ended = {}, {}
        self.top_ups, self.events, self.settled = {}, {}, {}
        self.funding = {}
        self.balance = defaultdict(int)
        self.exact, self.posted = defaultdict(int), defaultdict(int)
        self.last_seq = 0
        try:
            reader = FrameReader(path)
        except MintageError as error:
            if error.code != "not_found":
                raise
            return  # killed before there was a log: empty books
        chain = GENESIS
        try:
            for frame in reader.frames(0):
                chain = chain_hash(chain, frame.body)
                if chain != frame.chain:
                    self.wrong(f"the chain breaks at {frame.last_seq}")
                entries = list(number(decode_frame(frame.body), frame.first_seq))
                for entry in entries:
                    self.read(entry)
                if self.last_seq != frame.last_seq:
                    self.wrong(f"the frame that ends at {frame.last_seq} ends at {self.last_seq}")
        finally:
            reader.close()
        for key, attos in self.exact.items():
            if attos // 10**9 != self.posted[key]:
                self.wrong(f"{key}: {attos} attos were posted as {self.posted[key]} nanos")

    def wrong(self, problem):
        self.problems.append(problem)

    def once(self, where, name, body, what):
        if name in where:
            self.wrong(f"{what} {name} is in the log twice")
        where[name] = body

    def read(self, entry):
        if entry.seq != self.last_seq + 1:
            self.wrong(f"entry {entry.seq} follows entry {self.last_seq}")
        self.last_seq = entry.seq
        body = entry.body
        match body:
            case WalletOpened():
                self.funding[body.wallet_id] = body.funding
            case ToppedUp():
                self.once(self.top_ups, body.source_id, body, "top-up")
                self.balance[body.wallet_id] += body.amount_nanos
            case Held():
                self.once(self.held, body.hold_id, body, "hold")
            case Settled():
                self.end(body)
                self.settled[body.hold_id] = body
                self.balance[body.wallet_id] -= body.drawn_nanos
                self.exact[body.wallet_id, body.price_id] += 0 if body.replay_of else body.attos
                self.posted[body.wallet_id, body.price_id] += body.posted_nanos
                for cost in body.costs:
                    self.exact[cost.provider, cost.price_id] += cost.attos
                    self.posted[cost.provider, cost.price_id] += cost.nanos
            case Released() | Expired():
                self.end(body)
            case Reported():
                event = body.event
                self.once(self.events, f"{event.tenant_id}/{event.source}/{event.id}", event, "event")
        if hasattr(body, "balance_nanos"):
            balance = self.balance[body.wallet_id]
            if balance != body.balance_nanos:
                self.wrong(f"entry {entry.seq} says {body.balance_nanos} nanos are left where {balance} are")
            if balance < 0 and self.funding[body.wallet_id] != "postpaid":
                self.wrong(f"entry {entry.seq} leaves {balance} nanos in a prepaid wallet")

    def end(self, body):
        if body.hold_id not in self.held:
            self.wrong(f"hold {body.hold_id} ended without being held")
        self.once(self.ended, body.hold_id, body, "the end of hold")

    def open(self):
        return {hold_id: held for hold_id, held in self.held.items() if hold_id not in self.ended}


def judge(path, claims):
    """The problems, at best []: (acknowledgements against the log, the log against itself)."""
    try:
        books = Books(path)
    except (MintageError, apsw.Error, TypeError, ValueError) as error:
        return [f"the log cannot be read: {error!r}"], None
    problems = claims.contradictions + books.problems
    for hold_id in claims.all("hold"):
        if hold_id not in books.held:
            problems.append(f"the acknowledged hold {hold_id} is lost")
    for hold_id, posted in claims.all("settle").items():
        body = books.settled.get(hold_id)
        if body is None:
            problems.append(f"the acknowledged settlement of {hold_id} is lost")
        elif body.posted_nanos != posted:
            problems.append(f"the settlement of {hold_id} was acknowledged as {posted}, logged as {body.posted_nanos}")
    for hold_id, kind in claims.all("end").items():
        if type(books.ended.get(hold_id)).__name__ != kind:
            problems.append(f"the acknowledged {kind} of {hold_id} is lost")
    for kind, found in (("top_up", books.top_ups), ("event", books.events)):
        problems += [f"the acknowledged {kind} {name} is lost" for name in claims.all(kind) if name not in found]
    for kind, found in (("hold", books.held), ("top_up", books.top_ups), ("event", books.events)):
        problems += [f"nobody sent the {kind} {name}" for name in found if name not in claims.tried[kind]]
    return problems, books


def compare(log, books):
    """What an opened log says of its wallets, against the books."""
    problems = []
    held = defaultdict(int)
    for body in books.open().values():
        held[body.wallet_id] += body.amount_nanos
    for wallet in log.wallets():
        found = (wallet.balance_nanos, wallet.held_nanos)
        expected = (books.balance[wallet.id], held[wallet.id])
        if found != expected:
            problems.append(f"{wallet.id} has (balance, held) {found} where {expected} follows")
    if {hold.id for hold in log.open_holds()} != set(books.open()):
        problems.append("the open holds are not those of the log")
    return problems

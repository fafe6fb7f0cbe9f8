"""Wallets, holds and carries: the arithmetic of the commit log, in memory, without I/O.

Every operation checks first and then changes everything at once, so that a refused operation changes nothing. The same
arithmetic replays the log: `apply` recomputes each entry and refuses a log whose amounts do not follow.
"""

from __future__ import annotations

from typing import Final, cast

import msgspec

from mintage.base import (
    ATTOS_PER_NANO,
    NANOS_MAX,
    Cost,
    Hold,
    MintageError,
    Settlement,
    check_currency,
    check_nanos,
)
from mintage.books.entries import (
    Body,
    CostPosted,
    Expired,
    Funding,
    Held,
    Released,
    Settled,
    ToppedUp,
    TopUpKind,
    WalletOpened,
)
from mintage.books.ledger_rules import CLOSING

INVOICE: Final = "invoice"  # the source of what an invoice takes
HOLDS_LIMIT: Final = 100_000
_COST_LIMIT_ATTOS: Final = NANOS_MAX * ATTOS_PER_NANO


class Snapshot(msgspec.Struct, frozen=True):
    """What changed since the last snapshot, as rows ready to write."""

    wallets: list[tuple[str, str, str, str, int, int, int]]
    carries: list[tuple[str, str, str, int]]  # ("charge" | "cost", wallet or provider, price_id, attos)
    opened: list[Held]  # opened since, and still open
    closed: list[str]  # open then, and no longer


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. balance_nanos counts open holds as still there; what can be held is available_nanos."""

    id: str
    tenant_id: str
    currency: str
    funding: Funding
    balance_nanos: int
    credit_limit_nanos: int
    held_nanos: int

    @property
    def available_nanos(self) -> int:
        return self.balance_nanos + self.credit_limit_nanos - self.held_nanos


class _Account:
    """The mutable wallet. Prepaid and promo: 0 <= held <= balance, always."""

    __slots__ = ("balance", "carries", "credit_limit", "currency", "funding", "held", "id", "tenant_id")

    def __init__(self, id_: str, tenant_id: str, currency: str, funding: Funding, credit_limit: int) -> None:
        self.id = id_
        self.tenant_id = tenant_id
        self.currency = currency
        self.funding = funding
        self.credit_limit = credit_limit
        self.balance = 0
        self.held = 0
        self.carries: dict[str, int] = {}  # price_id -> attos below one nano, charged later

    def view(self) -> Wallet:
        return Wallet(
            id=self.id,
            tenant_id=self.tenant_id,
            currency=self.currency,
            funding=self.funding,
            balance_nanos=self.balance,
            credit_limit_nanos=self.credit_limit,
            held_nanos=self.held,
        )


def _refuse(message: str, hint: str, param: str | None = None) -> MintageError:
    return MintageError("invalid_request", message, hint, param=param)


class WalletBook:
    """All wallets of one log. Not thread-safe: it belongs to the event loop."""

    def __init__(self) -> None:
        self.accounts: dict[str, _Account] = {}
        self.holds: dict[str, Held] = {}
        self.cost_carry: dict[tuple[str, str], int] = {}  # (provider, price_id) -> attos below one nano
        self._changed: set[_Account] = set()  # since the last snapshot
        self._stored_holds: frozenset[str] = frozenset()  # open at the last snapshot

    def account(self, wallet_id: str) -> _Account:
        """Raises MintageError("not_found")."""
        account = self.accounts.get(wallet_id)
        if account is None:
            raise MintageError(
                "not_found", f"There is no wallet {wallet_id[:64]!r}.", "Open it first.", param="wallet_id"
            )
        return account

    def open_wallet(
        self, at_ns: int, tenant_id: str, wallet_id: str, *, currency: str, funding: Funding, credit_limit_nanos: int
    ) -> WalletOpened | None:
        """None when the wallet is already exactly so. Only the credit limit may change later."""
        check_currency(currency)
        if not wallet_id or not tenant_id:
            raise _refuse("A wallet needs an id and a tenant.", "Give both.", "wallet_id")
        if check_nanos(credit_limit_nanos) < 0 or (credit_limit_nanos and funding != "postpaid"):
            raise _refuse(
                f"A {funding} wallet cannot have a credit limit of {credit_limit_nanos} nanos.",
                "Only postpaid wallets have a credit limit, of 0 or more.",
                "credit_limit_nanos",
            )
        account = self.accounts.get(wallet_id)
        if account is not None:
            if (account.tenant_id, account.currency, account.funding) != (tenant_id, currency, funding):
                raise MintageError(
                    "conflict",
                    f"The wallet {wallet_id} exists with another tenant, currency or funding.",
                    "Open a new wallet under another id.",
                )
            if account.credit_limit == credit_limit_nanos:
                return None
        body = WalletOpened(at_ns, wallet_id, tenant_id, currency, funding, credit_limit_nanos)
        self._open(body)
        return body

    def _open(self, body: WalletOpened) -> None:
        account = self.accounts.get(body.wallet_id)
        if account is None:
            account = _Account(body.wallet_id, body.tenant_id, body.currency, body.funding, body.credit_limit_nanos)
            self.accounts[body.wallet_id] = account
        account.credit_limit = body.credit_limit_nanos
        self._changed.add(account)

    def top_up(
        self,
        at_ns: int,
        wallet_id: str,
        amount_nanos: int,
        *,
        funds: TopUpKind,
        source: str,
        source_id: str,
        memo: str,
    ) -> ToppedUp:
        """The caller has made sure that (source, source_id) is new."""
        account = self.account(wallet_id)
        if amount_nanos <= 0:
            raise _refuse("A top-up must be above zero.", "Give a positive amount.", "amount_nanos")
        balance = check_nanos(account.balance + check_nanos(amount_nanos))
        account.balance = balance
        self._changed.add(account)
        return ToppedUp(
            at_ns, wallet_id, account.tenant_id, account.currency, amount_nanos, funds, source, source_id, memo, balance
        )

    def withdraw(
        self, at_ns: int, wallet_id: str, amount_nanos: int, *, funds: TopUpKind, source: str, source_id: str, memo: str
    ) -> ToppedUp:
        """Take out what no hold needs, as a top-up below zero. The caller has made sure that it is new.

        What an invoice adds (its tax) is owed whether or not the money is there.
        """
        account = self.account(wallet_id)
        if amount_nanos <= 0:
            raise _refuse("A withdrawal must be above zero.", "Give a positive amount.", "amount_nanos")
        if amount_nanos > account.balance - account.held and source != INVOICE:
            raise self._insufficient(account, amount_nanos)
        account.balance = balance = account.balance - amount_nanos
        self._changed.add(account)
        currency, taken = account.currency, -amount_nanos
        return ToppedUp(at_ns, wallet_id, account.tenant_id, currency, taken, funds, source, source_id, memo, balance)

    def hold(self, at_ns: int, hold: Hold) -> Held:
        """Check and deduct in one step. Raises MintageError("insufficient_funds"), and for a hold that cannot be."""
        account = self.account(hold.wallet_id)
        amount = hold.amount_nanos
        if amount > account.balance + account.credit_limit - account.held:
            raise self._insufficient(account, amount)
        if amount < 0 or hold.currency != account.currency or hold.tenant_id != account.tenant_id:
            raise _refuse(
                "The hold does not fit its wallet.", "Use the wallet's tenant and currency and an amount of 0 or more."
            )
        if hold.id in self.holds:
            raise MintageError("conflict", f"The hold {hold.id} is already open.", "Give every request its own id.")
        if len(self.holds) >= HOLDS_LIMIT:
            raise MintageError(
                "books_unavailable", "Too many requests are open.", "Retry after a moment.", retry_after_s=1.0
            )
        body = Held(
            at_ns,
            hold.id,
            hold.tenant_id,
            hold.wallet_id,
            hold.currency,
            amount,
            hold.created_ns,
            hold.lease_until_ns,
            hold.key_id,
            hold.model,
        )
        self.holds[hold.id] = body
        account.held += amount
        self._changed.add(account)
        return body

    @staticmethod
    def _insufficient(account: _Account, needed_nanos: int) -> MintageError:
        return MintageError(
            "insufficient_funds",
            "The wallet does not cover this request.",
            "Top up the wallet, ask for fewer tokens, or wait for running requests to end.",
            details={
                "balance_nanos": account.balance,
                "held_nanos": account.held,
                "needed_nanos": needed_nanos,
                "credit_limit_nanos": account.credit_limit,
                "currency": account.currency,
            },
        )

    def settle(self, at_ns: int, s: Settlement, replay_of: str = "") -> Settled:
        """Close the open hold s.hold_id. The caller has made sure that it is open."""
        held = self.holds[s.hold_id]
        account = self.accounts[held.wallet_id]
        charge = s.charge
        if s.wallet_id != held.wallet_id or s.tenant_id != held.tenant_id or charge.currency != held.currency:
            raise _refuse(
                f"The settlement of {s.hold_id} does not fit its hold.", "Use the hold's tenant, wallet and currency."
            )
        if charge.attos < 0 and s.operation != CLOSING:
            raise _refuse("A charge cannot be negative.", "Correct it with a credit note.")
        attos = 0 if replay_of else charge.attos
        posted, carry = divmod(account.carries.get(charge.price_id, 0) + attos, ATTOS_PER_NANO)
        hold_nanos = held.amount_nanos
        shortfall = self._shortfall(account, hold_nanos, posted) if posted > hold_nanos else 0
        if abs(posted) > NANOS_MAX or abs(account.balance - posted) > NANOS_MAX:
            raise _refuse("The charge is beyond 9.2 billion currency units.", "Check the price.")
        costs = self._post_costs(s.costs)
        account.carries[charge.price_id] = carry
        del self.holds[s.hold_id]
        account.held -= hold_nanos
        account.balance -= posted - shortfall
        self._changed.add(account)
        return Settled(
            at_ns,
            s.hold_id,
            s.tenant_id,
            s.project_id,
            s.wallet_id,
            s.key_id,
            s.model,
            s.product,
            s.occurred_ns,
            s.usage,
            charge.price_id,
            charge.currency,
            charge.attos,
            charge.lines,
            costs,
            hold_nanos,
            posted,
            shortfall,
            account.balance,
            account.held,
            s.outcome,
            s.estimated,
            s.end_user,
            s.operation,
            s.latency_ms,
            s.first_token_ms,
            s.idempotency_key,
            s.payload_hash,
            replay_of,
        )

    @staticmethod
    def _shortfall(account: _Account, hold_nanos: int, posted: int) -> int:
        """What a prepaid wallet cannot pay. The excess over the hold is drawn, but never from other holds' funds."""
        if account.funding == "postpaid":
            return 0
        free = account.balance - account.held + hold_nanos
        return max(0, posted - free)

    def _post_costs(self, costs: tuple[Cost, ...]) -> tuple[CostPosted, ...]:
        """Post every cost; all or none, since nothing here can fail after the first carry is written."""
        for cost in costs:
            if not 0 <= cost.attos < _COST_LIMIT_ATTOS:
                raise _refuse("A cost must be from 0 to 9.2 billion currency units.", "Check the cost book.")
        posted = []
        carries = self.cost_carry
        for cost in costs:
            key = (cost.provider, cost.price_id)
            nanos, carries[key] = divmod(carries.get(key, 0) + cost.attos, ATTOS_PER_NANO)
            posted.append(
                CostPosted(
                    cost.provider,
                    cost.price_id,
                    cost.currency,
                    cost.attos,
                    nanos,
                    cost.usage,
                    cost.engine_ms,
                    cost.upstream_id,
                )
            )
        return tuple(posted)

    def _close(self, held: Held, account: _Account) -> None:
        del self.holds[held.hold_id]
        account.held -= held.amount_nanos
        self._changed.add(account)

    def release(self, at_ns: int, hold_id: str, reason: str) -> Released:
        """The caller has made sure that the hold is open."""
        held = self.holds[hold_id]
        self._close(held, self.accounts[held.wallet_id])
        return Released(at_ns, hold_id, held.tenant_id, held.wallet_id, held.amount_nanos, reason)

    def expire(self, at_ns: int, hold_id: str) -> Expired:
        """The caller has made sure that the hold is open and its lease over."""
        held = self.holds[hold_id]
        self._close(held, self.accounts[held.wallet_id])
        return Expired(at_ns, hold_id, held.tenant_id, held.wallet_id, held.amount_nanos)

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What changed since the last one, which it forgets."""
        changed, self._changed = self._changed, set()
        stored, self._stored_holds = self._stored_holds, frozenset(self.holds)
        return Snapshot(
            wallets=[(a.id, a.tenant_id, a.currency, a.funding, a.credit_limit, a.balance, a.held) for a in changed],
            carries=[
                *(("charge", a.id, price_id, attos) for a in changed for price_id, attos in a.carries.items()),
                *(("cost", provider, price_id, attos) for (provider, price_id), attos in self.cost_carry.items()),
            ],
            opened=[self.holds[hold_id] for hold_id in self._stored_holds - stored],
            closed=list(stored - self._stored_holds),
        )

    def load(self, snapshot: Snapshot) -> None:
        """Into an empty book."""
        for id_, tenant_id, currency, funding, credit_limit, balance, held in snapshot.wallets:
            account = _Account(id_, tenant_id, currency, cast("Funding", funding), credit_limit)
            account.balance, account.held = balance, held
            self.accounts[id_] = account
        for side, owner, price_id, attos in snapshot.carries:
            if side == "charge":
                self.accounts[owner].carries[price_id] = attos
            else:
                self.cost_carry[owner, price_id] = attos
        self.holds = {hold.hold_id: hold for hold in sorted(snapshot.opened, key=lambda hold: hold.at_ns)}
        self._stored_holds = frozenset(self.holds)

    # -- replay ------------------------------------------------------------------------------------------------------

    def apply(self, body: Body) -> None:
        """Replay one entry. Raises MintageError("internal") when its amounts do not follow from what came before."""
        match body:
            case Settled():
                self._apply_settled(body)
            case Held():
                if body.hold_id in self.holds:
                    raise _corrupt(body.hold_id, "is held twice")
                self.holds[body.hold_id] = body
                account = self.account(body.wallet_id)
                account.held += body.amount_nanos
                self._changed.add(account)
            case Released() | Expired():
                held = self._open_hold(body.hold_id)
                if held.amount_nanos != body.amount_nanos:
                    raise _corrupt(body.hold_id, "was released with another amount")
                self._close(held, self.account(held.wallet_id))
            case ToppedUp():
                account = self.account(body.wallet_id)
                account.balance += body.amount_nanos
                if account.balance != body.balance_nanos:
                    raise _corrupt(body.wallet_id, "has another balance than its last top-up says")
                self._changed.add(account)
            case WalletOpened():
                self._open(body)
            case _:
                pass  # a reported event moves no money here

    def _open_hold(self, hold_id: str) -> Held:
        held = self.holds.get(hold_id)
        if held is None:
            raise _corrupt(hold_id, "ended without being open")
        return held

    def _apply_settled(self, body: Settled) -> None:
        held = self._open_hold(body.hold_id)
        account = self.account(held.wallet_id)
        attos = 0 if body.replay_of else body.attos
        posted, carry = divmod(account.carries.get(body.price_id, 0) + attos, ATTOS_PER_NANO)
        shortfall = self._shortfall(account, held.amount_nanos, posted) if posted > held.amount_nanos else 0
        account.carries[body.price_id] = carry
        self._close(held, account)
        account.balance -= posted - shortfall
        for cost in body.costs:
            cost_key = (cost.provider, cost.price_id)
            nanos, self.cost_carry[cost_key] = divmod(self.cost_carry.get(cost_key, 0) + cost.attos, ATTOS_PER_NANO)
            if nanos != cost.nanos:
                raise _corrupt(body.hold_id, f"posted a cost of {cost.nanos} nanos where {nanos} follow")
        found = (held.amount_nanos, posted, shortfall, account.balance, account.held)
        written = (body.hold_nanos, body.posted_nanos, body.shortfall_nanos, body.balance_nanos, body.held_nanos)
        if found != written:
            raise _corrupt(body.hold_id, f"settled with {written} where {found} follow")


def _corrupt(name: str, problem: str) -> MintageError:
    return MintageError(
        "internal", f"The commit log contradicts itself: {name} {problem}.", "Restore the home from a backup."
    )

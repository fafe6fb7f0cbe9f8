"""What an invoice says beside its lines, decided once, when it becomes final, and kept with it for ever."""

from __future__ import annotations

import msgspec

from mintage.accounts import LegalEntity, Tenant
from mintage.base import MintageError
from mintage.billing.currencies import Currencies, CurrencyRate
from mintage.billing.profiles import BillingProfile, BillingSettings, Fapiao, Profiles
from mintage.billing.tax import Buyer, Seller, TaxBasis, TaxTable, check_tax_id, checkable, decide
from mintage.books import Funding


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """tax: which tax applies and why. rate: of the books' currency on the day, where the invoice has another."""

    tax: TaxBasis
    language: str = "en"
    seller: BillingSettings = BillingSettings()
    customer: BillingProfile = BillingProfile()
    payment_days: int = 14
    rate: CurrencyRate | None = None

    @property
    def fapiao(self) -> Fapiao | None:
        return self.customer.fapiao


class ExtrasDesk:
    """Gathers them. Blocking, for a thread."""

    def __init__(self, profiles: Profiles, taxes: TaxTable, currencies: Currencies) -> None:
        self._profiles = profiles
        self._taxes = taxes
        self._currencies = currencies

    def gather(self, entity: LegalEntity, tenant: Tenant, funding: Funding, currency: str, day: str) -> Extras:
        """For a supply on a day (the last of the period). Raises not_found when a currency has no rate of the day."""
        settings = self._profiles.settings(entity.id)
        profile = self._profiles.profile(tenant.id)
        rate = None if currency == entity.currency else self._currencies.on(day, currency, entity.currency)
        seller = Seller(country=entity.country, region=settings.region, tax_id=entity.tax_id)
        return Extras(
            tax=self._tax(seller, tenant, profile, funding, day),
            language=profile.language,
            seller=settings,
            customer=profile,
            payment_days=settings.payment_days if profile.payment_days is None else profile.payment_days,
            rate=rate,
        )

    def _tax(self, seller: Seller, tenant: Tenant, profile: BillingProfile, funding: Funding, day: str) -> TaxBasis:
        if funding == "promo":  # nothing is paid for what is given
            return TaxBasis(scheme="none")
        return decide(
            seller,
            Buyer(
                country=tenant.country,
                region=profile.region,
                tax_id=tenant.tax_id,
                tax_id_valid=_valid(tenant.country, tenant.tax_id),
                exempt=profile.exempt,
            ),
            lambda country, region: self._taxes.on(day, country, region),
            inclusive=funding == "prepaid",
        )


def _valid(country: str, number: str) -> bool:
    """Checked, not believed: what cannot be checked here is not valid, and the tax is charged."""
    if not number or not checkable(country):
        return False
    try:
        check_tax_id(country, number)
    except MintageError:
        return False
    return True

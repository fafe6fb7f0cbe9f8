"""Electronic invoices after EN 16931: the XML (UN/CEFACT CII), and a Factur-X PDF that carries it.

Source of elements and rules: EN 16931-1 and CEN/TS 16931-3-3, profile `urn:cen.eu:en16931:2017`. Every amount is the
invoice's own; a line's net price is stated per its whole quantity, so that quantity x price is its amount, exactly.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from xml.etree import ElementTree as ET

from mintage.base import MintageError, currency_exponent
from mintage.billing.credit_notes import CreditNote
from mintage.billing.extras import Extras
from mintage.billing.invoice import Party
from mintage.billing.invoices import Invoice
from mintage.billing.profiles import BillingProfile, BillingSettings

_NS: Final = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
}
#: scheme -> (category of UNTDID 5305, code of the reason, where tax is not charged)
_CATEGORIES: Final = {
    "domestic": ("S", ""),
    "destination": ("S", ""),
    "reverse_charge": ("AE", "VATEX-EU-AE"),
    "exempt": ("E", ""),
    "outside_scope": ("O", "VATEX-EU-O"),
    "none": ("O", "VATEX-EU-O"),
}


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    prefix, _, local = name.partition(":")
    child = ET.SubElement(parent, f"{{{_NS[prefix]}}}{local}", attributes)
    child.text = text
    return child


def _amount(nanos: int, currency: str) -> str:
    return str(Decimal(nanos).scaleb(-9).quantize(Decimal(1).scaleb(-currency_exponent(currency))))


def _date(parent: ET.Element, name: str, at_ns: int | str) -> None:
    text = at_ns.replace("-", "") if isinstance(at_ns, str) else f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y%m%d}"
    _add(_add(parent, name), "udt:DateTimeString", text, format="102")


def invoice_xml(invoice: Invoice) -> bytes:
    """Raises unsupported for what EN 16931 cannot say: no country, or several taxes on one line."""
    content = invoice.content
    return _Document(invoice, content.extras, "380").xml()


def credit_note_xml(note: CreditNote) -> bytes:
    """The same for a credit note (type 381), which names its invoice."""
    return _Document(note, note.content.extras, "381").xml()


class _Document:
    def __init__(self, made: Invoice | CreditNote, extras: Extras | None, code: str) -> None:
        self.made, self.code = made, code
        self.content: Any = made.content
        if extras is None or len(extras.tax.rates) > 1:
            raise _unsupported("it has no tax decision, or several taxes on one line")
        for role, party in (("seller", self.content.seller), ("customer", self.content.customer)):
            if not party.country:
                raise _unsupported(f"the {role} has no country")
        self.extras = extras
        self.currency: str = self.content.currency
        self.category, self.reason = _CATEGORIES[extras.tax.scheme]
        self.percent = extras.tax.rates[0].percent if extras.tax.rates else "0"

    def xml(self) -> bytes:
        for prefix, uri in _NS.items():
            ET.register_namespace(prefix, uri)
        root = ET.Element(f"{{{_NS['rsm']}}}CrossIndustryInvoice")
        context = _add(_add(root, "rsm:ExchangedDocumentContext"), "ram:GuidelineSpecifiedDocumentContextParameter")
        _add(context, "ram:ID", "urn:cen.eu:en16931:2017")
        head = _add(root, "rsm:ExchangedDocument")
        _add(head, "ram:ID", self.made.number)
        _add(head, "ram:TypeCode", self.code)
        _date(head, "ram:IssueDateTime", self.made.issued_ns)
        if reason := getattr(self.content, "reason", ""):
            _add(_add(head, "ram:IncludedNote"), "ram:Content", reason)
        trade = _add(root, "rsm:SupplyChainTradeTransaction")
        for number, line in enumerate(self.content.lines, 1):
            self._line(trade, number, line)
        self._agreement(trade)
        _add(trade, "ram:ApplicableHeaderTradeDelivery")
        self._settlement(trade)
        ET.indent(root)
        body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
        return body + b"\n"

    def _line(self, trade: ET.Element, number: int, line: Any) -> None:
        net = line.amount_nanos - (line.tax_nanos if self.extras.tax.inclusive else 0)
        quantity = Decimal(getattr(line, "quantity", 1) or 1)
        item = _add(trade, "ram:IncludedSupplyChainTradeLineItem")
        _add(_add(item, "ram:AssociatedDocumentLineDocument"), "ram:LineID", str(number))
        _add(_add(item, "ram:SpecifiedTradeProduct"), "ram:Name", line.description or line.product or "-")
        price = _add(_add(item, "ram:SpecifiedLineTradeAgreement"), "ram:NetPriceProductTradePrice")
        _add(price, "ram:ChargeAmount", _amount(abs(net), self.currency))
        _add(price, "ram:BasisQuantity", f"{abs(quantity):f}", unitCode="C62")
        billed = abs(quantity) if net >= 0 else -abs(quantity)
        delivery = _add(item, "ram:SpecifiedLineTradeDelivery")
        _add(delivery, "ram:BilledQuantity", f"{billed:f}", unitCode="C62")
        settlement = _add(item, "ram:SpecifiedLineTradeSettlement")
        tax = _add(settlement, "ram:ApplicableTradeTax")
        _add(tax, "ram:TypeCode", "VAT")
        _add(tax, "ram:CategoryCode", self.category)
        if self.category != "O":
            _add(tax, "ram:RateApplicablePercent", self.percent)
        total = _add(settlement, "ram:SpecifiedTradeSettlementLineMonetarySummation")
        _add(total, "ram:LineTotalAmount", _amount(net, self.currency))

    def _agreement(self, trade: ET.Element) -> None:
        agreement = _add(trade, "ram:ApplicableHeaderTradeAgreement")
        order = self.extras.customer.purchase_order
        self._party(agreement, "ram:SellerTradeParty", self.content.seller, self.extras.seller)
        self._party(agreement, "ram:BuyerTradeParty", self.content.customer, self.extras.customer)
        if order:
            _add(_add(agreement, "ram:BuyerOrderReferencedDocument"), "ram:IssuerAssignedID", order)

    def _party(self, agreement: ET.Element, name: str, party: Party, place: BillingSettings | BillingProfile) -> None:
        element = _add(agreement, name)
        _add(element, "ram:ID", party.id)
        _add(element, "ram:Name", party.name)
        address = _add(element, "ram:PostalTradeAddress")
        plain = " ".join(party.address.split())
        for tag, text in (
            ("ram:PostcodeCode", place.postal_code),
            ("ram:LineOne", place.street or plain),
            ("ram:CityName", place.city),
        ):
            if text:
                _add(address, tag, text)
        _add(address, "ram:CountryID", party.country)
        if place.email:
            _add(_add(element, "ram:URIUniversalCommunication"), "ram:URIID", place.email, schemeID="EM")
        if party.tax_id and self.category != "O":  # BR-O-02: outside the tax no number of it is shown
            prefix = "" if party.tax_id[:2].isalpha() else party.country
            registration = _add(element, "ram:SpecifiedTaxRegistration")
            _add(registration, "ram:ID", prefix + party.tax_id, schemeID="VA")

    def _settlement(self, trade: ET.Element) -> None:
        content, currency = self.content, self.currency
        settlement = _add(trade, "ram:ApplicableHeaderTradeSettlement")
        _add(settlement, "ram:PaymentReference", self.made.number)
        _add(settlement, "ram:InvoiceCurrencyCode", currency)
        due = self.made.content.due_nanos if isinstance(self.made, Invoice) else 0
        if self.extras.seller.iban and due > 0:
            means = _add(settlement, "ram:SpecifiedTradeSettlementPaymentMeans")
            _add(means, "ram:TypeCode", "30")
            account = _add(means, "ram:PayeePartyCreditorFinancialAccount")
            _add(account, "ram:IBANID", self.extras.seller.iban.replace(" ", ""))
        tax = _add(settlement, "ram:ApplicableTradeTax")
        _add(tax, "ram:CalculatedAmount", _amount(content.tax_nanos, currency))
        _add(tax, "ram:TypeCode", "VAT")
        if self.category in ("AE", "E", "O"):
            _add(tax, "ram:ExemptionReason", self.extras.tax.note_en or "Not subject to VAT")
        _add(tax, "ram:BasisAmount", _amount(content.net_nanos, currency))
        _add(tax, "ram:CategoryCode", self.category)
        if self.reason:
            _add(tax, "ram:ExemptionReasonCode", self.reason)
        if self.category != "O":
            _add(tax, "ram:RateApplicablePercent", self.percent)
        if isinstance(self.made, Invoice):
            period = _add(settlement, "ram:BillingSpecifiedPeriod")
            _date(period, "ram:StartDateTime", self.made.content.first_day)
            _date(period, "ram:EndDateTime", self.made.content.last_day)
            if due > 0:
                _date(_add(settlement, "ram:SpecifiedTradePaymentTerms"), "ram:DueDateDateTime", self.made.due_ns)
        else:
            _add(_add(settlement, "ram:SpecifiedTradePaymentTerms"), "ram:Description", "Credited to your account")
        self._totals(settlement, due)
        if isinstance(self.made, CreditNote):
            reference = _add(settlement, "ram:InvoiceReferencedDocument")
            _add(reference, "ram:IssuerAssignedID", self.made.content.invoice_number)

    def _totals(self, settlement: ET.Element, due: int) -> None:
        content, currency = self.content, self.currency
        total = content.total_nanos
        left = due if isinstance(self.made, Invoice) else total
        sums = _add(settlement, "ram:SpecifiedTradeSettlementHeaderMonetarySummation")
        _add(sums, "ram:LineTotalAmount", _amount(content.net_nanos, currency))
        _add(sums, "ram:TaxBasisTotalAmount", _amount(content.net_nanos, currency))
        _add(sums, "ram:TaxTotalAmount", _amount(content.tax_nanos, currency), currencyID=currency)
        _add(sums, "ram:GrandTotalAmount", _amount(total, currency))
        if total != left:
            _add(sums, "ram:TotalPrepaidAmount", _amount(total - left, currency))
        _add(sums, "ram:DuePayableAmount", _amount(left, currency))


def _unsupported(why: str) -> MintageError:
    return MintageError(
        "unsupported",
        f"This invoice cannot be an EN 16931 e-invoice: {why}.",
        "Enter the countries of the seller and the customer; sales taxes of several parts have no e-invoice.",
    )


def factur_x(pdf: bytes, xml: bytes, *, language: str = "en") -> bytes:
    """The PDF with the XML inside, checked against the schema. Raises unsupported without the extra `billing`."""
    try:
        import facturx
    except ImportError as error:
        raise MintageError(
            "unsupported", "Factur-X needs factur-x, which is not installed.", "pip install 'mintage[billing]'"
        ) from error
    made = facturx.generate_from_binary(
        pdf, xml, flavor="factur-x", level="en16931", check_xsd=True, check_schematron=False, lang=language
    )
    return bytes(made)

"""Documents: the same bytes for the same invoice, readable in both languages, valid for machines, exact."""

import asyncio
import csv
import io
import json
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest
from aiosmtpd.smtp import SMTP

from mintage.base import MintageError
from mintage.billing.documents import (
    Attachment,
    MailServer,
    credit_note_xml,
    export_lines,
    factur_x,
    invoice_xml,
    render_credit_note,
    render_invoice,
    send_mail,
)
from mintage.billing.documents import pdf as pdf_module
from mintage.books import usage_account

RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"


def text_of(raw):
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(raw)).pages)


async def test_a_pdf_says_what_is_owed_and_is_the_same_every_time(office):
    invoice = await office.invoice()
    raw = render_invoice(invoice)
    assert raw == render_invoice(invoice)
    shown = text_of(raw)
    for words in ("INV-000001", "Borealis GmbH", "12.35 USD", "VAT 19 %", "PO-1", "IBAN", "15 February 2026"):
        assert words in shown
    note = await office.desk.billing.invoicing.standing.credit("t", invoice, None, reason="Outage", key="k")
    shown = text_of(render_credit_note(note))
    assert "CN-000001" in shown
    assert "Outage" in shown


async def test_a_chinese_invoice_with_fapiao_fields(office):
    shown = text_of(render_invoice(await office.invoice("陈记茶馆有限公司", language="zh")))
    for words in ("账单", "陈记茶馆有限公司", "应付金额", "91110000600037341L", "输出 token"):
        assert words in shown


async def test_without_a_font_the_hint_says_which(office, monkeypatch):
    invoice = await office.invoice("陈记茶馆", language="zh")
    monkeypatch.setattr(pdf_module, "_families", lambda: frozenset({"Libertinus Serif"}))
    with pytest.raises(MintageError) as caught:
        render_invoice(invoice)
    assert "fonts-noto-cjk" in caught.value.hint


def sums(raw):
    root = ET.fromstring(raw)
    amounts = root.find(f".//{RAM}SpecifiedTradeSettlementHeaderMonetarySummation")
    found = {child.tag.removeprefix(RAM): Decimal(child.text) for child in amounts}
    lines = [Decimal(element.text) for element in root.iter(f"{RAM}LineTotalAmount")]
    tax = root.find(f".//{RAM}ApplicableHeaderTradeSettlement/{RAM}ApplicableTradeTax")
    return found, lines[:-1], tax


@pytest.mark.parametrize(
    ("buyer", "category"),
    [
        ({"country": "DE"}, "S"),
        ({"country": "FR"}, "S"),
        ({"country": "FR", "tax_id": "FR40303265045"}, "AE"),
        ({"country": "FR", "tax_id": "FR40303265046"}, "S"),
        ({"country": "US"}, "O"),
        ({"country": "DE", "plan": "payg"}, "S"),
    ],
)
async def test_the_xml_validates_and_adds_up(office, buyer, category):
    import facturx

    invoice = await office.invoice(**buyer)
    note = await office.desk.billing.invoicing.standing.credit("t", invoice, None, reason="r", key="k")
    for raw, made in ((invoice_xml(invoice), invoice), (credit_note_xml(note), note)):
        assert facturx.xml_check_xsd(raw, flavor="factur-x", level="en16931")
        found, lines, tax = sums(raw)
        assert sum(lines) == found["LineTotalAmount"] == found["TaxBasisTotalAmount"]
        assert found["TaxBasisTotalAmount"] + found["TaxTotalAmount"] == found["GrandTotalAmount"]
        assert found["GrandTotalAmount"] - found.get("TotalPrepaidAmount", 0) == found["DuePayableAmount"]
        assert found["GrandTotalAmount"] == Decimal(made.content.total_nanos).scaleb(-9)
        assert tax.find(f"{RAM}CategoryCode").text == category
        assert Decimal(tax.find(f"{RAM}CalculatedAmount").text) == found["TaxTotalAmount"]
    assert invoice_xml(invoice) == invoice_xml(invoice)


async def test_what_the_standard_cannot_say_is_refused(office):
    with pytest.raises(MintageError) as caught:
        invoice_xml(await office.invoice(country=""))
    assert caught.value.code == "unsupported"


async def test_factur_x_carries_the_xml(office):
    import facturx

    invoice = await office.invoice()
    whole = factur_x(render_invoice(invoice), invoice_xml(invoice))
    name, inside = facturx.get_xml_from_pdf(whole)
    assert (name, inside) == ("factur-x.xml", invoice_xml(invoice))


async def test_tables_hold_every_line_exactly(office, tmp_path):
    invoice = await office.invoice("=cmd()")
    rows = list(csv.DictReader(io.StringIO(export_lines([invoice], "csv").decode())))
    assert [row["exact"] for row in rows] == [line.exact for line in invoice.content.lines]
    assert rows[0]["customer"] == "'=cmd()"
    assert [row["amount_nanos"] for row in json.loads(export_lines([invoice], "json"))] == [
        line.amount_nanos for line in invoice.content.lines
    ]
    import duckdb

    (tmp_path / "x.parquet").write_bytes(export_lines([invoice], "parquet"))
    with duckdb.connect() as connection:
        query = f"SELECT sum(amount_nanos + tax_nanos) FROM '{tmp_path}/x.parquet'"
        [total] = connection.execute(query).fetchone()
    assert total == invoice.content.total_nanos
    assert export_lines([], "parquet")[:4] == b"PAR1"
    with pytest.raises(MintageError):
        export_lines([invoice], "xls")


class Box:
    def __init__(self):
        self.messages = []

    async def handle_DATA(self, server, session, envelope):
        self.messages.append(envelope)
        return "250 OK"


async def test_mail_arrives_with_its_attachment():
    box = Box()
    listening = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server = MailServer(host="127.0.0.1", port=port, sender="billing@mint.example", security="none")
    parts = (Attachment(name="INV-1.pdf", media="application/pdf", data=b"%PDF-1"),)
    subject = "Invoice\r\nBcc: x@y.example"
    await asyncio.to_thread(send_mail, server, "a@b.example", subject, "Hello 你好", parts, name="Mint & Co")
    listening.close()
    [envelope] = box.messages
    assert envelope.rcpt_tos == ["a@b.example"]
    assert b"\nBcc:" not in envelope.content
    assert b'filename="INV-1.pdf"' in envelope.content
    with pytest.raises(MintageError) as caught:
        send_mail(server, "a@b.example", "x", "y", ())
    assert caught.value.code == "upstream_failed"


async def test_an_invoice_and_its_reminder_reach_the_customer_in_its_language(office):
    from email import message_from_bytes, policy

    invoice = await office.invoice("晨星科技", country="CN", language="zh")
    mailer = office.desk.billing.invoicing.mailer
    with pytest.raises(MintageError) as caught:
        await mailer.send("t", invoice)
    assert caught.value.code == "unsupported"
    box = Box()
    listening = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    mailer.server = MailServer(host="127.0.0.1", port=port, sender="billing@mint.example", security="none")
    sent = await mailer.send("t", invoice)
    office.clock.advance(30 * 86_400)
    [step] = await office.desk.billing.invoicing.dunning.run()
    assert await office.desk.billing.invoicing.dunning.run() == []
    listening.close()
    assert (step.action, step.outcome) == ("remind", "sent")
    first, second = (message_from_bytes(one.content, policy=policy.default) for one in box.messages)
    assert (first["To"], first["Message-ID"], sent.to) == ("pay@b.example", sent.message_id, "pay@b.example")
    assert invoice.number in first["Subject"]
    assert "逾期" in second["Subject"]
    [pdf] = first.iter_attachments()
    assert (pdf.get_filename(), pdf.get_content()[:5]) == (f"{invoice.number}.pdf", b"%PDF-")


def test_products_have_income_accounts_of_their_own():
    assert usage_account("a b/c") == "income:usage:a-b-c"

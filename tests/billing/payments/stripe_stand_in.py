"""A small stateful stand-in for Stripe, a process of its own at the network's edge: `python stripe_stand_in.py SECRET`.

It keeps sessions, intents, refunds and idempotency keys, and signs events as Stripe does. POST /_pay/SESSION pays a
session, /_refund/INTENT?amount=N refunds at the dashboard, /_dispute/INTENT loses a dispute; each answers with the
signed event for the test to deliver. A method named pm_bad is refused; pm_down breaks the connection once it has paid.
"""

import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SECRET = sys.argv[1].encode()
STATE = {"count": 0, "sessions": {}, "intents": {}, "refunds": [], "keys": {}}


def new(prefix):
    STATE["count"] += 1
    return f"{prefix}_{STATE['count']}"


def signed(type_, thing):
    body = json.dumps({"id": new("evt"), "object": "event", "type": type_, "data": {"object": thing}})
    at = int(time.time())
    digest = hmac.new(SECRET, f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return {"payload": body, "signature": f"t={at},v1={digest}"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(raw).items()}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        key = self.headers.get("idempotency-key")
        if key and (known := STATE["keys"].get(key)) is not None:
            if known[0] != raw:
                self.answer(400, {"error": {"type": "idempotency_error", "message": "other parameters"}})
                return
            self.answer(200, known[1])
            return
        status, made = self.act(parts.path, form, query)
        if key and status == 200:
            STATE["keys"][key] = (raw, made)
        if form.get("payment_method") == "pm_down" and not STATE.get("broken"):
            STATE["broken"] = True
            self.close_connection = True
            self.connection.close()
            return
        self.answer(status, made)

    do_GET = do_POST

    def act(self, path, form, query):
        metadata = {"order_id": form.get("metadata[order_id]", ""), "tenant_id": form.get("metadata[tenant_id]", "")}
        match path.split("/")[1:]:
            case ["v1", "checkout", "sessions"]:
                made = {
                    "id": new("cs"), "object": "checkout.session", "url": "https://pay.example/x", "metadata": metadata,
                    "amount_total": int(form["line_items[0][price_data][unit_amount]"]), "payment_status": "unpaid",
                    "currency": form["line_items[0][price_data][currency]"], "customer": form.get("customer"),
                }  # fmt: skip
                STATE["sessions"][made["id"]] = made
                return 200, made
            case ["v1", "payment_intents"]:
                if form["payment_method"] == "pm_bad":
                    return 402, {"error": {"type": "card_error", "code": "card_declined", "message": "Declined."}}
                return 200, self.intent(form["amount"], form["currency"], form["customer"], metadata)
            case ["v1", "refunds"]:
                made = {"id": new("re"), "object": "refund", "amount": int(form["amount"])}
                STATE["refunds"].append(made)
                return 200, made
            case ["_pay", session_id]:
                session = STATE["sessions"][session_id]
                customer = session["customer"] or new("cus")
                intent = self.intent(session["amount_total"], session["currency"], customer, session["metadata"])
                session |= {"payment_status": "paid", "payment_intent": intent["id"], "customer": customer}
                done = signed("checkout.session.completed", session)
                return 200, {"events": [done, signed("payment_intent.succeeded", intent)], "intent": intent["id"]}
            case ["_refund", intent_id]:
                thing = {"id": new("ch"), "payment_intent": intent_id, "currency": "usd"}
                return 200, signed("charge.refunded", {**thing, "amount_refunded": int(query["amount"])})
            case ["_dispute", intent_id]:
                thing = {"id": new("dp"), "payment_intent": intent_id, "currency": "usd", "status": "lost"}
                return 200, signed("charge.dispute.closed", {**thing, "amount": STATE["intents"][intent_id]["amount"]})
            case ["_sign"]:
                return 200, signed(query["type"], json.loads(query["thing"]))
            case ["_state"]:
                return 200, {"intents": len(STATE["intents"]), "refunds": len(STATE["refunds"])}
        return 404, {"error": {"type": "invalid_request_error", "message": f"no {path}"}}

    def intent(self, amount, currency, customer, metadata):
        made = {
            "id": new("pi"), "object": "payment_intent", "amount": int(amount), "amount_received": int(amount),
            "currency": currency, "status": "succeeded", "customer": customer, "metadata": metadata,
            "payment_method": "pm_card",
        }  # fmt: skip
        STATE["intents"][made["id"]] = made
        return made

    def answer(self, status, made):
        raw = json.dumps(made).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()

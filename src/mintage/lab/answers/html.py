"""One self-contained HTML page of a comparison, in English or 中文. Charts are inline SVG: nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from typing import Final

from mintage.lab.answers.compare import Comparison, PlanAnswer

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("Which plan earns more?", "哪个方案更赚钱？"),
    "recommendation": ("Recommendation", "建议"),
    "plans": ("Plans side by side", "方案对比"),
    "plan": ("plan", "方案"),
    "revenue": ("revenue", "收入"),
    "cost": ("cost", "成本"),
    "margin": ("margin", "毛利"),
    "share": ("margin / revenue", "毛利率"),
    "expected": ("expected margin", "预期毛利"),
    "interval": ("interval", "区间"),
    "best": ("best in", "最优概率"),
    "rising": ("bills rise / fall", "账单上涨／下降"),
    "losing": ("customers below cost", "亏本客户"),
    "break_even": ("break-even cost", "盈亏平衡成本"),
    "by_period": ("Margin by period", "各期毛利"),
    "waterfall": ("From revenue to margin", "从收入到毛利"),
    "fixed": ("fixed cost", "固定成本"),
    "shock": ("How bills change against the baseline", "账单相对基准的变化"),
    "worst": ("Customers whose bill rises most", "账单上涨最多的客户"),
    "customer": ("customer", "客户"),
    "before": ("before", "之前"),
    "after": ("after", "之后"),
    "change": ("change", "变化"),
    "drivers": ("What the expected margin depends on", "预期毛利取决于什么"),
    "low": ("low", "低"),
    "high": ("high", "高"),
    "assumptions": ("Assumptions", "假设"),
    "assumption": ("assumption", "假设"),
    "mean": ("mean", "均值"),
    "sd": ("standard deviation", "标准差"),
    "source": ("source", "来源"),
    "workload": ("Workload", "负载"),
    "requests": ("rows", "行数"),
    "customers": ("customers", "客户数"),
    "top": ("busiest customer, ten busiest", "最大客户、前十大客户占比"),
    "customers_table": ("Customers", "客户明细"),
    "uncosted": ("Models without a cost (taken as free)", "没有成本的模型（按零计）"),
    "how": ("How each part was computed", "各部分的计算方式"),
    "what": (
        "Amounts are exact under the usage as it was; expected margins and intervals let customers react as assumed.",
        "金额按实际用量精确计算；预期毛利与区间按下列假设考虑客户反应。",
    ),
}
_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1d2730;--soft:#5c6b77;--line:#d8dfe4;--bar:#0f7c6f;--bad:#b3402a;--bg:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf1;--soft:#9fb0bb;--line:#33414b;--bar:#3fc2b0;--bad:#ef8a73;
--bg:#12181d}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--bg);max-width:1080px;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p.note{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{padding:.35rem .5rem;text-align:right;
border-bottom:1px solid var(--line)}td:first-child,th:first-child{text-align:left}tr.best td{font-weight:600}
.box{border:1px solid var(--line);border-left:4px solid var(--bar);padding:.75rem 1rem;border-radius:6px}
svg{width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}.wide{overflow-x:auto}
"""


def _amount(value: Decimal | float) -> str:
    return f"{value or 0:,.2f}"  # no -0.00


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


class _Page:
    def __init__(self, made: Comparison, language: str) -> None:
        self.made, self.zh = made, language.startswith("zh")

    def word(self, name: str) -> str:
        return escape(_WORDS[name][1 if self.zh else 0])

    def name(self, answer: PlanAnswer) -> str:
        return escape(answer.name.in_language("zh" if self.zh else "en"))

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], best: int = -1) -> str:
        head = "".join(f"<th scope=col>{cell}</th>" for cell in heads)
        body = "".join(
            f"<tr{' class=best' if place == best else ''}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
            for place, row in enumerate(rows)
        )
        return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"

    def bars(self, rows: Sequence[tuple[str, float]], label: str) -> str:
        """Horizontal bars from a common zero; the text says what the bar shows."""
        low, high = min(0.0, *(v for _, v in rows)), max(0.0, *(v for _, v in rows))
        span = (high - low) or 1.0
        parts, left, width = [], 230, 620
        for place, (name, value) in enumerate(rows):
            y = 8 + place * 26
            x0 = left + (min(value, 0) - low) / span * width
            bar = max(abs(value) / span * width, 1)
            colour = "--bar" if value >= 0 else "--bad"
            parts.append(
                f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(name[:34])}</text>'
                f'<rect x="{x0:.1f}" y="{y}" width="{bar:.1f}" height="18" rx="2" style="fill:var({colour})"/>'
                f'<text x="{left + width + 10}" y="{y + 13}">{_amount(value)}</text>'
            )
        height = 16 + len(rows) * 26
        return f'<svg viewBox="0 0 1000 {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'

    def fan(self, label: str) -> str:
        """Expected margin of each plan with its interval."""
        answers = self.made.answers
        low = min(0.0, *(a.margin_interval.low for a in answers))
        high = max(0.0, *(a.margin_interval.high for a in answers))
        span, left, width, parts = (high - low) or 1.0, 230, 620, []
        for place, answer in enumerate(answers):
            y = 16 + place * 26
            a, m, b = ((v - low) / span * width + left for v in (
                answer.margin_interval.low, answer.margin_interval.mean, answer.margin_interval.high))  # fmt: skip
            parts.append(
                f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{self.name(answer)[:34]}</text>'
                f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" '
                f'style="stroke:var(--bar);stroke-width:6;opacity:.4"/>'
                f'<circle cx="{m:.1f}" cy="{y}" r="5" style="fill:var(--bar)"/>'
                f'<text x="{left + width + 10}" y="{y + 4}">{_amount(answer.margin_interval.mean)}</text>'
            )
        height = 24 + len(answers) * 26
        return f'<svg viewBox="0 0 1000 {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'

    def sections(self) -> list[str]:
        made, w = self.made, self.word
        best = [answer.plan for answer in made.answers].index(made.recommended)
        top = made.answers[best]
        rows = [
            [
                self.name(a) + (" *" if a.plan == made.baseline else ""),
                _amount(a.revenue),
                _amount(a.cost + a.fixed_cost),
                _amount(a.margin),
                _share(a.margin_share),
                _amount(a.margin_interval.mean),
                f"{_amount(a.margin_interval.low)} – {_amount(a.margin_interval.high)}",
                f"{a.best_chance:.0%}",
                f"{a.rising} / {a.falling}",
                str(a.loss_customers),
                "" if a.break_even_cost_factor is None else f"× {a.break_even_cost_factor:.2f}",
            ]
            for a in made.answers
        ]
        names = ("plan", "revenue", "cost", "margin", "share", "expected", "interval", "best", "rising", "losing",
                 "break_even")  # fmt: skip
        heads = [w(name) for name in names]
        waterfall = [(w("revenue"), float(top.revenue)), (w("cost"), -float(top.cost)),
                     (w("fixed"), -float(top.fixed_cost)), (w("margin"), float(top.margin))]  # fmt: skip
        sentence = escape(made.recommendation.zh if self.zh else made.recommendation.en)
        found = [
            f"<h2>{w('recommendation')}</h2><p class=box>{sentence}</p>",
            f"<h2>{w('plans')} ({escape(made.currency)})</h2>" + self.table(heads, rows, best),
            f"<p class=note>* = {escape(made.baseline)}. {w('what')}</p>",
            f"<h2>{w('expected')}, {made.assumptions.level:.0%} {w('interval')}</h2>" + self.fan(w("expected")),
            f"<h2>{w('waterfall')}: {self.name(top)}</h2>" + self.bars(waterfall, w("waterfall")),
            f"<h2>{w('by_period')}: {self.name(top)}</h2>"
            + self.bars([(day, float(margin)) for day, _, _, margin in top.by_period], w("by_period")),
        ]
        return found + self.details(top)

    def details(self, top: PlanAnswer) -> list[str]:
        made, w = self.made, self.word
        changes = [[self.name(a), *(f"{q:+.1%}" for q in a.quantiles)] for a in made.answers[1:] if a.quantiles]
        quantiles = [w("plan"), "5 %", "25 %", "50 %", "75 %", "95 %"]
        rises = [shock for shock in top.worst if shock.after > shock.before]
        worst = [
            [escape(r.customer), _amount(r.before), _amount(r.after), "" if r.change is None else f"{r.change:+.1%}"]
            for r in rises
        ]
        drivers = [[escape(name), _amount(low), _amount(high)] for name, low, high in top.drivers]
        given = [[escape(name), f"{u.mean:g}", f"{u.sd:g}", escape(u.source)] for name, u in (
            (n, getattr(made.assumptions, n)) for n in ("elasticity", "churn_response", "cost_factor"))]  # fmt: skip
        customers = [[escape(c), _amount(r), _amount(k), _amount(m)] for c, r, k, m in top.by_customer[:25]]
        s = made.workload
        facts = [[w("requests"), f"{s.rows:,}"], [w("customers"), f"{s.customers:,}"],
                 [w("top"), f"{s.top_share:.0%}, {s.top10_share:.0%}"],
                 *([escape(name), f"{count:,}"] for name, count in s.totals.items())]  # fmt: skip
        if made.uncosted:
            facts.append([w("uncosted"), escape(", ".join(made.uncosted))])
        how = [[self.name(a), escape(", ".join(f"{p}: {e}" for p, e in a.how.items()))] for a in made.answers]
        money = [w("customer"), w("revenue"), w("cost"), w("margin")]
        shocked = self.table(quantiles, changes) if changes else ""
        rise = self.table([w("customer"), w("before"), w("after"), w("change")], worst) if worst else "<p>–</p>"
        return [
            f"<h2>{w('shock')}</h2>" + shocked,
            f"<h2>{w('worst')}: {self.name(top)}</h2>" + rise,
            f"<h2>{w('drivers')}: {self.name(top)}</h2>" + self.table([w("assumption"), w("low"), w("high")], drivers),
            f"<h2>{w('customers_table')}: {self.name(top)}</h2>" + self.table(money, customers),
            f"<h2>{w('assumptions')}</h2>"
            + self.table([w("assumption"), w("mean"), w("sd"), w("source")], given)
            + f"<p class=note>seed {made.assumptions.seed}, {made.assumptions.runs} runs, {escape(made.book)}</p>",
            f"<h2>{w('workload')}</h2>" + self.table(["", ""], facts),
            f"<h2>{w('how')}</h2>" + self.table([w("plan"), ""], how),
        ]


def render_html(made: Comparison, language: str = "en") -> str:
    """The page as text. The same comparison gives the same bytes."""
    page = _Page(made, language)
    title = page.word("title")
    lang = "zh-CN" if page.zh else "en"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    body = "\n".join(page.sections())
    style = f"<style>{_STYLE}</style>"
    return (
        f'<!doctype html><html lang="{lang}"><head>{head}{style}</head><body><h1>{title}</h1>\n{body}</body></html>\n'
    )

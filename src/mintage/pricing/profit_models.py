"""The 24 profit models, by number: their names in English and 中文, their state tags, and a plan that shows each.

The plan of number N is data/models/NN-SLUG.toml; examples/plans/models leads there.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

import msgspec

from mintage.pricing.charges import State
from mintage.pricing.words import Names


class ProfitModel(msgspec.Struct, frozen=True, kw_only=True):
    """payer: who pays. states: what a plan of this model depends on at least; options may add to them."""

    number: int
    slug: str
    name: Names
    payer: Names
    states: frozenset[State]


def _model(number: int, slug: str, names: tuple[str, str], payer: tuple[str, str], *states: State) -> ProfitModel:
    return ProfitModel(
        number=number,
        slug=slug,
        name=Names(en=names[0], zh=names[1]),
        payer=Names(en=payer[0], zh=payer[1]),
        states=frozenset(states),
    )


_USER = ("user", "用户")
_COMPANY = ("company", "企业")

PROFIT_MODELS: Final[tuple[ProfitModel, ...]] = (
    _model(1, "pay-as-you-go", ("Pay as you go", "按量付费"), _USER, "additive"),
    _model(2, "graduated-tiers", ("Graduated tiers", "阶梯计价（分段累进）"), _USER, "period_total"),
    _model(3, "volume-tiers", ("Volume tiers", "全量阶梯（总量定价）"), _USER, "period_total"),
    _model(4, "package", ("Packages", "资源包（token 包）"), _USER, "period_total"),
    _model(5, "flat-subscription", ("Flat subscription", "订阅制（包月）"), ("end user", "终端用户"), "period_total"),
    _model(
        6,
        "subscription-allowance-overage",
        ("Subscription, allowance and overage", "订阅+额度+超额计费"),
        _USER,
        "period_total",
    ),
    _model(7, "per-seat", ("Per seat", "按席位（坐席）收费"), ("employer", "雇主"), "interval"),
    _model(8, "prepaid-credits", ("Prepaid credits", "预付费充值、点数（积分）制"), _USER, "path"),
    _model(9, "commitment", ("Commitment and true-up", "承诺消费（年度承诺+补差）"), _COMPANY, "cumulative"),
    _model(10, "reserved-throughput", ("Reserved throughput", "预留吞吐（独占算力）"), _COMPANY, "interval"),
    _model(11, "freemium", ("Freemium", "免费增值"), ("converting users", "转化用户"), "period_total", "choice"),
    _model(12, "free-trial", ("Free trial", "免费试用、赠送额度"), ("converters", "转化用户"), "path"),
    _model(13, "outcome", ("Per outcome", "按效果付费（按解决工单）"), _COMPANY, "path"),
    _model(14, "per-workflow", ("Per workflow or agent", "按任务、按智能体（数字员工）收费"), _COMPANY, "additive"),
    _model(15, "revenue-share", ("Revenue share", "收入分成、收益分成"), ("partner", "合作伙伴"), "period_total"),
    _model(16, "advertising", ("Advertising", "广告"), ("advertiser", "广告主"), "additive"),
    _model(17, "affiliate", ("Affiliate commission", "导购佣金（CPS）"), ("merchant", "商家"), "additive"),
    _model(
        18,
        "licence-maintenance",
        ("On-premises licence and maintenance", "私有化部署授权+维保"),
        ("company or government", "企业或政府"),
        "interval",
    ),
    _model(19, "fine-tuning", ("Fine-tuning as a service", "微调即服务（定制训练）"), _COMPANY, "additive", "interval"),
    _model(
        20, "marketplace", ("Marketplace commission", "应用商店抽成（平台佣金）"), ("end user", "终端用户"), "additive"
    ),
    _model(
        21,
        "creator-pool",
        ("Creator pool payout", "创作者分润池"),
        ("platform", "平台"),
        "period_total",
        "cross_customer",
    ),
    _model(22, "white-label", ("White label, OEM", "白标、OEM 授权"), ("OEM", "贴牌厂商"), "cumulative"),
    _model(23, "priority-batch-off-peak", ("Priority, batch, off-peak", "优先级、批处理、错峰定价"), _USER, "additive"),
    _model(24, "professional-services", ("Professional services and support", "实施与支持服务"), _COMPANY, "interval"),
)


def example_plan(model: ProfitModel) -> str:
    """The text of the plan that shows a profit model, as TOML; its first line says what it is about."""
    folder = resources.files("mintage.pricing") / "data" / "models"
    return (folder / f"{model.number:02d}-{model.slug}.toml").read_text("utf-8")

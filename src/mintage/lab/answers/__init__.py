"""What the lab says: plans side by side with intervals, the best price under constraints, one report.

In: a workload, plans, costs, assumptions. Out: a Comparison as data, JSON, Parquet and a page. compare.py puts it
together, uncertainty.py says how sure, optimise.py searches, html.py shows. Start with compare.
"""

from mintage.lab.answers.backtest import BacktestRow, Issued, backtest
from mintage.lab.answers.compare import Comparison, PlanAnswer, Shock, compare
from mintage.lab.answers.files import read_answers, write_answers
from mintage.lab.answers.html import render_html
from mintage.lab.answers.optimise import Constraints, Optimum, optimise
from mintage.lab.answers.search import Maximum, maximise
from mintage.lab.answers.uncertainty import Assumptions, Interval, Uncertain

__all__ = [
    "Assumptions",
    "BacktestRow",
    "Comparison",
    "Constraints",
    "Interval",
    "Issued",
    "Maximum",
    "Optimum",
    "PlanAnswer",
    "Shock",
    "Uncertain",
    "backtest",
    "compare",
    "maximise",
    "optimise",
    "read_answers",
    "render_html",
    "write_answers",
]

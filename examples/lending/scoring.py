"""Scores an application for a loan: a Flyte program that a workflow calls by its name."""

from dataclasses import dataclass

import flyte

env = flyte.TaskEnvironment(name="scoring")


@dataclass
class Applicant:
    income: float
    debts: float


@env.task
async def burden(applicant: Applicant, amount: float, years: int) -> float:
    """The part of the income that goes into debts, the new one among them."""
    return (applicant.debts + amount / years) / applicant.income


@env.task
async def score(applicant: Applicant, amount: float, years: int = 10) -> tuple[float, str]:
    """How safe it is to lend, from 0 to 1, and in words why."""
    part = await burden(applicant, amount, years)
    safe = max(0.0, min(1.0, 1.0 - part))
    return round(safe, 3), f"{part:.0%} of the income would go into debts"

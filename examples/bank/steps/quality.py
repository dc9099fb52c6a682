"""Checks the applications before anything is built on them.

An expectation that fails and is `hard` refuses the table. Rows that break a rule of one row are taken out and counted. The rest is a
note in the report.
"""

import pandas as pd

import step

COLUMNS = {
    "Application": "number", "Status": "word", "Seniority": "number", "Home": "word", "Time": "number", "Age": "number",
    "Marital": "word", "Records": "word", "Job": "word", "Expenses": "number", "Income": "number", "Assets": "number",
    "Debt": "number", "Amount": "number", "Price": "number",
}  # fmt: skip
# What a number may be. Money is in the units of the source.
RANGES = {
    "Seniority": (0, 60), "Time": (1, 120), "Age": (18, 100), "Expenses": (0, 10_000), "Income": (0, 100_000),
    "Assets": (0, 5_000_000), "Debt": (0, 1_000_000), "Amount": (1, 100_000), "Price": (1, 1_000_000),
}  # fmt: skip
OUTCOMES = {"good", "bad"}
MISSING_MAX = 0.15
BAD_ROWS_MAX = 0.02
ROWS_MIN = 500
RATE = (0.02, 0.5)


def check(table):
    """The rows that may be used, and the findings. Raises `Refused` with every hard expectation that fails."""
    findings, broken = [], []

    def note(name, holds, detail, hard=True):
        findings.append({"check": name, "ok": bool(holds), "hard": hard, "detail": detail})
        if hard and not holds:
            broken.append(f"{name}: {detail}")

    missing = sorted(set(COLUMNS) - set(table.columns))
    note("all columns are there", not missing, f"missing: {', '.join(missing)}" if missing else f"{len(COLUMNS)} columns")
    if missing:
        raise step.Refused("; ".join(broken))
    texts = [name for name, kind in COLUMNS.items() if kind == "number" and not pd.api.types.is_numeric_dtype(table[name])]
    note("numbers are numbers", not texts, f"not numeric: {', '.join(texts)}" if texts else "all numeric columns are")
    if texts:
        raise step.Refused("; ".join(broken))

    repeated = int(table["Application"].duplicated().sum())
    note("every application once", repeated == 0, f"{repeated} identifiers appear twice")
    unknown = int((~table["Status"].isin(OUTCOMES)).sum())
    note("every outcome is known", unknown == 0, f"{unknown} rows with an outcome that is neither good nor bad")
    note("enough rows", len(table) >= ROWS_MIN, f"{len(table)} rows; at least {ROWS_MIN}")
    share = table.isna().mean()
    gaps = {name: round(float(value), 4) for name, value in share.items() if value > 0}
    worst = share.idxmax()
    note(f"at most {MISSING_MAX:.0%} missing", share.max() <= MISSING_MAX, f"most in {worst}: {share.max():.1%}")
    outside = pd.Series(False, index=table.index)
    for name, (low, high) in RANGES.items():
        bad = table[name].notna() & ~table[name].between(low, high)
        outside |= bad
        if bad.any():
            note(f"{name} from {low} to {high}", False, f"{int(bad.sum())} rows outside, taken out", hard=False)
    note(f"at most {BAD_ROWS_MAX:.0%} out of range", outside.mean() <= BAD_ROWS_MAX, f"{outside.mean():.2%} of rows")
    rate = float((table["Status"] == "bad").mean())
    note(f"share of bad outcomes from {RATE[0]:.0%} to {RATE[1]:.0%}", RATE[0] <= rate <= RATE[1], f"{rate:.1%}")
    twins = int(table.drop(columns="Application").duplicated().sum())
    note("no twins", twins == 0, f"{twins} rows repeat another in all but the identifier, kept", hard=False)
    if broken:
        raise step.Refused("; ".join(broken))
    usable = table[~outside]
    return usable, {"rows": len(table), "usable": len(usable), "bad_rate": rate, "missing": gaps, "findings": findings}


def main():
    table = pd.read_csv(step.given()["applications"]["path"])
    usable, report = check(table)
    usable.to_csv(step.out("checked.csv"), index=False)
    for finding in report["findings"]:
        print(("ok  " if finding["ok"] else "NOTE"), finding["check"], "-", finding["detail"])
    step.give(checked=step.file("checked.csv"), rows=len(usable), report=report)


if __name__ == "__main__":
    step.run(main)

"""Writes the model card: what the model is for, how good it is, who approved it. Sums only, nothing about a person."""

import json
from pathlib import Path

import step


def card(metrics, sign, approval, source):
    low, high = metrics["auc_interval"]
    bands = "\n".join(
        f"| {line['band']} | {line['rows']} | {line['bad_rate']:.1%} | {line['flagged']:.1%} | {line['auc'] or '-'} |"
        for line in metrics["groups"]
    )
    return f"""# Model card: early warning on credit applications

**Purpose.** Rank applications by the risk of a bad outcome, for review by a person. It does not decide alone.
**Data.** {source['what']} {source['origin']}; {source['shipped_by']}; licence: {source['licence']}.
**Kind.** {metrics['kind']}, threshold {metrics['threshold']} (a miss costs {metrics['cost_of_miss']:g} false alarms).

| on {metrics['rows']} unseen applications | |
|---|---|
| AUC | {metrics['auc']} (95 % interval {low} to {high}) |
| average precision | {metrics['average_precision']} |
| Brier score | {metrics['brier']} |
| KS | {metrics['ks']} |

| age band | applications | bad outcomes | flagged | AUC |
|---|---|---|---|---|
{bands}

**Not for.** Other products, other countries, other years: the data is old and from one lender.
**Model.** `{sign['model_digest']}`, signed with `{sign['key']}`.
**Approved.** By {approval['by']}, {approval['at']}: {approval['reason']}
"""


def main():
    given = step.given()
    metrics = json.loads(Path(given["metrics"]["path"]).read_text())
    step.out("model-card.md").write_text(card(metrics, given["sign"], given["approval"], given["source"]))
    step.give(card=step.file("model-card.md"))


if __name__ == "__main__":
    step.run(main)

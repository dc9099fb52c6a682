"""Tests the model on applications it has not seen, and makes the page that the risk officer decides on."""

import joblib
import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

import evidence
import model as models
import step

RESAMPLES = 400


def thinned(*columns, most=120):
    """Points of a curve, as few as a picture needs."""
    pick = np.unique(np.linspace(0, len(columns[0]) - 1, most).round().astype(int))
    return [[round(float(value), 5) for value in np.asarray(column)[pick]] for column in columns]


def interval(truth, probability):
    """The 95 % interval of the AUC, by resampling rows."""
    random = np.random.default_rng(models.SEED)
    found = []
    while len(found) < RESAMPLES:
        rows = random.integers(0, len(truth), len(truth))
        if 0 < truth[rows].sum() < len(rows):
            found.append(roc_auc_score(truth[rows], probability[rows]))
    return [round(float(value), 4) for value in np.quantile(found, [0.025, 0.975])]


def calibration(truth, probability, bins=10):
    """Predicted against observed, in bins of equal size."""
    order = np.array_split(np.argsort(probability, kind="stable"), bins)
    return [
        {"predicted": round(float(probability[rows].mean()), 4), "observed": round(float(truth[rows].mean()), 4), "rows": len(rows)}
        for rows in order
        if len(rows)
    ]


def confusion(truth, probability, threshold):
    flagged = probability >= threshold
    return {
        "caught": int(np.sum(flagged & (truth == 1))), "missed": int(np.sum(~flagged & (truth == 1))),
        "alarms": int(np.sum(flagged & (truth == 0))), "passed": int(np.sum(~flagged & (truth == 0))),
    }  # fmt: skip


def groups(table, truth, probability, threshold):
    """The same figures for every age band: the model must not be good for some only."""
    lines = []
    for name, rows in table.groupby("AgeBand").indices.items():
        both = 0 < truth[rows].sum() < len(rows)
        lines.append({
            "band": name, "rows": len(rows), "bad_rate": round(float(truth[rows].mean()), 4),
            "flagged": round(float((probability[rows] >= threshold).mean()), 4),
            "auc": round(float(roc_auc_score(truth[rows], probability[rows])), 4) if both else None,
        })  # fmt: skip
    return lines


def validate(trained, table):
    """Everything that is said of the model on these rows."""
    truth, probability = models.target(table), models.scores(trained["pipeline"], table)
    threshold = trained["threshold"]
    wrong, right, _ = roc_curve(truth, probability)
    precision, recall, _ = precision_recall_curve(truth, probability)
    _, costs = models.cheapest_threshold(truth, probability, trained["cost_of_miss"])
    rows = models.features(table)
    worth = permutation_importance(
        trained["pipeline"], rows, truth, scoring="roc_auc", n_repeats=5, random_state=models.SEED
    ).importances_mean  # fmt: skip
    roc_x, roc_y = thinned(wrong, right)
    pr_x, pr_y = thinned(recall[::-1], precision[::-1])
    return {
        "kind": trained["kind"], "rows": len(table), "bad_rate": round(float(truth.mean()), 4),
        "auc": round(float(roc_auc_score(truth, probability)), 4), "auc_interval": interval(truth, probability),
        "average_precision": round(float(average_precision_score(truth, probability)), 4),
        "brier": round(float(brier_score_loss(truth, probability)), 4),
        "ks": round(float(np.max(right - wrong)), 4),
        "threshold": threshold, "cost_of_miss": trained["cost_of_miss"],
        "confusion": confusion(truth, probability, threshold), "costs": costs,
        "roc": {"x": roc_x, "y": roc_y}, "pr": {"x": pr_x, "y": pr_y},
        "calibration": calibration(truth, probability),
        "histogram": {"good": models.histogram(probability[truth == 0]), "bad": models.histogram(probability[truth == 1])},
        "importance": sorted(
            ({"feature": name, "auc_lost": round(float(value), 5)} for name, value in zip(rows.columns, worth)),
            key=lambda line: -line["auc_lost"],
        ),
        "groups": groups(table, truth, probability, threshold),
    }  # fmt: skip


def main():
    given = step.given()
    metrics = validate(joblib.load(given["model"]["path"]), pd.read_csv(given["validation"]["path"]))
    metrics["model"] = given["model"]["digest"]
    step.out("evidence.html").write_text(evidence.evidence_page(metrics, given["board"], float(given["bar"])))
    low, high = metrics["auc_interval"]
    print(f"AUC {metrics['auc']} ({low} to {high}), Brier {metrics['brier']}, KS {metrics['ks']} on {metrics['rows']} unseen rows")
    step.give(
        auc=metrics["auc"], auc_low=low, ks=metrics["ks"], brier=metrics["brier"],
        metrics=step.write_json("metrics.json", metrics), evidence=step.file("evidence.html"),
    )  # fmt: skip


if __name__ == "__main__":
    step.run(main)

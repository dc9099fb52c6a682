"""The page that the risk officer decides on: how good the model is, and for whom."""

import charts
from page import card, code, facts, matrix, page, table, tiles


def plots(metrics):
    """The cards that say how good the model is; the report shows them too."""
    counts = metrics["confusion"]
    caught, bad = counts["caught"], counts["caught"] + counts["missed"]
    lead = metrics["importance"][0]["feature"]
    return "".join([
        card("Does it tell good from bad?", "ROC curve on applications it has not seen", charts.roc(metrics)),
        card("What is a flag worth?", "precision and recall", charts.precision_recall(metrics)),
        card("Can its probabilities be believed?", "predicted against observed, in tenths", charts.calibration(metrics)),
        card("Scores by outcome", "share of each outcome, by score", charts.separation(metrics)),
        card(f"{caught} of {bad} bad outcomes are caught", f"at the threshold {metrics['threshold']:.2f}", matrix(counts) + worth(counts)),
        card("Why this threshold?", "cost of misses and false alarms together", charts.cost(metrics)),
        card("What does it look at?", "AUC lost when a feature is shuffled", charts.importance(metrics)),
        card("For whom does it work?", f"by age band; most weight is on {lead}", bands(metrics)),
    ])  # fmt: skip


def worth(counts):
    """What the flags and the passes are worth, in shares."""
    share = lambda part, whole: f"{part / whole:.0%}" if whole else "-"  # noqa: E731
    bad, good = counts["caught"] + counts["missed"], counts["alarms"] + counts["passed"]
    flagged, passed = counts["caught"] + counts["alarms"], counts["missed"] + counts["passed"]
    return facts([
        ("bad outcomes caught", share(counts["caught"], bad)),
        ("good outcomes flagged", share(counts["alarms"], good)),
        ("of the flagged, bad", share(counts["caught"], flagged)),
        ("of the passed, bad", share(counts["missed"], passed)),
    ])  # fmt: skip


def bands(metrics):
    rows = [
        (line["band"], line["rows"], f"{line['bad_rate']:.0%}", f"{line['flagged']:.0%}", f"{line['auc']:.3f}" if line["auc"] else "-")
        for line in metrics["groups"]
    ]
    return table(["age band", ">applications", ">bad", ">flagged", ">AUC"], rows)


def page_tiles(metrics):
    low, high = metrics["auc_interval"]
    return tiles([
        (f"{metrics['auc']:.3f}", f"AUC, 95 % from {low:.3f} to {high:.3f}"),
        (f"{metrics['ks']:.3f}", "KS distance"),
        (f"{metrics['brier']:.3f}", "Brier score, less is better"),
        (f"{metrics['rows']:,}", f"unseen applications, {metrics['bad_rate']:.0%} bad"),
    ])  # fmt: skip


def content(metrics, board, bar):
    competing = table(["candidate", ">AUC in cross-validation"], [(line["candidate"], f"{line['auc']:.4f}") for line in board])
    return (
        "<h1>Evidence for the risk officer</h1>"
        f'<p class="lead">May this model rank applications? It is a {metrics["kind"]} model; an AUC of {bar:g} is the least the bank accepts. '
        "You approve this model, by its digest, and no other.</p>"
        f"<p>{code(metrics['model'])}</p>{page_tiles(metrics)}"
        f'<div class="cards">{plots(metrics)}{card("Candidates", "they competed on the training rows", competing)}</div>'
    )


def evidence_page(metrics, board, bar):
    return page("Evidence for the risk officer", content(metrics, board, bar))

"""Trains the model: the candidates compete by cross-validation, the best one learns from all training rows."""

import joblib
import pandas as pd
import sklearn
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import model as models
import step

FOLDS = 5


def train(table, cost_of_miss):
    """The trained model with its threshold, and how the candidates did."""
    rows, truth = models.features(table), models.target(table)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=models.SEED)
    board, best = [], None
    for name, candidate in models.candidates().items():
        # Every row is scored by a model that has not seen it: good for comparing, and for choosing the threshold.
        unseen = cross_val_predict(candidate, rows, truth, cv=folds, method="predict_proba")[:, 1]
        auc = float(roc_auc_score(truth, unseen))
        board.append({"candidate": name, "auc": round(auc, 4)})
        if best is None or auc > best[0]:
            best = (auc, name, candidate, unseen)
    _, name, candidate, unseen = best
    threshold, _ = models.cheapest_threshold(truth, unseen, cost_of_miss)
    trained = {
        "kind": name,
        "pipeline": candidate.fit(rows, truth),
        "threshold": threshold,
        "cost_of_miss": cost_of_miss,
        "rows": len(table),
        "sklearn": sklearn.__version__,
    }
    return trained, board


def main():
    given = step.given()
    trained, board = train(pd.read_csv(given["train"]["path"]), float(given["cost_of_miss"]))
    joblib.dump(trained, step.out("model.joblib"), compress=3)
    for line in board:
        print(f"{line['candidate']}: AUC {line['auc']:.4f} over {FOLDS} folds")
    print(f"chosen: {trained['kind']}, threshold {trained['threshold']}")
    step.give(model=step.file("model.joblib"), kind=trained["kind"], threshold=trained["threshold"], board=board)


if __name__ == "__main__":
    step.run(main)

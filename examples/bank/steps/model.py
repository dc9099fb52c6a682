"""The model: what it reads, what it may be, and the score it gives."""

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

NUMBERS = ["Seniority", "Time", "Expenses", "Income", "Assets", "Debt", "Amount", "Price", "Financed", "Left"]
WORDS = ["Home", "Records", "Job", "AgeBand"]
SEED = 7
# Bins of a histogram of scores, from 0 to 1.
BINS = 20


def features(table):
    """What the model reads of an application: its fields, the financed share and what is left of the income."""
    derived = table.assign(
        Financed=table["Amount"] / table["Price"].clip(lower=1),
        Left=table["Income"] - table["Expenses"] - table["Amount"] / table["Time"].clip(lower=1),
    )
    words = derived[WORDS].astype(object)
    return derived[NUMBERS].astype(float).join(words.where(words.notna(), "unknown"))


def target(table):
    """1 for the outcome that the model warns of."""
    return (table["Status"] == "bad").astype(int).to_numpy()


def candidates():
    """The kinds of model that compete, by name."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    linear = make_column_transformer((numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), WORDS))
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    trees = make_column_transformer((SimpleImputer(strategy="median"), NUMBERS), (ordinal, WORDS))
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=120, max_leaf_nodes=8, min_samples_leaf=40, l2_regularization=1.0, random_state=SEED
    )
    return {
        "logistic regression": make_pipeline(linear, LogisticRegression(max_iter=2000, C=0.5)),
        "gradient boosting": make_pipeline(trees, boosting),
    }


def scores(model, table):
    """The probability of the bad outcome for every row."""
    return model.predict_proba(features(table))[:, 1]


def cheapest_threshold(truth, probability, cost_of_miss):
    """The threshold at which misses and false alarms together cost least, and the cost per application along all thresholds.

    A false alarm costs 1 and a miss `cost_of_miss`.
    """
    grid = np.round(np.arange(0.02, 0.96, 0.01), 2)
    costs = []
    for threshold in grid:
        flagged = probability >= threshold
        misses, alarms = np.sum(~flagged & (truth == 1)), np.sum(flagged & (truth == 0))
        costs.append((cost_of_miss * misses + alarms) / len(truth))
    return float(grid[int(np.argmin(costs))]), list(zip(grid.tolist(), np.round(costs, 5).tolist()))


def histogram(probability):
    """How many scores fall into each bin."""
    return np.histogram(probability, bins=BINS, range=(0, 1))[0].tolist()

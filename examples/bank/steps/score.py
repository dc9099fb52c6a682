"""Scores one partition. The model is opened only after its signature has been checked here, where it is used."""

import json
from pathlib import Path

import joblib
import pandas as pd

import model as models
import signing
import step


def main():
    given = step.given()
    signed = json.loads(Path(given["signature"]["path"]).read_text())
    signing.verify(signed, given["model"]["path"], given["approved"]["key"], given["approved"]["model"])
    trained = joblib.load(given["model"]["path"])
    table = pd.read_csv(given["part"]["path"])
    probability = models.scores(trained["pipeline"], table)
    flagged = probability >= trained["threshold"]
    scored = pd.DataFrame({"Pseudonym": table["Pseudonym"], "Score": probability.round(6), "Flagged": flagged.astype(int)})
    name = given["part"]["name"].replace("to-score", "scored")
    scored.to_csv(step.out(name), index=False)
    print(f"{len(scored)} applications scored, {int(flagged.sum())} flagged")
    step.give(
        scored=step.file(name), rows=len(scored), flagged=int(flagged.sum()), mean=round(float(probability.mean()), 4),
        histogram=models.histogram(probability), verified=True,
    )  # fmt: skip


if __name__ == "__main__":
    step.run(main)

"""Parts the applications into history to learn from, history to test on, and the ones that are to be scored.

The outcome of those to be scored is held back: it stays at this site, and the report compares with it in the end. Rows are in the
order of their pseudonyms, which is as good as shuffled.
"""

import pandas as pd

import step

TRAIN, VALIDATION = 0.55, 0.20


def split(table, partitions):
    """Training rows, validation rows, and a list of tables to score with their outcomes beside them."""
    first, second = int(len(table) * TRAIN), int(len(table) * (TRAIN + VALIDATION))
    fresh = table.iloc[second:]
    bounds = [round(len(fresh) * part / partitions) for part in range(partitions + 1)]
    parts = [fresh.iloc[low:high] for low, high in zip(bounds, bounds[1:])]
    return table.iloc[:first], table.iloc[first:second], parts


def main():
    given = step.given()
    table = pd.read_csv(given["table"]["path"])
    partitions = int(given["partitions"])
    if not 1 <= partitions <= 100:
        raise step.Refused(f"{partitions} partitions; from 1 to 100 are possible")
    train, validation, parts = split(table, partitions)
    train.to_csv(step.out("train.csv"), index=False)
    validation.to_csv(step.out("validation.csv"), index=False)
    names = []
    for number, part in enumerate(parts, 1):
        names.append(f"to-score-{number:02}.csv")
        part.drop(columns="Status").to_csv(step.out(names[-1]), index=False)
    pd.concat(parts)[["Pseudonym", "Status"]].to_csv(step.out("outcomes.csv"), index=False)
    print(f"{len(train)} rows to learn from, {len(validation)} to test on, {sum(map(len, parts))} to score in {len(parts)} parts")
    step.give(
        train=step.file("train.csv"),
        validation=step.file("validation.csv"),
        outcomes=step.file("outcomes.csv"),
        parts=[step.file(name) for name in names],
    )


if __name__ == "__main__":
    step.run(main)

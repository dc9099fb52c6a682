//! Every environment variable that `tutti` itself reads, in one place. What a task finds in its environment is in
//! `docs/reference/run-nodes.md`.

/// The server to talk to.
pub(crate) const SERVER: &str = "TUTTI_SERVER";
/// The token to show to it.
pub(crate) const TOKEN: &str = "TUTTI_TOKEN";
/// Certificates to trust for https.
pub(crate) const CA: &str = "TUTTI_CA";
/// The data directory.
pub(crate) const DATA: &str = "TUTTI_DATA";
/// Where the server listens.
pub(crate) const LISTEN: &str = "TUTTI_LISTEN";
/// The configuration file of the server.
pub(crate) const CONFIG: &str = "TUTTI_CONFIG";
/// How much is logged.
pub(crate) const LOG: &str = "TUTTI_LOG";
/// How logs look.
pub(crate) const LOG_FORMAT: &str = "TUTTI_LOG_FORMAT";
/// The trace that the command is in.
pub(crate) const TRACEPARENT: &str = "TRACEPARENT";
/// The shell that asks what the tab key may offer.
pub(crate) const COMPLETE: &str = "TUTTI_COMPLETE";
/// Nothing is coloured.
pub(crate) const NO_COLOR: &str = "NO_COLOR";
/// The solver for proofs about rules.
pub(crate) const SOLVER: &str = "CVC5";
/// The locale, the first that is set: what a terminal can show.
const LOCALE: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];

/// Whether the terminal shows more than ASCII, as far as the environment says.
pub(crate) fn shows_unicode() -> bool {
    let locale = LOCALE.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// All of them, as the reference lists them.
pub(crate) const ALL: [(&str, &str); 13] = [
    (SERVER, "The server to talk to: `http://HOST:PORT` or `https://HOST:PORT`."),
    (TOKEN, "The token to show to it."),
    (CA, "Certificates to trust for https, a PEM file, instead of those of the system."),
    (DATA, "The data directory."),
    (LISTEN, "Where `tutti up` listens."),
    (CONFIG, "The configuration file of `tutti up`."),
    (LOG, "How much is logged: `warn`, `info` (the default of `tutti up`), `info,controlplane=debug`."),
    (LOG_FORMAT, "How the logs of `tutti up` look: `text` or `json`."),
    (TRACEPARENT, "The trace that the command is in (W3C Trace Context): a run that it starts continues it."),
    (COMPLETE, "Set by the scripts of `tutti completion`: the shell that asks what the tab key may offer."),
    (SOLVER, "The program cvc5, which `tutti policy analyze` asks; the one on the search path when it is not set."),
    (NO_COLOR, "Set to anything but nothing: nothing is coloured."),
    ("LC_ALL", "With `LC_CTYPE` and `LANG`: without UTF-8 in the first that is set, progress is drawn in ASCII."),
];

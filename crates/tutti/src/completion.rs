//! What the tab key offers: the words of the command line, paths, and the names of what a running server has.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::time::Duration;

use api::rest::approval_views::ApprovalView;
use api::rest::views::RunView;
use clap::{Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _, ValueEnum as _};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter as _};
use clap_complete::env::{CompleteEnv, Shells};

use crate::cli::{Cli, Door};
use crate::client::Client;
use crate::commands::applying::DELETED;
use crate::failure::{CommandError, Exit};
use crate::names::{self, Kind};
use crate::{session, variables};

/// How long a server is waited for: who pressed a key wants to go on.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Where a shell says which word is being written.
const INDEX: &str = "_CLAP_COMPLETE_INDEX";
/// A file of completions that zsh loads by its name has to answer the first key as well.
const ZSH_FIRST_KEY: &str = "\nif [ \"${funcstack[1]}\" = _tutti ]; then _clap_dynamic_completer_tutti \"$@\"; fi\n";

/// What an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// Things of a kind.
    Of(Kind),
    /// Registered workflows, and files.
    WorkflowOrFile,
    /// Actions of the run before it.
    Actions,
    /// Nodes of the run before it.
    Nodes,
    /// Things of the kind before it.
    OfThatKind,
    /// A kind of what can be deleted.
    Deleted,
    /// A kind or a run, then a name, then an action.
    Thing,
}

/// What the argument of a command names, by the path of the command.
fn named(command: &str, argument: &str) -> Option<Names> {
    Some(match (command, argument) {
        ("approve" | "reject", "run") => Names::Of(Kind::Approval),
        (_, "run") => Names::Of(Kind::Run),
        (_, "action") => Names::Actions,
        ("rerun", "from") => Names::Nodes,
        ("policy ask", "from")
        | ("site cordon" | "site uncordon" | "site drain" | "site remove" | "artifact put", "site")
        | ("run", "upload_to")
        | ("whatif", "without") => Names::Of(Kind::Site),
        ("run", "workflow") | ("plan", "what") | ("diff", "before" | "after") => Names::WorkflowOrFile,
        (_, "workflow") => Names::Of(Kind::Workflow),
        ("get" | "delete", "name") => Names::OfThatKind,
        ("delete", "kind") => Names::Deleted,
        ("describe", "what") => Names::Thing,
        ("policy approve" | "policy revoke", "name") => Names::Of(Kind::Sanitizer),
        ("token revoke", "name") => Names::Of(Kind::Token),
        _ => return None,
    })
}

/// Answers a shell that asks what may come next; none when no shell does.
pub(crate) fn answer() -> Option<ExitCode> {
    let environment = CompleteEnv::with_factory(command).var(variables::COMPLETE);
    match environment.try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprint!("{error}");
            Some(ExitCode::from(Exit::Usage as u8))
        }
    }
}

/// What a shell has to read so that it asks.
pub(crate) fn script(shell: Shell) -> Result<Vec<u8>, CommandError> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let adapter = shells.completer(&name).ok_or_else(|| CommandError::usage(format!("there is no completion for `{name}`")))?;
    let mut script = Vec::new();
    adapter.write_registration(variables::COMPLETE, "tutti", "tutti", "tutti", &mut script)?;
    if shell == Shell::Zsh {
        script.extend_from_slice(ZSH_FIRST_KEY.as_bytes());
    }
    Ok(script)
}

/// The command line, whose arguments know what they name.
fn command() -> Command {
    fill(Cli::command(), "")
}

fn fill(command: Command, path: &str) -> Command {
    let argument = |argument: Arg| match named(path, argument.get_id().as_str()) {
        Some(names) => argument.add(ArgValueCompleter::new(move |written: &OsStr| offer(names, written))),
        None => argument,
    };
    command.mut_args(argument).mut_subcommands(|inner| {
        let path = format!("{path} {}", inner.get_name()).trim_start().to_owned();
        fill(inner, &path)
    })
}

/// What may stand where something is being written.
fn offer(names: Names, written: &OsStr) -> Vec<CompletionCandidate> {
    let before = Before::read();
    let mut found: Vec<CompletionCandidate> = kinds(&before, names)
        .into_iter()
        .chain(ask(&before, names))
        .filter(|(name, _)| name.starts_with(&*written.to_string_lossy()))
        .map(|(name, what)| CompletionCandidate::new(name).help((!what.is_empty()).then(|| what.into())))
        .collect();
    if names == Names::WorkflowOrFile {
        found.extend(PathCompleter::any().complete(written));
    }
    found
}

/// The words for kinds that may stand there.
fn kinds(before: &Before, names: Names) -> Vec<(String, String)> {
    let shown = |kind: &&Kind| !matches!(kind, Kind::Approval | Kind::Finding | Kind::Token | Kind::Task);
    let kinds: Vec<&Kind> = match names {
        Names::Deleted => DELETED.iter().collect(),
        Names::Thing if before.values("what").is_empty() => Kind::value_variants().iter().filter(shown).collect(),
        _ => Vec::new(),
    };
    kinds.into_iter().map(|kind| (kind.word().to_owned(), String::new())).collect()
}

/// What stands on the command line before the word that is being written.
struct Before {
    door: Door,
    arguments: Option<ArgMatches>,
}

impl Before {
    fn read() -> Before {
        let mut words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
        let written = std::env::var(INDEX).ok().and_then(|index| index.parse().ok());
        words.truncate(written.unwrap_or(words.len().saturating_sub(1)));
        Before::of(words)
    }

    fn of(words: Vec<OsString>) -> Before {
        let Ok(matches) = Cli::command().ignore_errors(true).try_get_matches_from(words) else {
            return Before { door: Door::default(), arguments: None };
        };
        let mut leaf = matches;
        while let Some((_, inner)) = leaf.remove_subcommand() {
            leaf = inner;
        }
        Before { door: Door::from_arg_matches(&leaf).unwrap_or_default(), arguments: Some(leaf) }
    }

    /// The values of an argument.
    fn values(&self, argument: &str) -> Vec<String> {
        let values = self.arguments.as_ref().and_then(|matches| matches.try_get_many::<String>(argument).ok().flatten());
        values.map(|values| values.cloned().collect()).unwrap_or_default()
    }

    fn kind(&self) -> Option<Kind> {
        self.arguments.as_ref()?.try_get_one::<Kind>("kind").ok().flatten().copied()
    }
}

/// Asks the server that runs, where one does: to open a data directory for a key would keep others from it.
fn ask(before: &Before, names: Names) -> Vec<(String, String)> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let asked = async {
        let client = session::running(&before.door).await?;
        match client {
            Some(client) => look(&client, before, names).await,
            None => Ok(Vec::new()),
        }
    };
    // Nothing to offer is an answer: whatever is wrong is said by the command itself.
    let found = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    found.map(Result::unwrap_or_default).unwrap_or_default()
}

async fn look(client: &Client, before: &Before, names: Names) -> Result<Vec<(String, String)>, CommandError> {
    match names {
        Names::Of(Kind::Approval) => {
            let waiting: Vec<ApprovalView> = client.get("/api/v1/approvals").await?;
            Ok(waiting.into_iter().map(|approval| (approval.run, approval.title)).collect())
        }
        Names::Of(kind) => names::with_words(client, kind).await,
        Names::WorkflowOrFile => names::with_words(client, Kind::Workflow).await,
        Names::Actions => actions(client, before.values("run").first()).await,
        Names::Nodes => Ok(nodes(actions(client, before.values("run").first()).await?)),
        Names::OfThatKind => match before.kind() {
            Some(Kind::Action | Kind::Approval | Kind::Finding) => names::with_words(client, Kind::Run).await,
            Some(kind) => names::with_words(client, kind).await,
            None => Ok(Vec::new()),
        },
        Names::Deleted => Ok(Vec::new()),
        Names::Thing => match before.values("what").as_slice() {
            [] => names::with_words(client, Kind::Run).await,
            [kind] => match names::parse_kind(kind) {
                Ok(Kind::Action) => names::with_words(client, Kind::Run).await,
                Ok(kind) => names::with_words(client, kind).await,
                Err(_) => Ok(Vec::new()),
            },
            [_, run, ..] => actions(client, Some(run)).await,
        },
    }
}

/// The actions of a run, but what was brought for them.
async fn actions(client: &Client, run: Option<&String>) -> Result<Vec<(String, String)>, CommandError> {
    let Some(run) = run else { return Ok(Vec::new()) };
    let run: RunView = client.get(&names::run_path(run)).await?;
    let own = run.actions.into_iter().filter(|action| action.kind != "transfer");
    Ok(own.map(|action| (action.path, action.phase.replace('_', " "))).collect())
}

/// The nodes that actions are of: a run is repeated from one of those on.
fn nodes(actions: Vec<(String, String)>) -> Vec<(String, String)> {
    let nodes: BTreeSet<String> =
        actions.into_iter().filter_map(|(path, _)| path.split(['[', '/', '!']).next().map(str::to_owned)).collect();
    nodes.into_iter().map(|node| (node, String::new())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(command: &Command, path: &str, found: &mut BTreeSet<String>) {
        for argument in command.get_arguments().filter(|argument| argument.get::<ArgValueCompleter>().is_some()) {
            found.insert(format!("{path} {}", argument.get_id()));
        }
        for inner in command.get_subcommands() {
            completed(inner, format!("{path} {}", inner.get_name()).trim_start(), found);
        }
    }

    #[test]
    fn names_are_offered_where_things_are_named() {
        let mut found = BTreeSet::new();
        completed(&command(), "", &mut found);
        let wanted = "watch run,logs run,logs action,explain action,cost run,cancel run,pause run,resume run,signal run,rerun run,rerun from,\
            retry run,approve run,approve action,reject run,events run,erase run,audit pack run,policy ask from,site cordon site,\
            site uncordon site,site drain site,site remove site,artifact put site,run upload_to,run workflow,whatif without,plan what,\
            diff before,diff after,advise workflow,policy certificate workflow,get name,get workflow,delete kind,delete name,describe what,\
            policy approve name,policy revoke name,token revoke name";
        let missing: Vec<&str> = wanted.split(',').filter(|argument| !found.contains(*argument)).collect();
        assert!(missing.is_empty(), "{missing:?} of {found:?}");
    }

    #[test]
    fn what_stands_before_is_read_as_far_as_it_goes() {
        let before = |words: &str| Before::of(words.split(' ').map(OsString::from).collect());
        let logs = before("tutti logs --data here --server http://x:1 run-7");
        assert_eq!((logs.values("run"), logs.door.server.as_deref()), (vec!["run-7".into()], Some("http://x:1")));
        assert_eq!(logs.door.data.as_deref(), Some(std::path::Path::new("here")));
        assert_eq!(before("tutti get actions").kind(), Some(Kind::Action));
        assert_eq!(before("tutti describe action run-7").values("what"), ["action", "run-7"]);
        assert!(before("tutti describe").values("what").is_empty());
        assert_eq!(before("tutti rerun run-7 --nonsense --from").values("run"), ["run-7"]);
        let path = |path: &str| (path.to_owned(), "running".to_owned());
        assert_eq!(nodes(vec![path("score"), path("score[3]"), path("deploy")]).len(), 2);
    }
}

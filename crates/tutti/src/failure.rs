//! How a command ends: exit codes, and errors that say what happened and what to do.

use std::process::ExitCode;

use api::rest::views::Problem;

/// The exit codes that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line is not right.
    Usage = 2,
    /// Refused by policy.
    Refused = 3,
    /// Waiting for a human.
    Waiting = 4,
    /// The server cannot be reached.
    Unreachable = 5,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The server said so.
    Problem(Box<Problem>),
    /// The command line is not right: what, and what to do.
    Usage(String, Option<String>),
    /// Whoever read the output has gone away (`| head`), which is no failure.
    ReaderGone,
    /// The server cannot be reached.
    Unreachable {
        /// What happened.
        message: String,
        /// Whether it may have heard the request.
        asked: bool,
    },
    /// Something answers there, and its certificate is not trusted: what is wrong with it, and what to do.
    Untrusted(String, &'static str),
    /// Something else.
    Other(anyhow::Error),
}

impl CommandError {
    /// The command line is not right.
    pub(crate) fn usage(message: impl Into<String>) -> CommandError {
        CommandError::Usage(message.into(), None)
    }

    /// The same, when nothing comes of asking twice: whether the request arrived does not matter then.
    pub(crate) fn may_be_asked_again(self) -> CommandError {
        match self {
            CommandError::Unreachable { message, .. } => CommandError::Unreachable { message, asked: false },
            other => other,
        }
    }

    /// The same with what to do about it.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> CommandError {
        match &mut self {
            CommandError::Problem(problem) => problem.hint = Some(text.into()),
            CommandError::Usage(_, hint) => *hint = Some(text.into()),
            _ => {}
        }
        self
    }

    /// No server at `url`.
    pub(crate) fn unreachable(url: &str, asked: bool, error: &dyn std::fmt::Display) -> CommandError {
        CommandError::Unreachable { message: format!("no server answers at {url}: {error}"), asked }
    }

    /// The problem, when it has this code.
    pub(crate) fn problem(&mut self, code: &str) -> Option<&mut Problem> {
        match self {
            CommandError::Problem(problem) if problem.code == code => Some(problem),
            _ => None,
        }
    }

    /// The exit code it means.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            CommandError::Problem(problem) if problem.code == "E0010" => Exit::Refused,
            CommandError::Problem(_) | CommandError::Other(_) => Exit::Failed,
            CommandError::Usage(..) => Exit::Usage,
            CommandError::ReaderGone => Exit::Done,
            CommandError::Unreachable { .. } | CommandError::Untrusted(..) => Exit::Unreachable,
        }
    }

    /// Tells the user.
    pub(crate) fn print(&self) {
        match self {
            CommandError::Problem(problem) => {
                eprintln!("error[{}]: {}", problem.code, problem.detail);
                if let Some(rendered) = problem.diagnostics.as_ref().and_then(|found| found.get("rendered")?.as_str()) {
                    eprintln!("{rendered}");
                }
                if let Some(hint) = &problem.hint {
                    eprintln!("  hint: {hint}");
                }
                eprintln!("  more: tutti error {}", problem.code);
            }
            CommandError::Usage(message, hint) => {
                eprintln!("error: {message}\n  hint: {}", hint.as_deref().unwrap_or("`tutti --help` lists the commands"));
            }
            CommandError::ReaderGone => {}
            CommandError::Unreachable { message, .. } => {
                eprintln!("error: {message}\n  hint: start one with `tutti up`, or name one with --server or TUTTI_SERVER");
            }
            CommandError::Untrusted(message, hint) => eprintln!("error: {message}\n  hint: {hint}"),
            CommandError::Other(error) => eprintln!("error: {error:#}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for CommandError {
    fn from(error: E) -> CommandError {
        let error = error.into();
        // What the engine in this process refuses is told as a server would tell it.
        match error.downcast::<controlplane::Fault>() {
            Ok(fault) => CommandError::Problem(Box::new(api::rest::problem_of(&fault))),
            Err(error) => CommandError::Other(error),
        }
    }
}

//! How a command ends: exit codes, and errors that say what happened and what to do.

use std::process::ExitCode;

use api::rest::views::Problem;
use controlplane::{Fault, FaultKind};

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
    /// The server, or another program that is needed, cannot be reached.
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

    /// An error of a kind.
    pub(crate) fn of(kind: FaultKind, message: impl Into<String>) -> CommandError {
        Fault::new(kind, message).into()
    }

    /// A file that cannot be used, with why.
    pub(crate) fn file(error: impl Into<anyhow::Error>) -> CommandError {
        CommandError::of(FaultKind::File, format!("{:#}", error.into()))
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

    /// The code that has a page; none when nothing failed.
    pub(crate) fn code(&self) -> Option<&str> {
        Some(match self {
            CommandError::Problem(problem) => &problem.code,
            CommandError::Usage(..) => FaultKind::Usage.code(),
            CommandError::Unreachable { .. } => FaultKind::Unreachable.code(),
            CommandError::Untrusted(..) => FaultKind::Untrusted.code(),
            // What the machine says of a file is no fault of ours.
            CommandError::Other(error) if error.chain().any(|cause| cause.is::<std::io::Error>()) => FaultKind::File.code(),
            CommandError::Other(_) => FaultKind::Internal.code(),
            CommandError::ReaderGone => return None,
        })
    }

    /// The exit code it means.
    pub(crate) fn exit(&self) -> Exit {
        let is = |kind: FaultKind| self.code() == Some(kind.code());
        match self {
            CommandError::ReaderGone => Exit::Done,
            _ if is(FaultKind::Refused) => Exit::Refused,
            _ if is(FaultKind::Usage) || is(FaultKind::Configuration) => Exit::Usage,
            _ if is(FaultKind::Unreachable) || is(FaultKind::Untrusted) || is(FaultKind::NoSolver) => Exit::Unreachable,
            _ => Exit::Failed,
        }
    }

    /// Tells the user: what happened, what to do, and where more stands.
    pub(crate) fn print(&self) {
        let Some(code) = self.code() else { return };
        let (message, hint) = match self {
            CommandError::Problem(problem) => (problem.detail.clone(), problem.hint.as_deref()),
            CommandError::Usage(message, hint) => {
                (message.clone(), Some(hint.as_deref().unwrap_or("`tutti --help` lists the commands")))
            }
            CommandError::Unreachable { message, .. } => {
                (message.clone(), Some("start one with `tutti up`, or name one with --server or TUTTI_SERVER"))
            }
            CommandError::Untrusted(message, hint) => (message.clone(), Some(*hint)),
            CommandError::Other(error) => (format!("{error:#}"), None),
            CommandError::ReaderGone => return,
        };
        eprintln!("error[{code}]: {message}");
        if let CommandError::Problem(problem) = self
            && let Some(rendered) = problem.diagnostics.as_ref().and_then(|found| found.get("rendered")?.as_str())
        {
            eprintln!("{rendered}");
        }
        if let Some(hint) = hint {
            eprintln!("  hint: {hint}");
        }
        eprintln!("  more: tutti error {code}");
    }
}

/// How the process ends, after the user was told why.
pub(crate) fn end(ended: Result<Exit, CommandError>) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            error.print();
            error.exit().into()
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for CommandError {
    fn from(error: E) -> CommandError {
        let error = error.into();
        // What the engine in this process refuses is told as a server would tell it.
        match error.downcast::<Fault>() {
            Ok(fault) => CommandError::Problem(Box::new(api::rest::problem_of(&fault))),
            Err(error) => CommandError::Other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::reference;

    /// One of every variant. A new one does not compile in `code` without a code; this looks for its page.
    fn every() -> Vec<CommandError> {
        let mut all: Vec<CommandError> = FaultKind::ALL.iter().map(|kind| CommandError::of(*kind, "x")).collect();
        all.extend([
            CommandError::usage("x"),
            CommandError::unreachable("http://x", true, &"x"),
            CommandError::Untrusted("x".into(), "y"),
            CommandError::Other(anyhow::anyhow!("x")),
            CommandError::from(std::io::Error::other("x")),
        ]);
        all
    }

    #[test]
    fn every_error_has_a_code_with_a_page() {
        for error in every() {
            let code = error.code().unwrap_or_else(|| panic!("{error:?} has no code"));
            let page = reference::page(code).unwrap_or_else(|| panic!("{code} has no page"));
            assert!(page.contains("## What it means") && page.contains("## What to do"), "{code}");
        }
        assert!(CommandError::ReaderGone.code().is_none());
    }

    #[test]
    fn exit_codes() {
        let of = |kind| CommandError::of(kind, "x").exit();
        assert_eq!((of(FaultKind::Refused), of(FaultKind::Usage)), (Exit::Refused, Exit::Usage));
        assert_eq!((of(FaultKind::Unreachable), of(FaultKind::Configuration)), (Exit::Unreachable, Exit::Usage));
        assert_eq!((of(FaultKind::File), of(FaultKind::NotFound)), (Exit::Failed, Exit::Failed));
        assert_eq!(CommandError::from(std::io::Error::other("x")).code(), Some("E0027"));
        assert_eq!(CommandError::unreachable("u", false, &"x").exit(), Exit::Unreachable);
    }
}

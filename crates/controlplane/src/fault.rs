//! What goes wrong at the doors: one list of coded errors for the REST API, the CLI and the docs. Each code has a page in
//! `docs/errors/`.

use engine::Rejection;

use crate::core_loop::Refusal;

/// An error as a caller sees it: what happened, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Fault {
    /// What kind of error; its code is stable.
    pub kind: FaultKind,
    /// What happened, with the user's own words in backticks.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Findings of the language, when a workflow was not accepted.
    pub diagnostics: Option<serde_json::Value>,
}

/// The kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The request is not understood.
    Malformed,
    /// There is no such thing.
    NotFound,
    /// The name is taken.
    NameTaken,
    /// It makes no sense in the present state.
    Conflict,
    /// The caller may not do this.
    Forbidden,
    /// The caller is not known.
    Unauthenticated,
    /// Something is larger than its stated limit.
    TooLarge,
    /// The workflow has errors.
    InvalidWorkflow,
    /// The inputs do not fit the workflow.
    InvalidInputs,
    /// A policy refuses it.
    Refused,
    /// Too much is waiting.
    Busy,
    /// The server is stopping or its disk cannot be written.
    Unavailable,
    /// Another process owns the data directory.
    DataDirectoryInUse,
    /// The data directory cannot be used.
    DataDirectory,
    /// Something that should not happen.
    Internal,
    /// There is something at this address, and it does not take this method.
    MethodNotAllowed,
    /// The body is of another type than the one that is read here.
    MediaType,
    /// The idempotency key was used for something else.
    KeyReused,
    /// The part that was asked for is not there.
    Range,
    /// The server would be open to others without protection.
    Exposed,
    /// The address cannot be listened on.
    Listen,
    /// The keys of what is stored cannot be used.
    Keys,
    /// It was erased.
    Erased,
    /// No server answers: said by whoever called it.
    Unreachable,
    /// What answers shows a certificate that is not trusted.
    Untrusted,
    /// The command line is not right.
    Usage,
    /// A file cannot be read or written, or is not what it is taken for.
    File,
    /// The configuration is not right.
    Configuration,
    /// What came back is not an answer of a server of this version.
    Answer,
    /// There is no solver that could prove anything.
    NoSolver,
    /// The store of a site cannot be used.
    StoreAway,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [FaultKind; 31] = [
        FaultKind::Malformed,
        FaultKind::NotFound,
        FaultKind::NameTaken,
        FaultKind::Conflict,
        FaultKind::Forbidden,
        FaultKind::Unauthenticated,
        FaultKind::TooLarge,
        FaultKind::InvalidWorkflow,
        FaultKind::InvalidInputs,
        FaultKind::Refused,
        FaultKind::Busy,
        FaultKind::Unavailable,
        FaultKind::DataDirectoryInUse,
        FaultKind::DataDirectory,
        FaultKind::Internal,
        FaultKind::MethodNotAllowed,
        FaultKind::MediaType,
        FaultKind::KeyReused,
        FaultKind::Range,
        FaultKind::Exposed,
        FaultKind::Listen,
        FaultKind::Keys,
        FaultKind::Erased,
        FaultKind::Unreachable,
        FaultKind::Untrusted,
        FaultKind::Usage,
        FaultKind::File,
        FaultKind::Configuration,
        FaultKind::Answer,
        FaultKind::NoSolver,
        FaultKind::StoreAway,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            FaultKind::Malformed => "E0001",
            FaultKind::NotFound => "E0002",
            FaultKind::NameTaken => "E0003",
            FaultKind::Conflict => "E0004",
            FaultKind::Forbidden => "E0005",
            FaultKind::Unauthenticated => "E0006",
            FaultKind::TooLarge => "E0007",
            FaultKind::InvalidWorkflow => "E0008",
            FaultKind::InvalidInputs => "E0009",
            FaultKind::Refused => "E0010",
            FaultKind::Busy => "E0011",
            FaultKind::Unavailable => "E0012",
            FaultKind::DataDirectoryInUse => "E0013",
            FaultKind::DataDirectory => "E0014",
            FaultKind::Internal => "E0015",
            FaultKind::MethodNotAllowed => "E0016",
            FaultKind::MediaType => "E0017",
            FaultKind::KeyReused => "E0018",
            FaultKind::Range => "E0019",
            FaultKind::Exposed => "E0020",
            FaultKind::Listen => "E0021",
            FaultKind::Keys => "E0022",
            FaultKind::Erased => "E0023",
            FaultKind::Unreachable => "E0024",
            FaultKind::Untrusted => "E0025",
            FaultKind::Usage => "E0026",
            FaultKind::File => "E0027",
            FaultKind::Configuration => "E0028",
            FaultKind::Answer => "E0029",
            FaultKind::NoSolver => "E0040",
            FaultKind::StoreAway => "E0041",
        }
    }

    /// What kind of error it is, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            FaultKind::Malformed => "the request is not understood",
            FaultKind::NotFound => "not found",
            FaultKind::NameTaken => "the name is taken",
            FaultKind::Conflict => "not possible in the present state",
            FaultKind::Forbidden => "not allowed",
            FaultKind::Unauthenticated => "not signed in",
            FaultKind::TooLarge => "larger than the limit",
            FaultKind::InvalidWorkflow => "the workflow has errors",
            FaultKind::InvalidInputs => "the inputs do not fit the workflow",
            FaultKind::Refused => "refused by policy",
            FaultKind::Busy => "the server is busy",
            FaultKind::Unavailable => "the server is stopping",
            FaultKind::DataDirectoryInUse => "the data directory is in use",
            FaultKind::DataDirectory => "the data directory cannot be used",
            FaultKind::Internal => "internal error",
            FaultKind::MethodNotAllowed => "the method is not allowed here",
            FaultKind::MediaType => "the body is of another type",
            FaultKind::KeyReused => "the idempotency key was used for another request",
            FaultKind::Range => "the range is not there",
            FaultKind::Exposed => "the server would be open to others",
            FaultKind::Listen => "the address cannot be listened on",
            FaultKind::Keys => "the keys cannot be used",
            FaultKind::Erased => "it was erased",
            FaultKind::Unreachable => "the server cannot be reached",
            FaultKind::Untrusted => "the server's certificate is not trusted",
            FaultKind::Usage => "the command line is not right",
            FaultKind::File => "a file cannot be used",
            FaultKind::Configuration => "the configuration is not right",
            FaultKind::Answer => "the answer is not understood",
            FaultKind::NoSolver => "there is no solver",
            FaultKind::StoreAway => "the store of a site cannot be used",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            FaultKind::Malformed | FaultKind::InvalidWorkflow | FaultKind::InvalidInputs | FaultKind::Usage => 400,
            FaultKind::Unauthenticated => 401,
            FaultKind::Forbidden | FaultKind::Refused => 403,
            FaultKind::NotFound => 404,
            FaultKind::MethodNotAllowed => 405,
            FaultKind::NameTaken | FaultKind::Conflict | FaultKind::KeyReused | FaultKind::DataDirectoryInUse => 409,
            FaultKind::Erased => 410,
            FaultKind::TooLarge => 413,
            FaultKind::MediaType => 415,
            FaultKind::Range => 416,
            FaultKind::Busy => 429,
            FaultKind::DataDirectory | FaultKind::Internal | FaultKind::Exposed | FaultKind::Listen | FaultKind::Keys => 500,
            FaultKind::File | FaultKind::Configuration => 500,
            FaultKind::Untrusted | FaultKind::Answer => 502,
            FaultKind::Unavailable | FaultKind::Unreachable | FaultKind::NoSolver | FaultKind::StoreAway => 503,
        }
    }
}

impl Fault {
    /// An error of a kind.
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Fault {
        Fault { kind, detail: detail.into(), hint: None, diagnostics: None }
    }

    /// The same with what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// There is no `kind` named `name`.
    pub fn not_found(kind: &str, name: &str) -> Fault {
        Fault::new(FaultKind::NotFound, format!("there is no {kind} `{name}`"))
            .hint(format!("`tutti get {kind}s` lists what there is"))
    }

    /// Something that should not happen.
    pub fn internal(error: impl std::fmt::Display) -> Fault {
        Fault::new(FaultKind::Internal, error.to_string()).hint("the server's log has more; please report it")
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        match refusal {
            Refusal::Rejected(rejection) => rejection.into(),
            Refusal::Busy => Fault::new(FaultKind::Busy, refusal.to_string()),
            Refusal::Journal(_) | Refusal::Stopping => Fault::new(FaultKind::Unavailable, refusal.to_string()),
        }
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Fault {
        let kind = match &rejection {
            Rejection::NotFound { .. } => FaultKind::NotFound,
            Rejection::NameTaken { .. } => FaultKind::NameTaken,
            Rejection::Conflict(_) => FaultKind::Conflict,
            Rejection::Forbidden(_) => FaultKind::Forbidden,
            Rejection::Invalid(_) => FaultKind::Malformed,
            Rejection::Limit(_) => FaultKind::TooLarge,
        };
        Fault::new(kind, rejection.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let codes: std::collections::BTreeSet<&str> = FaultKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), FaultKind::ALL.len());
    }
}

//! Why something failed, in a form that retries, remedies and people can act on.

use std::borrow::Cow;
use std::fmt;

use crate::Payload;

/// The class of a failure. Retry rules, remedies and statistics go by it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum FailureClass {
    /// The user's code or command ended badly.
    #[n(0)]
    User,
    /// Killed for memory.
    #[n(1)]
    Oom,
    /// Ran past its deadline.
    #[n(2)]
    Timeout,
    /// Its capacity was taken back (spot market, drain).
    #[n(3)]
    Preempted,
    /// The place it ran on vanished: node, worker, agent or process lost without a completion record.
    #[n(4)]
    NodeLost,
    /// The environment could not be made (image, interpreter, code).
    #[n(5)]
    Environment,
    /// A quota of the engine or of the project.
    #[n(6)]
    Quota,
    /// The site could not be reached or refused everything.
    #[n(7)]
    SiteDown,
    /// Somebody asked for it.
    #[n(8)]
    Cancelled,
    /// The output broke a promise: type, size, or a missing file.
    #[n(9)]
    Output,
    /// An expression could not be evaluated.
    #[n(10)]
    Expression,
    /// The site's disk is full.
    #[n(11)]
    DiskFull,
    /// An input could not be brought to the site.
    #[n(12)]
    Transfer,
    /// A policy refused.
    #[n(13)]
    Refused,
    /// A sub-action failed, and this one with it.
    #[n(14)]
    Child,
    /// None of these.
    #[n(15)]
    Unknown,
    /// A system outside could not be reached, or says itself that it is at fault.
    #[n(16)]
    Outside,
}

impl FailureClass {
    /// Whether the platform, not the work, is to blame: such attempts are repeated from the system's own budget and do not
    /// count against the `retry` of the node.
    pub fn is_system(self) -> bool {
        matches!(self, FailureClass::Preempted | FailureClass::NodeLost | FailureClass::SiteDown | FailureClass::DiskFull)
    }

    /// The class as users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureClass::User => "user",
            FailureClass::Oom => "oom",
            FailureClass::Timeout => "timeout",
            FailureClass::Preempted => "preempted",
            FailureClass::NodeLost => "node_lost",
            FailureClass::Environment => "environment",
            FailureClass::Quota => "quota",
            FailureClass::SiteDown => "site_down",
            FailureClass::Cancelled => "cancelled",
            FailureClass::Output => "output",
            FailureClass::Expression => "expression",
            FailureClass::DiskFull => "disk_full",
            FailureClass::Transfer => "transfer",
            FailureClass::Refused => "refused",
            FailureClass::Child => "child",
            FailureClass::Unknown => "unknown",
            FailureClass::Outside => "outside",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A failure: what happened, and its class.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode)]
pub struct Failure {
    /// The class.
    #[n(0)]
    pub class: FailureClass,
    /// A sentence for a person, at most [`crate::limits::FAILURE_MESSAGE_BYTES_MAX`] bytes. In what is recorded it is empty and `text` holds it;
    /// entries of earlier versions hold it here. Ask [`Failure::message`].
    #[n(1)]
    pub message: String,
    /// The exit code of the process, or 128 + the signal that ended it.
    #[n(2)]
    pub exit_code: Option<i32>,
    /// What the work itself calls the error, such as the name of an exception's class.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether the work says that repeating it is of no use: the `retry` of its node does not apply.
    #[n(4)]
    #[cbor(default)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
    /// The sentence as it is recorded: it may hold what the attempt could read, so that it is a value like an output, and no part of an entry.
    #[n(5)]
    #[serde(skip)]
    pub text: Option<Payload>,
}

/// The length of a failure's code, at most.
const CODE_BYTES_MAX: usize = 64;

impl Failure {
    /// A failure of `class`; the message is cut to its limit.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Failure {
        let mut message: String = message.into();
        if message.len() > crate::limits::FAILURE_MESSAGE_BYTES_MAX {
            let mut end = crate::limits::FAILURE_MESSAGE_BYTES_MAX;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            message.push('…');
        }
        Failure { class, message, exit_code: None, code: None, permanent: false, text: None }
    }

    /// Whether a text may stand as a code. A code is recorded in clear, so that it is a short name and no place for data.
    pub fn is_code(text: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
        !text.is_empty() && text.len() <= CODE_BYTES_MAX && text.bytes().all(plain)
    }

    /// What a person is told: what was recorded, and what was added since. Empty when it was recorded and is not at hand any more.
    pub fn message(&self) -> Cow<'_, str> {
        let recorded = self.text.as_ref().and_then(|text| text.value().as_str());
        match (recorded, self.message.as_str()) {
            (None, message) => Cow::Borrowed(message),
            (Some(recorded), "") => Cow::Borrowed(recorded),
            (Some(recorded), added) => Cow::Owned(format!("{recorded}; {added}")),
        }
    }

    /// Adds a sentence.
    pub fn add(&mut self, sentence: &str) {
        if !self.message.is_empty() {
            self.message.push_str("; ");
        }
        self.message.push_str(sentence);
    }

    /// Takes the sentence out of what becomes an entry, and commits to it under the salt of its run.
    pub fn seal(&mut self, salt: &[u8; 32]) {
        if self.message.is_empty() {
            return;
        }
        let text = self.message().into_owned();
        self.text = Some(Payload::new(salt, text.into()));
        self.message = String::new();
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message())
    }
}

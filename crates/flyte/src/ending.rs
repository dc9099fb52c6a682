//! How a task ended: what its process left says so, not its exit code. A process whose program raised an error exits well and leaves a
//! document of the error.

use model::{Failure, FailureClass};
use prost::Message as _;

use crate::wire::{ErrorDocument, ErrorInfo, ExecutionError};

/// Whose fault an error is, on the wire.
const USER: i32 = 1;
const SYSTEM: i32 = 2;

/// The failure that a document of an error says.
pub fn failure_of(document: &[u8]) -> Failure {
    let error = ErrorDocument::decode(document).ok().and_then(|document| document.error);
    let Some(error) = error else {
        return Failure::new(FailureClass::Output, "the task failed, and its own account of the error cannot be read");
    };
    let class = match (error.origin, error.code.as_str()) {
        (_, code) if code.contains("OOM") => FailureClass::Oom,
        (SYSTEM, _) => FailureClass::Environment,
        _ => FailureClass::User,
    };
    let mut failure = Failure::new(class, error.message);
    // It is the program's own text, and is recorded in clear.
    failure.code = Some(error.code).filter(|code| Failure::is_code(code));
    failure.permanent = error.kind == 0;
    failure
}

/// What it is called that no environment stands for an image. The client has an exception for it, of those that are the program's own fault.
pub const INVALID_IMAGE: &str = "InvalidImageName";

/// Whose fault a failure is, and what the client calls it: it chooses the class of the exception by that.
fn said(failure: &Failure) -> (i32, String) {
    let (kind, code) = match failure.class {
        FailureClass::Oom => (USER, "OOMKilled"),
        FailureClass::Timeout => (USER, "MAX_RUNTIME_EXCEEDED"),
        FailureClass::Preempted => (USER, "Interrupted"),
        FailureClass::NodeLost => (SYSTEM, "NodeLost"),
        FailureClass::SiteDown => (SYSTEM, "SiteDown"),
        FailureClass::DiskFull => (SYSTEM, "DiskFull"),
        FailureClass::Transfer => (SYSTEM, "TransferFailed"),
        FailureClass::Environment if failure.code.as_deref() == Some(INVALID_IMAGE) => (USER, INVALID_IMAGE),
        FailureClass::Environment => (SYSTEM, "EnvironmentFailed"),
        FailureClass::Refused => (USER, "PolicyRefused"),
        FailureClass::Quota => (USER, "QuotaExceeded"),
        FailureClass::Output => (USER, "OutputInvalid"),
        FailureClass::User | FailureClass::Child => (USER, "ProcessFailed"),
        FailureClass::Cancelled | FailureClass::Expression | FailureClass::Unknown | FailureClass::Outside => (0, "Unknown"),
    };
    (kind, failure.code.clone().unwrap_or_else(|| code.into()))
}

/// A failure as the parent of the action is told it.
pub fn execution_error(failure: &Failure) -> ExecutionError {
    let (kind, code) = said(failure);
    let recoverability = i32::from(!failure.permanent);
    ExecutionError { code, message: failure.message().into_owned(), kind, recoverability, ..ExecutionError::default() }
}

/// A failure as whoever looks at the action is told it.
pub fn error_info(failure: &Failure) -> ErrorInfo {
    let (kind, code) = said(failure);
    ErrorInfo { message: failure.message().into_owned(), kind, code }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ContainerError;

    #[test]
    fn the_document_says_what_to_call_it_and_whether_repeating_helps() {
        let document = |kind| ErrorDocument {
            error: Some(ContainerError { code: "ValueError".into(), message: "no".into(), kind, origin: USER }),
        };
        let failure = failure_of(&document(0).encode_to_vec());
        assert_eq!((failure.class, failure.code.as_deref(), failure.permanent), (FailureClass::User, Some("ValueError"), true));
        assert!(!failure_of(&document(1).encode_to_vec()).permanent);
        assert_eq!(execution_error(&failure).code, "ValueError");
        assert_eq!(failure_of(b"\xff").class, FailureClass::Output);
    }

    /// The tests with the real client look what it makes of each: `python/flyte/told.json` is written anew with `UPDATE_GOLDEN=1`.
    #[test]
    fn what_a_parent_is_told_of_each_kind_of_failure() {
        use FailureClass::*;
        let kinds = [
            Cancelled,
            Child,
            DiskFull,
            Environment,
            Expression,
            NodeLost,
            Oom,
            Output,
            Outside,
            Preempted,
            Quota,
            Refused,
            SiteDown,
            Timeout,
            Transfer,
            Unknown,
            User,
        ];
        let told: std::collections::BTreeMap<String, serde_json::Value> = kinds
            .into_iter()
            .map(|class| {
                let error = execution_error(&Failure::new(class, "so it is"));
                (class.to_string(), serde_json::json!({ "code": error.code, "kind": error.kind }))
            })
            .collect();
        let fresh = format!("{}\n", serde_json::to_string_pretty(&told).unwrap());
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/flyte/told.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(file, &fresh).unwrap();
        }
        assert_eq!(std::fs::read_to_string(file).unwrap(), fresh, "write it anew with UPDATE_GOLDEN=1");
    }

    #[test]
    fn a_code_that_is_no_short_name_is_left_out() {
        let failure = |code: &str| {
            let error = ContainerError { code: code.into(), message: "no".into(), kind: 0, origin: USER };
            failure_of(&ErrorDocument { error: Some(error) }.encode_to_vec())
        };
        let longest = "e".repeat(64);
        for code in ["ValueError", "USER:my.Error_2-b", longest.as_str()] {
            assert_eq!(failure(code).code.as_deref(), Some(code));
        }
        let longer = "e".repeat(65);
        for code in ["", "the patient is 43", "Größe", "a\nb", "a/b", longer.as_str()] {
            let failure = failure(code);
            assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::User, None));
            assert_eq!(execution_error(&failure).code, "ProcessFailed");
        }
        assert_eq!(failure("OOM in row 43").class, FailureClass::Oom);
    }

    #[test]
    fn what_the_platform_saw_has_a_code_that_the_client_knows() {
        let error = execution_error(&Failure::new(FailureClass::Oom, "killed"));
        assert!(error.kind == USER && error.code.contains("OOM"));
        for class in [FailureClass::NodeLost, FailureClass::SiteDown, FailureClass::Environment] {
            assert_eq!(error_info(&Failure::new(class, "gone")).kind, SYSTEM, "{class}");
        }
        let image = Failure { code: Some(INVALID_IMAGE.into()), ..Failure::new(FailureClass::Environment, "no") };
        assert_eq!((error_info(&image).kind, error_info(&image).code.as_str()), (USER, INVALID_IMAGE));
    }
}

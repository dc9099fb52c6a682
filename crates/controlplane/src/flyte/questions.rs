//! What requests of the SDK's plugin for people are called as questions. The plugin gives each a new name, so that a program that is begun again
//! asks under another one; the question stays the same one, by its words and by how many in the same words came before it in the attempt. Names are
//! kept under keys that no attempt may touch.

use std::io;

use flyte::conditions::{self, Asker};
use flyte::wire::ConditionAction;

use super::Flyte;

/// Questions in the same words that one attempt may ask.
const SAME_MAX: usize = 1_000;

/// Below what it is kept how the questions of a run are called.
pub(super) fn folder_of(project: &str, domain: &str, run: &str) -> String {
    format!("questions/{project}/{domain}/{run}")
}

fn named(run: &str, request: &str) -> String {
    format!("questions/{run}/named/{request}")
}

impl Flyte {
    /// The action that waits for the answer to a request, by the key of the request: from now on it is called so. Blocks.
    pub fn name_question(&self, key: &str, request: &str, condition: &ConditionAction) -> io::Result<String> {
        let Some(Asker { run, action, attempt }) = conditions::asker_of(key) else { return Ok(conditions::action_of(request)) };
        let _one_at_a_time = self.inner.questions.lock();
        if let Some(name) = self.known_question(run, request)? {
            return Ok(name);
        }
        let words = conditions::words_of(action, condition);
        let asked = format!("questions/{run}/asked/{action}/{attempt}/{words}/");
        let own = format!("{asked}{request}");
        let page = self.objects().list(&asked, false, "", SAME_MAX)?;
        if page.next.is_some() {
            let message = format!("an attempt asks at most {SAME_MAX} questions in the same words");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        let name = conditions::action_asking(&words, page.objects.iter().filter(|meta| meta.key != own).count());
        self.objects().put(&own, b"")?;
        self.objects().put(&named(run, request), name.as_bytes())?;
        Ok(name)
    }

    /// The action that waits for the answer to a request, by the key of the request or of its answer. Blocks.
    pub fn question_named(&self, key: &str, request: &str) -> io::Result<String> {
        let known = conditions::asker_of(key).map(|asker| self.known_question(asker.run, request)).transpose()?.flatten();
        Ok(known.unwrap_or_else(|| conditions::action_of(request)))
    }

    fn known_question(&self, run: &str, request: &str) -> io::Result<Option<String>> {
        match self.objects().get(&named(run, request)) {
            Ok(name) => Ok(String::from_utf8(name).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_asked_again_in_another_attempt_is_the_same_one() {
        let folder = tempfile::tempdir().unwrap();
        let specs = artifacts::Store::open_at(folder.path().join("specs")).unwrap();
        let flyte = Flyte::open(folder.path(), specs, None, None).unwrap();
        let condition = ConditionAction { name: "go".into(), ..ConditionAction::default() };
        let key = |attempt: u32, request: &str| format!("runs/p/d/r/a0/{attempt}/raw/hitl-requests/{request}/request.json");
        let name = |attempt, request: &str| flyte.name_question(&key(attempt, request), request, &condition).unwrap();
        let (first, second) = (name(1, "one"), name(1, "two"));
        assert_ne!(first, second, "asked twice in one attempt they are two");
        assert_eq!(name(1, "one"), first, "and each stays what it was");
        assert_eq!((name(2, "three"), name(2, "four")), (first.clone(), second));
        assert_eq!(flyte.question_named(&key(2, "three"), "three").unwrap(), first);
        assert_eq!(flyte.question_named(&key(2, "five"), "five").unwrap(), conditions::action_of("five"));
    }
}

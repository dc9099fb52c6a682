//! What a scripted fleet answers.

use std::collections::BTreeMap;

use model::{Failure, FailureClass};
use serde_json::{Value, json};

/// What becomes of an attempt.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It succeeds with this output.
    Done(Value),
    /// It fails.
    Fail(Failure),
    /// Nothing is heard of it until it is asked to stop, or the test reports for it.
    Silent,
    /// Nothing is heard of it, and it ignores being asked to stop.
    Deaf,
}

/// A failure of the work.
pub fn fail(message: &str) -> Answer {
    Answer::Fail(Failure::new(FailureClass::User, message))
}

/// A failure of the platform.
pub fn system(class: FailureClass) -> Answer {
    Answer::Fail(Failure::new(class, "the platform failed"))
}

/// Answers by path: one for each attempt, the last for all that follow. What is not scripted succeeds with `{}`.
#[derive(Clone, Debug, Default)]
pub struct Script {
    answers: BTreeMap<String, Vec<Answer>>,
}

impl Script {
    /// Sets the answers for the attempts of a path. A path that ends with `*` stands for all that begin alike.
    pub fn on(&mut self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.answers.insert(path.to_owned(), answers.into_iter().collect());
    }

    /// The answer for an attempt, numbered from 1.
    pub fn answer(&self, path: &str, attempt: u32) -> Answer {
        let starred = || {
            let matches = |key: &&String| key.strip_suffix('*').is_some_and(|start| path.starts_with(start));
            self.answers.keys().find(matches).and_then(|key| self.answers.get(key))
        };
        let answers = self.answers.get(path).or_else(starred);
        let index = attempt.saturating_sub(1) as usize;
        answers.and_then(|answers| answers.get(index).or(answers.last()).cloned()).unwrap_or(Answer::Done(json!({})))
    }
}

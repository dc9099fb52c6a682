//! What an attempt may read and write of the objects. Its key opens this and nothing else, for as long as it is under way.

use model::Label;

/// What an attempt is to the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The project of its run.
    pub project: String,
    /// The domain of its run.
    pub domain: String,
    /// The address below which outputs of its run go.
    pub base: String,
    /// The name of its action.
    pub name: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// The address of its inputs.
    pub inputs: String,
    /// What its data carry.
    pub label: Label,
    /// Where it runs.
    pub site: String,
}

/// What a key is to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'k> {
    /// It may.
    Granted,
    /// It may when what an action's objects carry is among what its own data carry: the part of the key that names the run, and the action.
    OfAction(&'k str, &'k str),
    /// It may when what all objects of this run carry is: the part of the key that names the run.
    OfRun(&'k str),
    /// It may not.
    Refused,
}

impl Reach {
    /// The address below which the attempt writes.
    pub fn outputs(&self) -> String {
        format!("{}/{}/{}", self.base.trim_end_matches('/'), self.name, self.attempt)
    }

    fn own(&self) -> Option<&str> {
        crate::key(&self.base).map(|base| base.trim_end_matches('/')).filter(|base| !base.is_empty())
    }

    /// Whether it may write or remove an object: what is of this attempt; inputs of what it asks for, and what it recorded of its steps, each
    /// in the folder of an action of its run, but not in that of an attempt.
    pub fn may_write(&self, key: &str) -> bool {
        let Some(rest) = self.own().and_then(|own| key.strip_prefix(own)?.strip_prefix('/')) else { return false };
        if rest.strip_prefix(format!("{}/{}/", self.name, self.attempt).as_str()).is_some_and(|file| !file.is_empty()) {
            return true;
        }
        match rest.split('/').collect::<Vec<_>>()[..] {
            [name, file] => name != self.name && matches!(file, "inputs.pb" | "outputs.pb" | "error.pb"),
            _ => false,
        }
    }

    /// Whether it may read an object, or list what is below a prefix.
    pub fn reading<'k>(&self, key: &'k str) -> Access<'k> {
        if crate::key(&self.inputs) == Some(key) {
            return Access::Granted;
        }
        let below = |prefix: &str| key.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if below(&format!("uploads/{}/{}", self.project, self.domain)) {
            return Access::Granted;
        }
        if let Some(own) = self.own().filter(|own| below(own)) {
            let (run, rest) = key.split_at(own.len());
            let rest = rest.strip_prefix('/');
            if rest.and_then(|rest| rest.strip_prefix(self.name.as_str())).is_some_and(|rest| rest.starts_with('/')) {
                return Access::Granted;
            }
            return match rest.and_then(|rest| rest.split_once('/')) {
                Some((action, _)) => Access::OfAction(run, action),
                None => Access::OfRun(run),
            };
        }
        match key.splitn(5, '/').collect::<Vec<_>>()[..] {
            ["runs", project, domain, name, rest] if project == self.project && domain == self.domain && !name.is_empty() => {
                let run = &key[.."runs///".len() + project.len() + domain.len() + name.len()];
                rest.split_once('/').map_or(Access::OfRun(run), |(action, _)| Access::OfAction(run, action))
            }
            _ => Access::Refused,
        }
    }

    /// The action that an object is of which this attempt may write; none when it is its own.
    pub fn written_for<'k>(&self, key: &'k str) -> Option<&'k str> {
        let rest = key.strip_prefix(self.own()?)?.strip_prefix('/')?;
        rest.split_once('/').map(|(action, _)| action).filter(|action| *action != self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        let text = |text: &str| text.to_owned();
        Reach {
            project: text("p"),
            domain: text("d"),
            base: text("s3://tutti/runs/p/d/r"),
            name: text("a0"),
            attempt: 2,
            inputs: text("s3://tutti/inputs/x/inputs.pb"),
            label: Label::empty(),
            site: String::new(),
        }
    }

    #[test]
    fn an_attempt_writes_what_is_its_own_and_what_it_asks_for() {
        for key in
            ["runs/p/d/r/a0/2/outputs.pb", "runs/p/d/r/a0/2/raw/x/y", "runs/p/d/r/child/inputs.pb", "runs/p/d/r/t/outputs.pb"]
        {
            assert!(reach().may_write(key), "{key}");
        }
        let others = [
            "",
            "runs/p/d/r",
            "runs/p/d/r/a0/1/outputs.pb",
            "runs/p/d/r/a0/outputs.pb",
            "runs/p/d/r/child/1/outputs.pb",
            "runs/p/d/r/child/code.tgz",
            "runs/p/d/rr/a0/2/outputs.pb",
            "runs/p/d/other/a0/2/outputs.pb",
            "uploads/p/d/x/code.tgz",
            "inputs/x/inputs.pb",
        ];
        for key in others {
            assert!(!reach().may_write(key), "{key}");
        }
        let nowhere = Reach { base: "s3://elsewhere/x".into(), ..reach() };
        assert!(!nowhere.may_write("x/a0/2/outputs.pb") && !Reach::default().may_write("a/b"));
    }

    #[test]
    fn an_attempt_reads_its_run_and_asks_about_others_of_its_project() {
        let reach = reach();
        for key in ["inputs/x/inputs.pb", "runs/p/d/r/a0/1/outputs.pb", "uploads/p/d/x/code.tgz"] {
            assert_eq!(reach.reading(key), Access::Granted, "{key}");
        }
        assert_eq!(reach.reading("runs/p/d/r/child/1/raw/f"), Access::OfAction("runs/p/d/r", "child"));
        assert_eq!(reach.reading("runs/p/d/other/a0/1/raw/f"), Access::OfAction("runs/p/d/other", "a0"));
        for (key, run) in [("runs/p/d/r", "runs/p/d/r"), ("runs/p/d/r/a", "runs/p/d/r"), ("runs/p/d/other/a", "runs/p/d/other")] {
            assert_eq!(reach.reading(key), Access::OfRun(run), "{key}");
        }
        assert_eq!(reach.written_for("runs/p/d/r/child/inputs.pb"), Some("child"));
        assert_eq!(reach.written_for("runs/p/d/r/a0/2/outputs.pb"), None);
        for key in [
            "",
            "r",
            "runs/p/d/",
            "runs/p/d/o",
            "inputs/y/inputs.pb",
            "inputs/",
            "uploads/p/dd/x",
            "runs/q/d/r/a0/1/f",
            "runs/p/e/r/x",
        ] {
            assert_eq!(reach.reading(key), Access::Refused, "{key}");
        }
    }
}

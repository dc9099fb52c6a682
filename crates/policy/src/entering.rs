//! How tags come to the data of programs, which do not say themselves what they read.

use std::collections::{BTreeMap, BTreeSet};

use model::Label;
use model::govern::{Entrance, UNLABELED};

use crate::rules::Rules;

/// What is known of a task before it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entering<'e> {
    /// The project of the run.
    pub project: &'e str,
    /// The domain of the run; none while nobody has chosen one.
    pub domain: Option<&'e str>,
    /// The name of the task.
    pub task: &'e str,
    /// Addresses of files, folders and tables among its inputs.
    pub data: Option<&'e BTreeSet<String>>,
    /// Other texts among its inputs that are addresses.
    pub named: Option<&'e BTreeSet<String>>,
    /// What the run says of itself.
    pub run_labels: Option<&'e BTreeMap<String, String>>,
}

impl Entering<'_> {
    /// By what a tag enters; none when it does not. The words are for people.
    fn by(&self, entrance: &Entrance) -> Option<String> {
        let mut words = Vec::new();
        if let Some(project) = &entrance.project {
            (project == self.project).then(|| words.push(format!("the project `{project}`")))?;
        }
        if let Some(domain) = &entrance.domain {
            (Some(domain.as_str()) == self.domain).then(|| words.push(format!("the domain `{domain}`")))?;
        }
        if let Some(pattern) = &entrance.task {
            let fits = match pattern.strip_suffix('*') {
                Some(start) => self.task.starts_with(start),
                None => self.task == pattern,
            };
            fits.then(|| words.push(format!("the task `{}`", self.task)))?;
        }
        if let Some(prefix) = &entrance.inputs {
            let all = self.data.into_iter().chain(self.named).flatten();
            all.into_iter().find(|address| address.starts_with(prefix.as_str()))?;
            // Only as much of the address as the rule says: the rest is the user's.
            words.push(format!("an input below `{prefix}`"));
        }
        for (key, value) in &entrance.run_labels {
            (self.run_labels.and_then(|labels| labels.get(key)) == Some(value))
                .then(|| words.push(format!("`{key}={value}` of the run")))?;
        }
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl Rules {
    /// The tags that come to a task by themselves, and by what each does. Where the rules mark what nobody has labelled, that is data whose address
    /// no rule speaks of.
    pub fn entering(&self, known: &Entering<'_>) -> BTreeMap<String, String> {
        let mut entered = BTreeMap::new();
        for (name, tag) in &self.tags {
            if let Some(by) = tag.enters.iter().find_map(|entrance| known.by(entrance)) {
                entered.insert(name.clone(), by);
            }
        }
        if self.marks_unlabeled() {
            let said: Vec<&str> =
                self.tags.values().flat_map(|tag| &tag.enters).filter_map(|entrance| entrance.inputs.as_deref()).collect();
            let unsaid = |address: &&String| said.iter().all(|prefix| !address.starts_with(prefix));
            if known.data.into_iter().flatten().find(unsaid).is_some() {
                entered.entry(UNLABELED.into()).or_insert_with(|| "an input of which no rule says what it carries".into());
            }
        }
        entered
    }

    /// The same as a label, for what is known of a task wherever it is called from: its name, the project, the domain.
    pub fn tags_of_task(&self, project: &str, domain: Option<&str>, task: &str) -> Label {
        let known = Entering { project, domain, task, ..Entering::default() };
        Label(self.entering(&known).into_keys().collect())
    }

    /// Whether any tag comes to tasks by itself.
    pub fn tags_tasks(&self) -> bool {
        self.tags.values().any(|tag| !tag.enters.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use model::govern::TagSpec;

    use super::*;
    use crate::Sources;

    fn rules(tags: &[(&str, Entrance)]) -> Rules {
        let tag = |(name, entrance): &(&str, Entrance)| TagSpec {
            name: (*name).into(),
            enters: Some(entrance.clone()).filter(|entrance| *entrance != Entrance::default()).into_iter().collect(),
            ..TagSpec::default()
        };
        let (rules, problems) = Rules::new(Sources { tags: tags.iter().map(tag).collect(), ..Sources::default() });
        assert!(problems.iter().all(|problem| problem.warning), "{problems:?}");
        rules
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_tag_enters_where_all_that_is_said_holds() {
        let labels = BTreeMap::from([("data".to_owned(), "clinical".to_owned())]);
        let rules = rules(&[
            ("project", Entrance { project: text("radiology"), domain: text("production"), ..Entrance::default() }),
            ("exact", Entrance { task: text("scan.read"), ..Entrance::default() }),
            ("start", Entrance { task: text("scan.*"), ..Entrance::default() }),
            ("inputs", Entrance { task: text("scan.*"), inputs: text("s3://hospital/"), ..Entrance::default() }),
            ("run", Entrance { run_labels: labels.clone(), ..Entrance::default() }),
        ]);
        let mut known = Entering { project: "radiology", domain: Some("staging"), task: "scan.read", ..Entering::default() };
        let found = |known: &Entering<'_>| rules.entering(known).into_keys().collect::<Vec<_>>();
        assert_eq!(found(&known), ["exact", "start"]);
        known.domain = Some("production");
        let addresses = BTreeSet::from(["s3://hospital/a.dcm".to_owned()]);
        known.data = Some(&addresses);
        known.run_labels = Some(&labels);
        assert_eq!(found(&known), ["exact", "inputs", "project", "run", "start"]);
        let said = &rules.entering(&known)["inputs"];
        assert!(said.contains("scan.read") && said.contains("s3://hospital/") && !said.contains("a.dcm"), "{said}");
        known.task = "other";
        assert_eq!(found(&known), ["project", "run"]);
        known.domain = None;
        assert_eq!(found(&known), ["run"], "while nobody has chosen a domain, none is meant");
    }

    #[test]
    fn data_of_which_nobody_says_anything_is_marked() {
        let rules = rules(&[
            ("phi", Entrance { inputs: text("s3://hospital/"), ..Entrance::default() }),
            (UNLABELED, Entrance::default()),
        ]);
        let (known, unknown) = (BTreeSet::from(["s3://hospital/a".to_owned()]), BTreeSet::from(["s3://other/a".to_owned()]));
        let found = |data| rules.entering(&Entering { data: Some(data), ..Entering::default() }).into_keys().collect::<Vec<_>>();
        assert_eq!(found(&known), ["phi"]);
        assert_eq!(found(&unknown), ["unlabeled"]);
        let named = Entering { named: Some(&unknown), ..Entering::default() };
        assert!(rules.entering(&named).is_empty(), "a text that is an address is no data");
    }
}

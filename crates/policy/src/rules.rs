//! Rules: what was applied, checked and made ready.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ResourceConstraint, ValidationMode, Validator};
use miette::Diagnostic as _;
use model::govern::{Approval, PolicySpec, SanitizerSpec, TagSpec, UNLABELED};
use model::limits::{POLICIES_MAX, POLICY_BYTES_MAX, TAGS_MAX};
use model::{Digest, Label, Timestamp};

use crate::bounds::too_deep;
use crate::lint::{self, Gaze};
use crate::operations::{Caller, Target};
use crate::places::Parts;
use crate::schema::{BUILT_IN, OPEN, schema};
use crate::slices::Slices;

/// The attributes of a site that say what is enforced around processes there.
const WALLS: [&str; 2] = ["sandbox", "isolation"];

/// What rules are made of.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Tags.
    pub tags: Vec<TagSpec>,
    /// Policies.
    pub policies: Vec<PolicySpec>,
    /// Sanitizers.
    pub sanitizers: Vec<SanitizerSpec>,
    /// Approvals of both.
    pub approvals: Vec<Approval>,
    /// The tags of secrets, by `PROJECT/NAME` or `PROJECT/DOMAIN/NAME`: what is given one carries them.
    pub secrets: BTreeMap<String, Label>,
}

/// What is wrong with rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The document: its kind and its name.
    pub document: (&'static str, String),
    /// The bytes within the text of the policy.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it only deserves attention.
    pub warning: bool,
}

/// Tags, policies, sanitizers: ready to answer.
#[derive(Debug)]
pub struct Rules {
    pub(crate) policies: PolicySet,
    pub(crate) slices: Slices,
    pub(crate) parts: Parts,
    pub(crate) about: BTreeMap<String, About>,
    pub(crate) tags: BTreeMap<String, TagSpec>,
    pub(crate) sanitizers: BTreeMap<String, SanitizerSpec>,
    pub(crate) approvals: Vec<Approval>,
    secrets: BTreeMap<String, Label>,
    digest: Digest,
    governed: bool,
    closed: bool,
}

/// What is known of a policy beside its text.
#[derive(Clone, Debug)]
pub struct About {
    /// `document/policy`.
    pub name: String,
    /// What its `@reason` says.
    pub because: String,
    /// Attributes of the resource that it looks at.
    pub attributes: BTreeSet<String>,
    /// Whether it looks at which resource it is, and not only at those attributes.
    pub which: bool,
    /// Tags that it looks for.
    pub tags: BTreeSet<String>,
    /// Whether it forbids, or permits.
    pub forbids: bool,
    /// How it looks at the data.
    pub(crate) gaze: Gaze,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::new(Sources::default()).0
    }
}

impl Rules {
    /// Reads and checks rules. With a problem that is no warning they are not fit for use: nobody is permitted anything by
    /// them but to repair them.
    pub fn new(sources: Sources) -> (Rules, Vec<Problem>) {
        let mut problems = Vec::new();
        let digest = sources.digest();
        let governed = !sources.policies.is_empty() || !sources.tags.is_empty();
        let closed = sources.policies.iter().any(|policy| policy.closed);
        let tags = tags(&sources.tags, &mut problems);
        let mut builder = Builder { policies: PolicySet::new(), about: BTreeMap::new(), tags: &tags, problems: &mut problems };
        builder.built_in("builtin", BUILT_IN);
        builder.built_in("builtin", crate::operations::BUILT_IN);
        if !closed {
            builder.built_in("builtin", OPEN);
        }
        if sources.policies.len() > POLICIES_MAX {
            let message = format!("there are {} policy documents; at most {POLICIES_MAX} are allowed", sources.policies.len());
            builder.problem(("policy", String::new()), 0..0, message, None);
        }
        for policy in sources.policies.iter().take(POLICIES_MAX) {
            builder.document(policy);
        }
        let Builder { policies, about, .. } = builder;
        let sanitizers = sources.sanitizers.into_iter().map(|sanitizer| (sanitizer.name.clone(), sanitizer)).collect();
        let (approvals, secrets) = (sources.approvals, sources.secrets);
        let slices = Slices::new(&policies);
        let parts = Parts::new(slices.of("run"), &about);
        let mut rules = Rules { policies, slices, parts, about, tags, sanitizers, approvals, secrets, digest, governed, closed };
        rules.check_sanitizers(&mut problems);
        if problems.iter().any(|problem| !problem.warning) {
            let (tags, mut ignored) = (BTreeMap::new(), Vec::new());
            let mut builder = Builder { policies: PolicySet::new(), about: BTreeMap::new(), tags: &tags, problems: &mut ignored };
            builder.built_in("builtin", crate::operations::REPAIR);
            let Builder { policies, about, .. } = builder;
            (rules.slices, rules.policies, rules.about) = (Slices::new(&policies), policies, about);
            rules.parts = Parts::new(rules.slices.of("run"), &rules.about);
        } else {
            rules.check_repairable(&mut problems);
        }
        (rules, problems)
    }

    /// Rules that nobody can change any more are a mistake that nobody can mend.
    fn check_repairable(&self, problems: &mut Vec<Problem>) {
        let may = |role: &str| {
            let caller = Caller { name: "anybody".into(), groups: Vec::new(), roles: vec![role.to_owned()] };
            let target = Target { kind: "policy".into(), name: "any".into(), ..Target::default() };
            self.may(&caller, "govern", &target, &Label::empty())
        };
        let verdict = may("admin");
        if verdict.allowed || may("policy-admin").allowed {
            return;
        }
        let document = verdict.reasons.first().and_then(|reason| reason.policy.split('/').next()).unwrap_or_default();
        problems.push(Problem {
            document: ("policy", document.to_owned()),
            span: 0..0,
            message: "by these rules nobody could change the rules any more".into(),
            hint: Some("leave `govern` to the roles `admin` or `policy-admin`".into()),
            warning: false,
        });
    }

    /// What names exactly these rules.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether anything was applied: without it everything is permitted, as before there were rules.
    pub fn governed(&self) -> bool {
        self.governed
    }

    /// Whether what no policy permits is refused.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The tags by name.
    pub fn tags(&self) -> &BTreeMap<String, TagSpec> {
        &self.tags
    }

    /// The tags of a project's secret: those of every domain together, so that what may be given one in some domain is never taken for free
    /// of its tags.
    pub fn tags_of_secret(&self, project: &str, name: &str) -> Label {
        let mut tags = Label::empty();
        let prefix = format!("{project}/");
        let of_project = self.secrets.range(prefix.clone()..).take_while(|(known, _)| known.starts_with(&prefix));
        for (_, own) in of_project.filter(|(known, _)| known.rsplit('/').next() == Some(name)) {
            tags.join(own);
        }
        tags
    }

    /// Whether any secret has tags.
    pub fn tags_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// How many policies there are, the built-in ones left out.
    pub fn count(&self) -> usize {
        self.about.values().filter(|about| !about.name.starts_with("builtin/")).count()
    }

    /// Whether any policy looks at what is enforced around processes at a site: then what runs there has to be within it.
    pub fn ask_for_walls(&self) -> bool {
        self.about.values().any(|about| WALLS.iter().any(|attribute| about.attributes.contains(*attribute)))
    }

    /// What is known of every policy, by name; those that are always there are of the document `builtin`.
    pub fn policies(&self) -> impl Iterator<Item = &About> {
        self.about.values()
    }

    /// The policies about an action, by their ids: what is asked when it is asked for.
    pub fn policies_about(&self, action: &str) -> &PolicySet {
        self.slices.of(action)
    }

    /// Whether a tag is declared: with no tags declared at all, nobody has begun to say what there is.
    pub fn knows(&self, tag: &str) -> bool {
        self.tags.is_empty() || self.tags.contains_key(tag)
    }

    /// Whether data that nobody has labelled is to be marked as such.
    pub fn marks_unlabeled(&self) -> bool {
        self.tags.contains_key(UNLABELED)
    }

    /// Approvals of a thing as it is now that are good at a time, one a person.
    pub(crate) fn approvers(&self, kind: &str, name: &str, digest: &Digest, now: Timestamp, good_for: u64) -> Vec<&Approval> {
        let mut latest: BTreeMap<&str, &Approval> = BTreeMap::new();
        for approval in self.approvals.iter().filter(|a| a.kind == kind && a.name == name && a.digest == *digest) {
            let newer = latest.get(approval.by.as_str()).is_none_or(|known| known.at <= approval.at);
            if newer {
                latest.insert(&approval.by, approval);
            }
        }
        // What was said for a week is not good for a year because somebody else writes so afterwards.
        let until =
            |approval: &Approval| approval.at.0.saturating_add(approval.good_for.map_or(good_for, |own| own.0.min(good_for)));
        let good = |approval: &&Approval| !approval.revoked && now.0 < until(approval);
        latest.into_values().filter(good).collect()
    }
}

impl Sources {
    /// A digest over everything that counts, in a fixed order: what [`Rules::digest`] gives of the same sources.
    pub fn digest(&self) -> Digest {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.tags.iter().map(|tag| serde_json::to_string(tag).unwrap_or_default()));
        parts.extend(self.policies.iter().map(|policy| policy.digest().to_string()));
        // Who wrote it may not vouch for it, and when an approval ends is up to it.
        let sanitizer = |s: &SanitizerSpec| format!("{} {} {:?} {}", s.name, s.digest(), s.author, s.expires.0);
        parts.extend(self.sanitizers.iter().map(sanitizer));
        parts.extend(self.secrets.iter().map(|(name, tags)| format!("secret {name} {tags}")));
        parts.extend(self.approvals.iter().map(|approval| serde_json::to_string(approval).unwrap_or_default()));
        parts.sort();
        Digest::of(parts.join("\n").as_bytes())
    }
}

fn tags(specs: &[TagSpec], problems: &mut Vec<Problem>) -> BTreeMap<String, TagSpec> {
    let tags: BTreeMap<String, TagSpec> = specs.iter().map(|tag| (tag.name.clone(), tag.clone())).collect();
    let mut problem = |name: &str, message: String, hint: &str| {
        let document = ("tag", name.to_owned());
        problems.push(Problem { document, span: 0..0, message, hint: Some(hint.to_owned()), warning: false });
    };
    if tags.len() > TAGS_MAX {
        problem("", format!("there are {} tags; at most {TAGS_MAX} are allowed", tags.len()), "use fewer, with a common parent");
    }
    for tag in tags.values() {
        let Some(parent) = &tag.parent else { continue };
        if !tags.contains_key(parent) {
            problem(
                &tag.name,
                format!("the parent `{parent}` of the tag `{}` is not there", tag.name),
                "apply it together with this one",
            );
        }
        let above = std::iter::successors(Some(tag), |tag| tags.get(tag.parent.as_ref()?));
        if above.skip(1).take(tags.len()).any(|above| above.name == tag.name) {
            problem(&tag.name, format!("the tag `{}` is its own parent", tag.name), "let one of them have no parent");
        }
    }
    tags
}

struct Builder<'b> {
    policies: PolicySet,
    about: BTreeMap<String, About>,
    tags: &'b BTreeMap<String, TagSpec>,
    problems: &'b mut Vec<Problem>,
}

impl Builder<'_> {
    fn problem(&mut self, document: (&'static str, String), span: Range<usize>, message: String, hint: Option<String>) {
        self.problems.push(Problem { document, span, message, hint, warning: false });
    }

    fn built_in(&mut self, document: &str, text: &str) {
        self.text(document, text, false);
    }

    fn document(&mut self, policy: &PolicySpec) {
        if policy.cedar.len() > POLICY_BYTES_MAX {
            let message = format!("the policy is {} bytes; at most {POLICY_BYTES_MAX} are allowed", policy.cedar.len());
            self.problem(("policy", policy.name.clone()), 0..0, message, Some("split it into several documents".into()));
            return;
        }
        if let Some((at, what)) = too_deep(&policy.cedar) {
            let hint = Some("split it into several policies, or compare with a set: `[…].contains(…)`".into());
            self.problem(("policy", policy.name.clone()), at..at + 1, what, hint);
            return;
        }
        self.text(&policy.name, &policy.cedar, true);
    }

    /// Reads the policies of a text, each under the name of its document and its own.
    fn text(&mut self, document: &str, text: &str, check: bool) {
        let owner = ("policy", document.to_owned());
        let read = match PolicySet::from_str(text) {
            Ok(read) => read,
            Err(errors) => {
                for error in errors.iter() {
                    let hint = error.help().map(|help| help.to_string());
                    self.problem(owner.clone(), span_of(error), format!("this is not a policy: {error}"), hint);
                }
                return;
            }
        };
        if read.templates().next().is_some() {
            let message = "a policy has a slot (`?principal` or `?resource`), and nothing fills it".to_owned();
            self.problem(owner.clone(), 0..0, message, Some("name the principal and the resource".into()));
        }
        if check {
            self.validate(&owner, &read);
        }
        let mut named = PolicySet::new();
        for (number, policy) in read.policies().enumerate() {
            let own = policy.annotation("id").map_or_else(|| format!("policy{number}"), str::to_owned);
            let name = format!("{document}/{own}");
            if self.about.contains_key(&name) {
                let message = format!("there are two policies `{name}`");
                self.problem(owner.clone(), 0..0, message, Some("give each its own `@id(\"…\")`".into()));
                continue;
            }
            let policy = policy.new_id(PolicyId::new(&name));
            let about = self.look(&owner, text, &policy, name.clone(), check);
            self.about.insert(name, about);
            // The name is new, so that it is taken.
            let _ = named.add(policy);
        }
        for policy in named.policies() {
            let _ = self.policies.add(policy.clone());
        }
    }

    fn validate(&mut self, owner: &(&'static str, String), read: &PolicySet) {
        let Some(schema) = schema() else { return };
        let result = Validator::new(schema.clone()).validate(read, ValidationMode::Strict);
        for error in result.validation_errors() {
            let text = error.to_string();
            // `for policy `policy0`, …`: the number is of no use to anybody.
            let message = text.split_once("`, ").map_or(text.as_str(), |(_, rest)| rest).to_owned();
            let hint = error.help().map(|help| help.to_string());
            self.problem(owner.clone(), span_of(error), message, hint);
        }
        for warning in result.validation_warnings() {
            let text = warning.to_string();
            let message = text.split_once("`, ").map_or(text.as_str(), |(_, rest)| rest).to_owned();
            self.problems.push(Problem { document: owner.clone(), span: span_of(warning), message, hint: None, warning: true });
        }
    }

    /// What a policy looks at, and what a lint finds in it.
    fn look(&mut self, owner: &(&'static str, String), text: &str, policy: &Policy, name: String, check: bool) -> About {
        let forbids = policy.effect() == Effect::Forbid;
        let json = policy.to_json().unwrap_or_default();
        let seen = lint::look(&json, forbids);
        let mut about = About {
            name,
            because: policy.annotation("reason").unwrap_or_default().to_owned(),
            attributes: seen.attributes,
            which: seen.which || !matches!(policy.resource_constraint(), ResourceConstraint::Any | ResourceConstraint::Is(_)),
            tags: BTreeSet::new(),
            forbids,
            gaze: lint::gaze(&json),
        };
        for literal in policy.entity_literals() {
            if literal.type_name().to_string() == "Tag" {
                about.tags.insert(literal.id().unescaped().to_owned());
            }
        }
        if !check {
            return about;
        }
        for tag in about.tags.iter().filter(|tag| !self.tags.contains_key(*tag)) {
            let at = text.find(&format!("\"{tag}\"")).map_or(0..0, |start| start..start + tag.len() + 2);
            let known: Vec<&str> = self.tags.keys().map(String::as_str).collect();
            let hint = match known.is_empty() {
                true => format!("declare it: `kind: tag`, `name: {tag}`"),
                false => format!("declare it, or use one of {}", known.join(", ")),
            };
            let (message, document) = (format!("there is no tag `{tag}`"), owner.clone());
            self.problems.push(Problem { document, span: at, message, hint: Some(hint), warning: false });
        }
        for found in seen.findings {
            let at =
                found.near.as_deref().and_then(|near| text.find(near).map(|start| start..start + near.len())).unwrap_or(0..0);
            let message = format!("policy `{}`: {}", about.name, found.message);
            let (document, hint) = (owner.clone(), Some(found.hint.to_owned()));
            self.problems.push(Problem { document, span: at, message, hint, warning: found.warning });
        }
        about
    }
}

/// The first place that an error points at.
fn span_of(error: &dyn miette::Diagnostic) -> Range<usize> {
    let label = error.labels().and_then(|mut labels| labels.next());
    label.map_or(0..0, |label| label.offset()..label.offset() + label.len())
}

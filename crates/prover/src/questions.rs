//! The questions, action by action.

use cedar_policy::{PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::{CompiledPolicy, CompiledPolicySet, Env};
use policy::Rules;
use serde::Serialize;

use crate::ProveError;
use crate::assumed::{whatever_is_so, with_what_is_so};
use crate::example::{Example, decided, permits};
use crate::solver::{Compiler, Solver};

/// What holds of rules for every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Analysis {
    /// Which solver found it out.
    pub solver: String,
    /// Action by action.
    pub actions: Vec<OfAction>,
}

/// What holds for an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfAction {
    /// The action: run, move, egress, release, view, submit, ….
    pub action: String,
    /// Policies that are about it.
    pub policies: usize,
    /// Policies that can err, and so refuse everything.
    pub errs: Vec<Erring>,
    /// Whether anything, or everything, is permitted.
    pub permits: Range,
    /// What changes from the rules that it is held against; none when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// A policy that can err.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Erring {
    /// `document/policy`.
    pub policy: String,
    /// A request at which it does; none when the solver gave no answer, which `unknown` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// How much is permitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// No request is: whatever is asked, the answer is no.
    Nothing,
    /// Some are and some are not.
    Some,
    /// Every request is.
    Everything,
    /// The solver gave no answer.
    Unknown(String),
}

/// What changes beside other rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// Every request has the answer that it had.
    Same,
    /// Nothing is permitted that was not, and this is not any more.
    Less {
        /// A request that is refused now.
        example: Box<Example>,
        /// The policies that refuse it, or none when none permits it.
        policies: Vec<String>,
    },
    /// This is permitted that was not.
    More {
        /// A request that is permitted now.
        example: Box<Example>,
        /// The policies that refused it, or none when none permitted it.
        policies: Vec<String>,
    },
    /// It was neither proved nor shown to be otherwise.
    Unknown(String),
}

impl Compared {
    /// Whether it is proved that nothing is permitted that was not.
    pub fn holds(&self) -> bool {
        matches!(self, Compared::Same | Compared::Less { .. })
    }
}

impl OfAction {
    /// Whether nothing was found, and nothing left open, that somebody has to look at.
    pub fn holds(&self) -> bool {
        self.errs.is_empty() && !matches!(self.permits, Range::Unknown(_)) && self.compared.as_ref().is_none_or(Compared::holds)
    }
}

impl Analysis {
    /// Whether nothing was found, and nothing left open, that somebody has to look at.
    pub fn holds(&self) -> bool {
        self.actions.iter().all(OfAction::holds)
    }
}

/// An answer of the solver; what went wrong, as text.
type Found = Result<Option<Env>, String>;

/// The rules of one action, ready to be asked about.
struct Side {
    policies: PolicySet,
    /// Whether none of them can err.
    never_errs: bool,
}

/// Asks all questions about rules, and beside others what they permit more. Actions are those that are named, or all.
pub async fn analyze(
    solver: &Solver,
    rules: &Rules,
    against: Option<&Rules>,
    actions: &[String],
) -> Result<Analysis, ProveError> {
    let schema = policy::schema().ok_or_else(|| ProveError::Rules("there is no vocabulary".into()))?;
    let mut analysis = Analysis { solver: solver.version().to_owned(), actions: Vec::new() };
    for env in schema.request_envs() {
        let action = env.action().id().unescaped().to_owned();
        if !actions.is_empty() && !actions.contains(&action) {
            continue;
        }
        // A solver that ended over one action is another for the next.
        let asking = Asking { compiler: solver.start()?, schema, env, action };
        analysis.actions.push(asking.about(rules, against).await?);
    }
    analysis.actions.sort_by(|one, other| one.action.cmp(&other.action));
    Ok(analysis)
}

struct Asking<'s> {
    compiler: Compiler,
    schema: &'s Schema,
    env: RequestEnv,
    action: String,
}

impl Asking<'_> {
    async fn about(mut self, rules: &Rules, against: Option<&Rules>) -> Result<OfAction, ProveError> {
        let policies = rules.policies_about(&self.action).clone();
        let errs = self.erring(&policies).await?;
        let side = Side { never_errs: errs.is_empty(), policies };
        let both: Vec<&Rules> = std::iter::once(rules).chain(against).collect();
        let permits = self.range(&side, &both).await?;
        let compared = match against {
            None => None,
            Some(other) => {
                let policies = other.policies_about(&self.action).clone();
                let never_errs = self.erring(&policies).await?.is_empty();
                Some(self.compare(&side, &Side { policies, never_errs }, &both).await?)
            }
        };
        Ok(OfAction { action: self.action, policies: side.policies.num_of_policies(), errs, permits, compared })
    }

    /// The policies that can err.
    async fn erring(&mut self, policies: &PolicySet) -> Result<Vec<Erring>, ProveError> {
        let mut erring = Vec::new();
        for policy in policies.policies() {
            let compiled = CompiledPolicy::compile(policy, &self.env, self.schema);
            let compiled = compiled.map_err(|error| ProveError::Rules(format!("{}: {error}", policy.id())))?;
            let found = self.compiler.check_never_errors_with_counterexample_opt(&compiled).await;
            let (example, unknown) = match found {
                Ok(None) => continue,
                Ok(Some(env)) => (Some(Example::of(&env)), None),
                Err(error) => (None, Some(error.to_string())),
            };
            erring.push(Erring { policy: policy.id().to_string(), example, unknown });
        }
        erring.sort_by(|one, other| one.policy.cmp(&other.policy));
        Ok(erring)
    }

    fn compiled(&self, policies: &PolicySet) -> Result<CompiledPolicySet, ProveError> {
        CompiledPolicySet::compile(policies, &self.env, self.schema).map_err(|error| ProveError::Rules(error.to_string()))
    }

    fn limited(&self, side: &Side, rules: &[&Rules]) -> Result<CompiledPolicySet, ProveError> {
        let limited = with_what_is_so(&side.policies, &self.action, rules).map_err(ProveError::Rules)?;
        self.compiled(&limited)
    }

    /// A request that the one permits, as requests are, and the other does not.
    async fn beyond(&mut self, one: &CompiledPolicySet, other: &CompiledPolicySet) -> Found {
        let found = self.compiler.check_implies_with_counterexample_opt(one, other).await;
        found.map_err(|error| error.to_string())
    }

    /// How much is permitted. What errs only takes away, so that nothing stays nothing; and everything is so only where nothing errs.
    async fn range(&mut self, side: &Side, rules: &[&Rules]) -> Result<Range, ProveError> {
        let limited = self.limited(side, rules)?;
        let anything = match self.compiler.check_always_denies_with_counterexample_opt(&limited).await {
            Ok(found) => found,
            Err(error) => return Ok(Range::Unknown(error.to_string())),
        };
        if anything.is_none() {
            return Ok(Range::Nothing);
        }
        let all = whatever_is_so(&self.action, rules).map_err(ProveError::Rules)?;
        let (all, own) = (self.compiled(&all)?, self.compiled(&side.policies)?);
        Ok(match self.beyond(&all, &own).await {
            Ok(None) if side.never_errs => Range::Everything,
            Ok(_) => Range::Some,
            Err(why) => Range::Unknown(why),
        })
    }

    /// Whether anything is permitted that was not. It is proved for Cedar, and holds here where what was before cannot err.
    async fn compare(&mut self, now: &Side, before: &Side, rules: &[&Rules]) -> Result<Compared, ProveError> {
        let (more, less) = (self.limited(now, rules)?, self.limited(before, rules)?);
        let (own, other) = (self.compiled(&now.policies)?, self.compiled(&before.policies)?);
        match self.beyond(&more, &other).await {
            Err(why) => return Ok(Compared::Unknown(why)),
            Ok(Some(env)) if permits(&now.policies, &env) && !permits(&before.policies, &env) => {
                let (example, policies) = (Box::new(Example::of(&env)), decided(&before.policies, &env));
                return Ok(Compared::More { example, policies });
            }
            Ok(Some(_)) => return Ok(Compared::Unknown("what was found has to do with a policy that errs".into())),
            Ok(None) if !before.never_errs => {
                return Ok(Compared::Unknown("a policy of before can err, and then refused what it seems to permit".into()));
            }
            Ok(None) => {}
        }
        Ok(match self.beyond(&less, &own).await {
            Err(why) => Compared::Unknown(why),
            Ok(None) if now.never_errs => Compared::Same,
            Ok(None) => Compared::Unknown("a policy can err, and then refuses".into()),
            Ok(Some(env)) => {
                let (example, policies) = (Box::new(Example::of(&env)), decided(&now.policies, &env));
                Compared::Less { example, policies }
            }
        })
    }
}

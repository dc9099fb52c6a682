//! Policies by what they are about. Cedar evaluates every policy it is given; most of many are about other actions, or about people who do
//! not ask. What a policy says at its head cannot err, so that leaving out those whose head does not fit changes no answer.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use cedar_policy::{ActionConstraint, Entity, EntityUid, Policy, PolicySet, PrincipalConstraint};

use crate::schema::schema;

/// The policies of each action.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    by_action: BTreeMap<String, Slice>,
    empty: PolicySet,
}

/// The policies that are about an action.
#[derive(Debug, Default)]
struct Slice {
    all: PolicySet,
    /// Those that may be about anybody.
    anybody: Vec<Policy>,
    /// Those that are about one principal, or about a group of them.
    of: BTreeMap<EntityUid, Vec<Policy>>,
}

impl Slices {
    pub(crate) fn new(policies: &PolicySet) -> Slices {
        let mut slices = Slices::default();
        for (action, acting) in actions() {
            let slice = slices.by_action.entry(action.clone()).or_default();
            for policy in policies.policies().filter(|policy| is_about(policy, acting)) {
                match named(policy) {
                    Some(principal) => slice.of.entry(principal).or_default().push(policy.clone()),
                    None => slice.anybody.push(policy.clone()),
                }
                // Its id is its own in the whole set.
                let _ = slice.all.add(policy.clone());
            }
        }
        slices
    }

    /// The policies about an action.
    pub(crate) fn of(&self, action: &str) -> &PolicySet {
        self.by_action.get(action).map_or(&self.empty, |slice| &slice.all)
    }

    /// The policies about an action of somebody who is in these groups and roles.
    pub(crate) fn of_caller(&self, action: &str, principal: &EntityUid, parents: &[EntityUid]) -> PolicySet {
        let mut found = PolicySet::new();
        let Some(slice) = self.by_action.get(action) else { return found };
        let own = std::iter::once(principal).chain(parents).filter_map(|one| slice.of.get(one)).flatten();
        for policy in slice.anybody.iter().chain(own) {
            // A group that is given twice has its policies once.
            let _ = found.add(policy.clone());
        }
        found
    }
}

/// The one principal or group that the head of a policy names. What asks is in a group by being given it, and groups are in nothing.
fn named(policy: &Policy) -> Option<EntityUid> {
    match policy.principal_constraint() {
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
    }
}

fn is_about(policy: &Policy, acting: &[Entity]) -> bool {
    let any_of = |uid: &EntityUid| acting.iter().any(|entity| entity.uid() == *uid);
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => any_of(&uid),
        ActionConstraint::In(uids) => uids.iter().any(any_of),
    }
}

/// Every action, as entities: itself and the groups that it is in.
fn actions() -> &'static BTreeMap<String, Vec<Entity>> {
    static ACTIONS: OnceLock<BTreeMap<String, Vec<Entity>>> = OnceLock::new();
    ACTIONS.get_or_init(|| {
        let Some(all) = schema().and_then(|schema| schema.action_entities().ok()) else { return BTreeMap::new() };
        let with_groups = |entity: &Entity| {
            let uid = entity.uid();
            let groups: Vec<EntityUid> = all.ancestors(&uid).into_iter().flatten().cloned().collect();
            let groups = groups.iter().filter_map(|group| all.get(group).cloned());
            (uid.id().unescaped().to_owned(), std::iter::once(entity.clone()).chain(groups).collect())
        };
        all.iter().map(with_groups).collect()
    })
}

/// An action and the groups that it is in.
pub(crate) fn acting(action: &str) -> &'static [Entity] {
    actions().get(action).map_or(&[], Vec::as_slice)
}

//! Which version of a policy counts: one that asks for other people's approval counts when they have given it, and until then the one
//! before it does.

use std::collections::BTreeSet;

use model::govern::{Approval, PolicySpec};

/// A version of a policy as it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub number: u64,
    /// The policy.
    pub spec: PolicySpec,
    /// Who applied it.
    pub author: String,
}

/// How a policy stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// The version that counts, by its place in the list; none when the first one waits for its approvals.
    pub in_force: Option<usize>,
    /// Versions after it that wait.
    pub waiting: Vec<Waiting>,
}

/// A version that waits to be approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the list.
    pub at: usize,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// How many have to.
    pub needed: u32,
}

/// How a policy stands, by its versions in their order. How many people have to approve a version is said by the one that counts until
/// then, so that nobody lowers the bar and steps over it in one go; of the first version it is said by itself.
pub fn stand(versions: &[Version], approvals: &[Approval]) -> Stand {
    let mut stand = Stand::default();
    let mut needed = None;
    for (at, version) in versions.iter().enumerate() {
        let needs = needed.unwrap_or(version.spec.approvals);
        let approved_by = approvers(version, approvals);
        if approved_by.len() >= needs as usize {
            stand = Stand { in_force: Some(at), waiting: Vec::new() };
            needed = Some(version.spec.approvals);
        } else {
            stand.waiting.push(Waiting { at, approved_by, needed: needs });
        }
    }
    stand
}

/// Who approved exactly this version, its author left out.
fn approvers(version: &Version, approvals: &[Approval]) -> Vec<String> {
    let digest = version.spec.digest();
    let of_it = |approval: &&Approval| {
        approval.kind == "policy"
            && approval.name == version.spec.name
            && approval.version == Some(version.number)
            && approval.digest == digest
            && approval.by != version.author
            && !approval.revoked
    };
    let people: BTreeSet<&String> = approvals.iter().filter(of_it).map(|approval| &approval.by).collect();
    people.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Timestamp;

    fn version(number: u64, approvals: u32, author: &str) -> Version {
        let spec = PolicySpec { name: "p".into(), cedar: format!("// {number}"), approvals, ..PolicySpec::default() };
        Version { number, spec, author: author.into() }
    }

    fn approval(version: &Version, by: &str) -> Approval {
        Approval {
            kind: "policy".into(),
            name: "p".into(),
            digest: version.spec.digest(),
            version: Some(version.number),
            by: by.into(),
            groups: Vec::new(),
            at: Timestamp(0),
            good_for: None,
            revoked: false,
            reason: String::new(),
        }
    }

    #[test]
    fn what_is_not_approved_does_not_count_and_what_was_before_does() {
        let versions = [version(1, 0, "ada"), version(2, 2, "ada"), version(3, 0, "bob")];
        // The first asks for nobody, and lets the second in; that one asks for two.
        let found = stand(&versions, &[]);
        assert_eq!((found.in_force, found.waiting[0].needed), (Some(1), 2));
        let one = approval(&versions[2], "eve");
        assert_eq!(stand(&versions, std::slice::from_ref(&one)).in_force, Some(1));
        // The author does not count, nor the same person twice, nor an approval of another version.
        let own = approval(&versions[2], "bob");
        let other = approval(&versions[1], "cid");
        assert_eq!(stand(&versions, &[one.clone(), one.clone(), own, other]).in_force, Some(1));
        let found = stand(&versions, &[one, approval(&versions[2], "cid")]);
        assert_eq!((found.in_force, found.waiting.len()), (Some(2), 0));
    }

    #[test]
    fn the_bar_is_not_lowered_by_what_has_to_clear_it() {
        let versions = [version(1, 2, "ada"), version(2, 0, "ada")];
        let found = stand(&versions, &[approval(&versions[1], "eve")]);
        // Nothing counts yet, so that the second is asked by itself.
        assert_eq!(found.in_force, Some(1));
        let all = [approval(&versions[0], "eve"), approval(&versions[0], "cid")];
        assert_eq!(stand(&versions, &all).in_force, Some(0));
    }

    #[test]
    fn a_text_that_was_approved_once_is_not_approved_for_ever() {
        let mut versions = vec![version(1, 0, "ada"), version(2, 1, "ada")];
        let mut back = version(3, 1, "ada");
        back.spec.cedar = versions[1].spec.cedar.clone();
        let earlier = approval(&versions[1], "eve");
        versions.push(back);
        assert_eq!(stand(&versions, &[earlier]).in_force, Some(1));
    }
}

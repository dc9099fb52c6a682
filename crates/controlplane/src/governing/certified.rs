//! In which domains the rules of now have a place for every step of a registered workflow.

use policy::{Cache, Fleet, Rules};

use super::{DOMAINS, flow, labelled, project_of, refusal};
use crate::{ControlPlane, Fault};

/// In which domains a registered workflow has its flow certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certification {
    /// The domains in which every step has a place.
    pub domains: Vec<&'static str>,
    /// Why it has none in the others: the refusal in the first of them.
    pub refused: Option<String>,
}

/// The same of many, by the rules and the sites of one moment.
#[derive(Debug)]
pub struct Certifications {
    /// Whether there are rules that could refuse anything.
    pub governed: bool,
    /// One for each workflow that was asked about, in that order; none when its graph is not there.
    pub of: Vec<Option<Certification>>,
}

impl ControlPlane {
    /// In which domains registered workflows have their flow certificates by the rules in force. Blocks.
    pub fn certifications(&self, workflows: &[String]) -> Result<Certifications, Fault> {
        let (rules, fleet) = (self.rules(), self.policy_fleet()?);
        let mut of = Vec::with_capacity(workflows.len());
        for name in workflows {
            // One that was deleted meanwhile, or cannot be read, takes nothing from the others.
            let graph = self.workflow(name, None).ok();
            // The cache is what every door asks: it is not held for the whole list.
            of.push(graph.map(|(graph, _)| certification(&rules, &graph, &fleet, &mut self.governance().cache())));
        }
        Ok(Certifications { governed: rules.governed(), of })
    }
}

fn certification(rules: &Rules, graph: &model::Graph, fleet: &Fleet, cache: &mut Cache) -> Certification {
    let (declared, now) = (workflow::labels::declared(graph), crate::clock::wall());
    let mut found = Certification::default();
    for domain in DOMAINS {
        let table = labelled(rules, graph, Some(domain), &declared, now);
        match rules.certify(&flow(graph, project_of(&graph.workflow), &table), &[domain], fleet, cache) {
            Ok(_) => found.domains.push(domain),
            Err(refused) if found.refused.is_none() => found.refused = Some(refusal(graph, &refused).detail.clone()),
            Err(_) => {}
        }
    }
    found
}

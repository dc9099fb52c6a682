//! What `v6.journal` says: how the processes of a site are kept in.

use std::collections::BTreeSet;

use engine::Event;
use engine::event::SiteRegistered;
use model::site::{SandboxMode, SandboxSpec};

pub(crate) fn events() -> Vec<Event> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<String>>();
    super::v2::events()
        .into_iter()
        .filter_map(|event| match event {
            Event::SiteRegistered(registered) => {
                let SiteRegistered { mut site, principal } = *registered;
                site.sandbox = Some(SandboxSpec {
                    mode: SandboxMode::Require,
                    egress: texts(&["*.example.com:443", "api.example.com:8443"]),
                    runtime: texts(&["/opt/models"]),
                    packages: None,
                });
                Some(Event::SiteRegistered(Box::new(SiteRegistered { site, principal })))
            }
            _ => None,
        })
        .collect()
}

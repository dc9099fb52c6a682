//! What `v23.journal` says: a site that names where builds of images get packages from, and a run that says how many of its actions may be at
//! work.

use std::collections::BTreeSet;

use engine::Event;
use engine::event::*;

pub(crate) fn events() -> Vec<Event> {
    let submitted = super::v16::events().into_iter().take(1).map(|event| match event {
        Event::RunSubmitted(submitted) => Event::RunSubmitted(Box::new(RunSubmitted { concurrency: Some(3), ..*submitted })),
        other => other,
    });
    let sites = super::v6::events().into_iter().map(|event| match event {
        Event::SiteRegistered(registered) => {
            let SiteRegistered { mut site, principal } = *registered;
            if let Some(sandbox) = &mut site.sandbox {
                sandbox.packages = Some(BTreeSet::from(["mirror.example:8443".to_owned()]));
            }
            Event::SiteRegistered(Box::new(SiteRegistered { site, principal }))
        }
        other => other,
    });
    sites.chain(submitted).collect()
}

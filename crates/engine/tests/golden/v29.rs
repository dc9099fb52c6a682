//! What `v29.journal` says: a site whose large objects lie in a bucket.

use engine::Event;
use engine::event::*;
use model::site::StoreSpec;

pub(crate) fn events() -> Vec<Event> {
    let sites = super::v23::events().into_iter().filter_map(|event| match event {
        Event::SiteRegistered(registered) => {
            let SiteRegistered { mut site, principal } = *registered;
            site.store = Some(StoreSpec {
                url: "https://s3.example/tasks/tutti".into(),
                region: "eu-central-1".into(),
                access_key: "AKIAEXAMPLE0000".into(),
                secret_key: "secret://ops/s3-tasks".into(),
            });
            Some(Event::SiteRegistered(Box::new(SiteRegistered { site, principal })))
        }
        _ => None,
    });
    sites.collect()
}

//! What policies look at, as Cedar's entities: work, data, places.

use std::collections::BTreeMap;

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use model::{Digest, Label, SiteSpec};
use serde::{Deserialize, Serialize};

use crate::rules::Rules;
use crate::schema::SITE_ATTRIBUTES;

/// What wants to run, as far as policies may look at it. Work that is alike in this is decided once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Work {
    /// The project.
    pub project: String,
    /// The workflow.
    pub workflow: String,
    /// development, staging or production.
    pub domain: String,
    /// The connector with its version, the task, or `run`.
    pub work: String,
}

/// The sites, made ready for questions.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub(crate) sites: BTreeMap<String, SiteFacts>,
    digest: Option<Digest>,
}

#[derive(Clone, Debug)]
pub(crate) struct SiteFacts {
    pub(crate) uid: EntityUid,
    pub(crate) entity: Entity,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// An entity's name; the type is one of ours, and any text may be an id.
pub(crate) fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind: EntityTypeName = kind.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

/// An entity with texts for attributes.
pub(crate) fn plain(uid: EntityUid, attributes: &[(&str, &str)], parents: Vec<EntityUid>) -> Option<Entity> {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    Entity::new(uid, attributes, parents.into_iter().collect()).ok()
}

impl Fleet {
    /// Takes the sites as they are registered.
    pub fn new<'s>(sites: impl IntoIterator<Item = &'s SiteSpec>) -> Fleet {
        let sites: BTreeMap<String, SiteFacts> =
            sites.into_iter().filter_map(|site| Some((site.name.clone(), facts(site)?))).collect();
        let said: Vec<_> = sites.iter().map(|(name, facts)| (name, &facts.attributes)).collect();
        let digest = Digest::of(serde_json::to_string(&said).unwrap_or_default().as_bytes());
        Fleet { sites, digest: Some(digest) }
    }

    /// The names of the sites.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sites.keys().map(String::as_str)
    }

    /// What names the sites with all that policies see of them.
    pub fn digest(&self) -> Digest {
        self.digest.unwrap_or_else(|| Digest::of(b"no sites"))
    }
}

fn facts(site: &SiteSpec) -> Option<SiteFacts> {
    let own = |name: &str| site.attributes.get(name).map(String::as_str).unwrap_or_default();
    let mut attributes: BTreeMap<String, RestrictedExpression> =
        SITE_ATTRIBUTES.iter().map(|name| ((*name).to_owned(), text(own(name)))).collect();
    attributes.insert("name".into(), text(&site.name));
    attributes.insert("simulated".into(), RestrictedExpression::new_bool(site.simulates.is_some()));
    let regimes = own("regimes").split(',').map(str::trim).filter(|regime| !regime.is_empty());
    attributes.insert("regimes".into(), RestrictedExpression::new_set(regimes.map(text)));
    let known = |name: &str| SITE_ATTRIBUTES.contains(&name) || matches!(name, "name" | "simulated" | "regimes");
    let tags: Vec<(String, RestrictedExpression)> =
        site.attributes.iter().filter(|(name, _)| !known(name)).map(|(name, value)| (name.clone(), text(value))).collect();
    let uid = uid("Site", &site.name)?;
    let entity = Entity::new_with_tags(uid.clone(), attributes, [], tags).ok()?;
    let mut attributes = site.attributes.clone();
    attributes.insert("name".into(), site.name.clone());
    attributes.insert("simulated".into(), site.simulates.is_some().to_string());
    Some(SiteFacts { uid, entity, attributes })
}

impl Work {
    pub(crate) fn uid(&self) -> Option<EntityUid> {
        uid("Task", &format!("{}/{}", self.workflow, self.work))
    }

    pub(crate) fn entity(&self) -> Option<Entity> {
        let attributes = [
            ("project", self.project.as_str()),
            ("workflow", self.workflow.as_str()),
            ("domain", self.domain.as_str()),
            ("work", self.work.as_str()),
        ];
        plain(self.uid()?, &attributes, vec![uid("Project", &self.project)?])
    }
}

impl Rules {
    /// The data of a label: one entity whose parents are its tags, so that a policy can ask for a tag or anything below it.
    pub(crate) fn data(&self, label: &Label) -> Option<(EntityUid, Vec<Entity>)> {
        let data = uid("Data", &label.to_string())?;
        let parents: Option<Vec<EntityUid>> = label.0.iter().map(|tag| uid("Tag", tag)).collect();
        let mut entities = vec![plain(data.clone(), &[], parents?)?];
        for tag in self.closed(label).0 {
            let above = self.tags.get(&tag).and_then(|spec| spec.parent.as_deref());
            let parents = above.and_then(|above| uid("Tag", above)).into_iter().collect();
            entities.push(plain(uid("Tag", &tag)?, &[], parents)?);
        }
        Some((data, entities))
    }

    /// A label with the tags above its own.
    pub fn closed(&self, label: &Label) -> Label {
        let mut closed = label.clone();
        for tag in &label.0 {
            let mut at = tag;
            // Tags above one another were checked to end.
            while let Some(above) = self.tags.get(at).and_then(|spec| spec.parent.as_ref()) {
                if !closed.0.insert(above.clone()) {
                    break;
                }
                at = above;
            }
        }
        closed
    }
}

/// Entities without a schema: what is put in is of our own making.
pub(crate) fn entities(list: impl IntoIterator<Item = Entity>) -> Result<Entities, String> {
    Entities::from_entities(list, None).map_err(|error| error.to_string())
}

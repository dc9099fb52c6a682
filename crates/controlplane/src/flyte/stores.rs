//! Stores of sites: the buckets in which large objects of tasks lie.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flyte::{Away, Bucket, Buckets};
use keyring::Keyring;
use model::site::StoreSpec;
use model::{AttemptKey, Failure, FailureClass};
use parking_lot::Mutex;

use super::Flyte;
use crate::ControlPlane;
use crate::sites::Sites;

/// How often what stores did not remove is asked for again.
const CLEAR_EVERY: Duration = Duration::from_secs(30);

/// A bucket as it was opened last, and with what.
struct Known {
    spec: StoreSpec,
    secret: keyring::Secret,
    bucket: Bucket,
}

/// The buckets that sites name, opened with the secrets that they name.
struct Stores {
    sites: Sites,
    keys: Option<Keyring>,
    known: Mutex<BTreeMap<String, Known>>,
}

impl Stores {
    /// The secret of a store as it is now.
    fn secret(&self, spec: &StoreSpec) -> Result<keyring::Secret, String> {
        let (project, name) = spec.secret().ok_or("it names no secret")?;
        let keys = self.keys.as_ref().ok_or("there are no secrets: nothing is sealed here")?;
        let found = keys.secret((project, None), name).map_err(|error| format!("the secret `{project}/{name}`: {error}"))?;
        found.map(|(secret, _)| secret).ok_or_else(|| format!("there is no secret `{name}` in the project `{project}`"))
    }
}

impl Buckets for Stores {
    fn of(&self, site: &str) -> io::Result<Option<Bucket>> {
        let Some(spec) = self.sites.bucket(site) else { return Ok(None) };
        let away = |why: String| Away { site: site.to_owned(), url: spec.url.clone(), why };
        let secret = self.secret(&spec).map_err(away)?;
        let mut known = self.known.lock();
        if let Some(known) = known.get(site).filter(|known| known.spec == spec && known.secret.expose() == secret.expose()) {
            return Ok(Some(known.bucket.clone()));
        }
        let bucket = Bucket::new(site, &spec, secret.expose()).ok_or_else(|| away("its address is none of a bucket".into()))?;
        known.insert(site.to_owned(), Known { spec, secret, bucket: bucket.clone() });
        Ok(Some(bucket))
    }
}

/// The failure of an attempt that could not use the store of its site: that of a site that is down.
pub(super) fn is_away(why: String) -> Failure {
    Failure { code: Some(Away::CODE.into()), ..Failure::new(FailureClass::SiteDown, why) }
}

/// A program whose last word from the store of its site was that it cannot be used is not to blame when it fails.
pub(super) fn without_store(away: Option<String>, failure: Failure) -> Failure {
    match away {
        Some(why) if !failure.class.is_system() => {
            Failure { exit_code: failure.exit_code, ..is_away(format!("{why}; the task: {}", failure.message())) }
        }
        _ => failure,
    }
}

impl Flyte {
    /// What Flyte programs need, with the stores of sites.
    pub(crate) fn of_sites(data: &Path, sites: &Sites, keys: Option<&Keyring>, reader: &journal::Reader) -> io::Result<Flyte> {
        let stores = Stores { sites: sites.clone(), keys: keys.cloned(), known: Mutex::default() };
        Flyte::open(data, sites.code().clone(), Flyte::seals(keys, reader), Some(Arc::new(stores)))
    }

    /// An attempt asked for something that lies in the store of its site: why that could not be used, or none when it could.
    pub fn note_store(&self, key: AttemptKey, away: Option<&Away>) {
        if let Some(open) = self.inner.attempts.lock().get_mut(&key) {
            open.away = away.map(ToString::to_string);
        }
    }
}

impl ControlPlane {
    /// Has removed from stores what is to be removed there, for as long as the server lives: one that did not answer is asked again.
    pub(super) async fn clear_stores(self) {
        let mut told = None;
        loop {
            let objects = self.flyte().objects().clone();
            match tokio::task::spawn_blocking(move || objects.pay()).await.map_err(io::Error::other).flatten() {
                Ok((_, None)) => told = None,
                Ok((left, Some(away))) => {
                    if told.as_ref() != Some(&away) {
                        tracing::warn!(left, %away, "what is to be removed from the store of a site is still there");
                    }
                    told = Some(away);
                }
                Err(error) => tracing::error!(%error, "what is to be removed from the stores of sites cannot be read"),
            }
            tokio::time::sleep(CLEAR_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_use_the_store_is_not_to_blame_unless_the_platform_is_anyway() {
        let own = Failure { code: Some("OSError".into()), ..Failure::new(FailureClass::User, "no") };
        assert_eq!(without_store(None, own.clone()), own);
        let away = without_store(Some("E0041: away".into()), own);
        assert_eq!((away.class, away.code.as_deref()), (FailureClass::SiteDown, Some("E0041")));
        assert_eq!(away.message(), "E0041: away; the task: no");
        let lost = Failure::new(FailureClass::NodeLost, "gone");
        assert_eq!(without_store(Some("E0041: away".into()), lost.clone()), lost);
    }
}

//! The sweep of the stores of sites: artifacts that nothing refers to any more go, in two steps a day apart (`artifacts::sweep`).
//!
//! What is wanted is everything that a value still names: inputs and outputs of runs that were not pruned, results kept under keys, documents,
//! the files of workflows. What cannot be read might name something, and ends the sweep before it has begun.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, SystemTime};

use artifacts::{Sweeping, Swept};
use keyring::Holder;
use model::Digest;

use crate::{ControlPlane, Fault};

/// How long a file is left alone after it was stored, and after it was set aside. An attempt that stores and does not report, an upload that
/// no run was started with, a transfer: all are over by then, or ask for what they stored again.
const GRACE: Duration = Duration::from_secs(24 * 3_600);
/// The first sweep after a start, and the pause between sweeps.
const PAUSES: (Duration, Duration) = (Duration::from_secs(15 * 60), Duration::from_secs(6 * 3_600));
/// Files between two breaths, and how long a breath is: others want the disk too.
const BREATH: (u32, Duration) = (500, Duration::from_millis(20));

impl ControlPlane {
    /// Sweeps the stores of all sites, or counts what a sweep would do.
    pub async fn sweep_artifacts(&self, dry_run: bool) -> Result<Swept, Fault> {
        self.sweep_older(GRACE, dry_run).await
    }

    /// The same for what has been unwanted for another time: of use to tests alone.
    #[doc(hidden)]
    pub async fn sweep_older(&self, grace: Duration, dry_run: bool) -> Result<Swept, Fault> {
        // One after the other: two would count each other's work.
        let _turn = self.sweeping().lock().await;
        let this = self.clone();
        let swept = tokio::task::spawn_blocking(move || this.sweep_stores(grace, dry_run));
        let swept = swept.await.map_err(Fault::internal)??;
        if !dry_run {
            self.notices().meters().swept(swept);
        }
        Ok(swept)
    }

    fn sweep_stores(&self, grace: Duration, dry_run: bool) -> Result<Swept, Fault> {
        let wanted = self.reader().references(&mut breathe).map_err(Fault::internal)?;
        let mut all = Swept::default();
        let mut gone = BTreeSet::new();
        for site in self.sites().names() {
            let Some(store) = self.sites().store(&site) else { continue };
            let mut looked = 0;
            let mut step = || {
                looked += 1;
                if looked % BREATH.0 == 0 {
                    breathe();
                }
                // A server that stops does not wait for a large store.
                if self.is_stopping() { Err(io::Error::other("the server stops")) } else { Ok(()) }
            };
            let sweeping = Sweeping {
                wanted: &wanted,
                grace,
                now: SystemTime::now(),
                dry_run,
                step: &mut step,
                removed: &mut |digest| gone.extend([digest]),
            };
            let swept = store.sweep(sweeping).map_err(Fault::internal)?;
            if !dry_run && swept != Swept::default() {
                let Swept { set_aside, restored, removed, bytes } = swept;
                tracing::info!(%site, set_aside, restored, removed, bytes, "artifacts that nothing refers to were swept");
            }
            all = all.plus(swept);
        }
        self.let_go_of(&gone)?;
        Ok(all)
    }

    /// What was brought for runs, was taken by none, and lies nowhere any more is held no longer, and its key goes: a copy of the store that somebody made
    /// stays unreadable too.
    fn let_go_of(&self, gone: &BTreeSet<Digest>) -> Result<(), Fault> {
        let Some(keys) = self.keys().filter(|_| !gone.is_empty()) else { return Ok(()) };
        // Nobody stores any of it meanwhile.
        let _erasing = keys.erasing();
        let stores: Vec<_> = self.sites().names().iter().filter_map(|site| self.sites().store(site)).collect();
        let nowhere: Vec<Digest> =
            gone.iter().filter(|digest| !stores.iter().any(|store| store.has_any(digest))).copied().collect();
        keys.let_go(&nowhere, Holder::Unclaimed).map_err(|error| crate::keys::fault(&error))?;
        Ok(())
    }

    /// Sweeps now and then, for as long as the server runs.
    pub(crate) async fn sweep_now_and_then(self) {
        tokio::time::sleep(PAUSES.0).await;
        loop {
            if let Err(error) = self.sweep_artifacts(false).await {
                tracing::error!(%error, "the stores of artifacts could not be swept");
            }
            let objects = self.flyte().objects().clone();
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || objects.sweep(GRACE)).await {
                tracing::error!(%error, "uploads that nobody goes on with could not be removed");
            }
            tokio::time::sleep(PAUSES.1).await;
        }
    }
}

/// Lets others have the disk for a moment. On a thread that may wait.
fn breathe() {
    tokio::runtime::Handle::current().block_on(tokio::time::sleep(BREATH.1));
}

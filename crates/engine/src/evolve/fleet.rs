//! Facts about sites.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{ActionKey, Resources};

use crate::State;
use crate::event::{PoolSized, SiteHealthChanged, SiteRegistered};
use crate::fleet::{Fleet, Site};

pub(super) fn registered(state: &mut State, event: &SiteRegistered) {
    let spec = Arc::new(event.site.clone());
    match state.fleet.sites.get_mut(&spec.name) {
        Some(site) => site.spec = spec,
        None => {
            let site = Site {
                used: Resources::default(),
                running: BTreeSet::new(),
                cordoned: false,
                drained: false,
                healthy: true,
                reason: String::new(),
                pool: None,
                spec: spec.clone(),
            };
            state.fleet.sites.insert(spec.name.clone(), site);
        }
    }
    state.passing.room = true;
}

pub(super) fn removed(state: &mut State, name: &str) {
    state.fleet.sites.remove(name);
}

pub(super) fn cordon(state: &mut State, name: &str, cordoned: bool, drained: bool) {
    if let Some(site) = state.fleet.sites.get_mut(name) {
        site.cordoned = cordoned;
        site.drained = drained;
        state.passing.room |= !cordoned;
    }
}

pub(super) fn health(state: &mut State, event: &SiteHealthChanged) {
    if let Some(site) = state.fleet.sites.get_mut(&event.site) {
        site.healthy = event.healthy;
        site.reason = event.reason.clone();
        state.passing.room |= event.healthy;
    }
}

pub(super) fn pool(state: &mut State, event: &PoolSized) {
    if let Some(site) = state.fleet.sites.get_mut(&event.site) {
        site.pool = Some(Arc::new(event.clone())).filter(|pool| pool.pieces > 0);
    }
}

/// Takes a place at a site for an action, and capacity when it `holds` some from the beginning.
pub(super) fn reserve(fleet: &mut Fleet, site: &str, key: ActionKey, needs: &Resources, holds: bool) {
    if let Some(site) = fleet.sites.get_mut(site)
        && site.running.insert(key)
        && holds
    {
        site.used = site.used.plus(needs);
    }
}

/// Gives it back, with the capacity that it `holds`.
pub(super) fn release(fleet: &mut Fleet, site: &str, key: ActionKey, needs: &Resources, holds: bool) {
    if let Some(site) = fleet.sites.get_mut(site)
        && site.running.remove(&key)
        && holds
    {
        site.used = site.used.minus(needs);
    }
}

/// Lets others use the capacity of an action that waits and stays where it is.
pub(super) fn lend(fleet: &mut Fleet, site: &str, needs: &Resources) {
    if let Some(site) = fleet.sites.get_mut(site) {
        site.used = site.used.minus(needs);
    }
}

/// Takes it back, whether or not there is room: it goes on at once.
pub(super) fn take_back(fleet: &mut Fleet, site: &str, needs: &Resources) {
    if let Some(site) = fleet.sites.get_mut(site) {
        site.used = site.used.plus(needs);
    }
}

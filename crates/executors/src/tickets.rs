//! Tickets at both ends: who signs orders, and the check at a site before anything begins.
//!
//! The control plane has the [`Authority`], a site its public half and a memory of what was used. A ticket is refused when it was not
//! signed by that key, is for another order or another site, has expired, or was used before. Finding again what runs needs a ticket too, but
//! uses none up: nothing begins.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use model::limits::{TICKET_SECONDS_MAX, TICKETS_REMEMBERED_MAX};
use model::{Digest, Duration, SignedTicket, Ticket, Timestamp};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::{AttemptSpec, SubmitError};

/// How long a ticket is good for.
pub const LIFETIME: Duration = Duration::from_secs(TICKET_SECONDS_MAX);
/// How far the clocks of the two ends may be apart.
const SKEW: Duration = Duration::from_secs(10);
/// Used tickets, over restarts: a digest and the time of expiry each.
const USED: &str = "tickets";
const ENTRY_BYTES: usize = 40;

/// The public half of the key that signs tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketKey(pub [u8; 32]);

impl TicketKey {
    /// Whether a ticket was signed by the other half of this key, as it is.
    pub fn signed(&self, signed: &SignedTicket) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(&signed.ticket.signed_bytes(), &signed.signature).is_ok()
    }
}

/// Signs tickets.
pub struct Authority {
    pair: Ed25519KeyPair,
    key: TicketKey,
}

impl Authority {
    /// The authority of a seed, which is 32 random bytes. None when they are no seed.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Authority> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = TicketKey(pair.public_key().as_ref().try_into().ok()?);
        Some(Authority { pair, key })
    }

    /// What sites are told of it.
    pub fn key(&self) -> TicketKey {
        self.key
    }

    /// Signs a ticket.
    pub fn sign(&self, ticket: Ticket) -> SignedTicket {
        let signature = self.pair.sign(&ticket.signed_bytes()).as_ref().to_vec();
        SignedTicket { ticket, signature }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authority").field(&self.key).finish()
    }
}

/// Why a ticket was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Nobody whom the site trusts signed it as it is.
    #[error("its signature is not that of the control plane")]
    Forged,
    /// It is good, and for something else.
    #[error("it is for another {0}")]
    Mismatch(&'static str),
    /// Its time has passed, or it claims more of it than a ticket may have.
    #[error("it expired, or is good for longer than a ticket may be")]
    Expired,
    /// An attempt was begun with it, and is gone.
    #[error("it was used before")]
    Replayed,
}

impl TicketError {
    /// The code, which has a page.
    pub fn code(&self) -> &'static str {
        match self {
            TicketError::Forged => "E0030",
            TicketError::Mismatch(_) => "E0031",
            TicketError::Expired => "E0032",
            TicketError::Replayed => "E0033",
        }
    }
}

/// What a ticket is for, beside the attempt and the epoch.
pub fn task_digest(spec: &AttemptSpec) -> Digest {
    // In one order, and with every field: a value that cannot be written as JSON cannot be ordered.
    let said = (
        (&spec.kind, &spec.input, &spec.outputs, &spec.host),
        (&spec.resources, &spec.timeout),
        (&spec.environment, &spec.idempotency_key, &spec.shown, &spec.writable, spec.unboxed),
    );
    Digest::of_parts(&[b"tutti/task/1\n", &serde_json::to_vec(&said).unwrap_or_default()])
}

/// The check at a site.
#[derive(Debug)]
pub(crate) struct Gate {
    key: TicketKey,
    site: String,
    used: Used,
}

/// The memory of used tickets: of those that could still be used.
#[derive(Debug)]
struct Used {
    path: PathBuf,
    file: Option<File>,
    known: BTreeMap<Digest, Timestamp>,
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

impl Gate {
    /// The check at a site, with what it remembers in its folder.
    pub(crate) fn open(key: TicketKey, site: &str, folder: &Path) -> Gate {
        Gate { key, site: site.to_owned(), used: Used::open(folder.join(USED), now()) }
    }

    /// Whether the ticket is the control plane's, and for this order.
    pub(crate) fn check(&self, spec: &AttemptSpec, signed: &SignedTicket) -> Result<(), TicketError> {
        self.check_at(spec, signed, now())
    }

    fn check_at(&self, spec: &AttemptSpec, signed: &SignedTicket, now: Timestamp) -> Result<(), TicketError> {
        let key = UnparsedPublicKey::new(&ED25519, self.key.0);
        let ticket = &signed.ticket;
        key.verify(&ticket.signed_bytes(), &signed.signature).map_err(|_| TicketError::Forged)?;
        if let Some(other) = ticket.mismatch(spec.key, spec.epoch, &self.site, task_digest(spec)) {
            return Err(TicketError::Mismatch(other));
        }
        if ticket.is_out_of_time(now, Duration(LIFETIME.0 + SKEW.0)) {
            return Err(TicketError::Expired);
        }
        Ok(())
    }

    /// Uses the ticket up: something begins with it.
    pub(crate) fn consume(&mut self, signed: &SignedTicket) -> Result<(), SubmitError> {
        self.used.add(Digest::of(&signed.ticket.signed_bytes()), signed.ticket.expires, now())
    }
}

impl Used {
    fn open(path: PathBuf, now: Timestamp) -> Used {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let mut known = BTreeMap::new();
        // A last entry that was not written whole is of an attempt that did not begin.
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            let (digest, expires) = entry.split_at(32);
            if let (Ok(digest), Ok(expires)) = (digest.try_into(), expires.try_into()) {
                known.insert(Digest(digest), Timestamp(u64::from_be_bytes(expires)));
            }
        }
        let mut used = Used { path, file: None, known };
        used.forget(now);
        used
    }

    /// Forgets what has expired, and writes the rest anew.
    fn forget(&mut self, now: Timestamp) {
        self.known.retain(|_, expires| expires.after(SKEW) >= now);
        self.file = None;
        let bytes: Vec<u8> = self.known.iter().flat_map(|(digest, expires)| entry(digest, *expires)).collect();
        let beside = self.path.with_extension("new");
        // What cannot be written anew now is appended to, or refused, when the next is used.
        let _ = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, &self.path));
    }

    fn add(&mut self, digest: Digest, expires: Timestamp, now: Timestamp) -> Result<(), SubmitError> {
        if self.known.contains_key(&digest) {
            return Err(SubmitError::Ticket(TicketError::Replayed));
        }
        if self.known.len() >= TICKETS_REMEMBERED_MAX || self.known.len() >= 4_096 && self.oldest_has_expired(now) {
            self.forget(now);
        }
        if self.known.len() >= TICKETS_REMEMBERED_MAX {
            return Err(SubmitError::Capacity("it remembers as many tickets as it can".into()));
        }
        // Not synced: a power cut may forget the last seconds, and the tickets of then expire in a minute.
        match self.append(&entry(&digest, expires)) {
            // Nothing will begin on a full disk either, and that is said in words of its own.
            Err(error) if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Err(SubmitError::Capacity(format!("the ticket could not be noted: {error}")));
            }
            _ => {}
        }
        self.known.insert(digest, expires);
        Ok(())
    }

    fn oldest_has_expired(&self, now: Timestamp) -> bool {
        // As many as half of them: writing all anew is worth it then.
        self.known.values().filter(|expires| expires.after(SKEW) < now).count() * 2 > self.known.len()
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(OpenOptions::new().append(true).create(true).open(&self.path)?),
        };
        file.write_all(bytes)
    }
}

fn entry(digest: &Digest, expires: Timestamp) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..32].copy_from_slice(&digest.0);
    entry[32..].copy_from_slice(&expires.0.to_be_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{SITE, authority, fresh_key, script, ticket};

    fn gate(folder: &Path) -> Gate {
        Gate::open(authority().key(), SITE, folder)
    }

    #[test]
    fn only_what_was_signed_as_it_is_passes() {
        let folder = tempfile::tempdir().unwrap();
        let gate = gate(folder.path());
        let spec = script(fresh_key(), 1, folder.path(), "true");
        let good = ticket(&spec);
        assert_eq!(gate.check(&spec, &good), Ok(()));
        let mut wider = good.clone();
        wider.ticket.egress.insert("example.com".parse().unwrap());
        assert_eq!(gate.check(&spec, &wider), Err(TicketError::Forged));
        let mut unsigned = good.clone();
        unsigned.signature = Vec::new();
        assert_eq!(gate.check(&spec, &unsigned), Err(TicketError::Forged));
        let other = Authority::from_seed(&[9; 32]).unwrap().sign(good.ticket.clone());
        assert_eq!(gate.check(&spec, &other), Err(TicketError::Forged));
        let mut changed = spec.clone();
        changed.input["script"] = "cat /etc/passwd".into();
        assert_eq!(gate.check(&changed, &good), Err(TicketError::Mismatch("task")));
        let elsewhere = Gate { site: "there".into(), ..self::gate(folder.path()) };
        assert_eq!(elsewhere.check(&spec, &good), Err(TicketError::Mismatch("site")));
        let expires = good.ticket.expires;
        assert_eq!(gate.check_at(&spec, &good, expires.after(Duration(1))), Err(TicketError::Expired));
        assert_eq!(gate.check_at(&spec, &good, expires), Ok(()));
    }

    #[test]
    fn a_ticket_is_used_once_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let spec = script(fresh_key(), 1, folder.path(), "true");
        let good = ticket(&spec);
        let mut first = gate(folder.path());
        assert_eq!(first.consume(&good), Ok(()));
        let replayed = Err(SubmitError::Ticket(TicketError::Replayed));
        assert_eq!(first.consume(&good), replayed);
        drop(first);
        assert_eq!(gate(folder.path()).consume(&good), replayed);
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(USED);
        let mut used = Used::open(path.clone(), Timestamp(0));
        for number in 0..10_u8 {
            used.add(Digest::of(&[number]), Timestamp(u64::from(number)), Timestamp(0)).unwrap();
        }
        drop(used);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 10 * ENTRY_BYTES as u64);
        let left = Used::open(path.clone(), Timestamp(5).after(SKEW));
        assert_eq!(left.known.len(), 5);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 5 * ENTRY_BYTES as u64);
    }
}

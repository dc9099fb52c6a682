//! Bent tickets, records and notes: what a process or a rotten disk can put where the executor reads. Never a panic, nothing that was changed is
//! taken for good, and nothing larger than it may be is read.
//!
//! Everything comes from a seed: `TUTTI_FUZZ_SEED=7`; `TUTTI_FUZZ_ROUNDS=1000000` goes on for longer.

use std::path::Path;

use model::{Epoch, Failure, FailureClass, SignedTicket};

use crate::contract::{SITE, authority, fresh_key, script, ticket};
use crate::record::{CompletionRecord, boot};
use crate::tickets::{Gate, TicketError};

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

struct Random(u64);

impl Random {
    fn new() -> Random {
        let seed = setting("TUTTI_FUZZ_SEED", 20_261_126);
        println!("TUTTI_FUZZ_SEED={seed}");
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Bytes with a few of them changed, left out, doubled or put in, or noise.
    fn bend(&mut self, good: &[u8]) -> Vec<u8> {
        if self.below(20) == 0 {
            return (0..self.below(300)).map(|_| self.next() as u8).collect();
        }
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(4) {
            let (at, byte) = (self.below(bytes.len()), self.next() as u8);
            match self.below(6) {
                _ if bytes.is_empty() => bytes.push(byte),
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                3 => drop(bytes.remove(at)),
                4 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }
}

#[test]
fn a_bent_ticket_is_refused_or_says_what_was_signed() {
    let (folder, mut random) = (tempfile::tempdir().unwrap(), Random::new());
    let gate = Gate::open(authority().key(), SITE, folder.path());
    let spec = script(fresh_key(), 1, folder.path(), "true");
    let mut good = ticket(&spec);
    assert_eq!(gate.check(&spec, &good), Ok(()));
    // A richer one, so that there is more to bend. What is signed alone is what counts.
    good = {
        let mut ticket = good.ticket;
        ticket.label.0.insert("phi".into());
        ticket.secrets.insert("db".into());
        ticket.egress.insert("*.example.com:8443".parse().unwrap());
        authority().sign(ticket)
    };
    assert_eq!(gate.check(&spec, &good), Ok(()));
    let (cbor, json) = (minicbor::to_vec(&good).unwrap(), serde_json::to_vec(&good).unwrap());
    let (mut read, mut refused) = (0, 0);
    for _ in 0..setting("TUTTI_FUZZ_ROUNDS", 4_000) {
        let bent: [Option<SignedTicket>; 2] =
            [minicbor::decode(&random.bend(&cbor)).ok(), serde_json::from_slice(&random.bend(&json)).ok()];
        for bent in bent.into_iter().flatten() {
            read += 1;
            match gate.check(&spec, &bent) {
                Ok(()) => assert_eq!(bent, good, "what passes is what was signed"),
                Err(error) => {
                    assert_eq!(error, TicketError::Forged, "{bent:?}");
                    refused += 1;
                }
            }
        }
    }
    assert!(read > 100 && refused > 50, "{read} were read, {refused} refused: nothing was tried");
}

#[test]
fn a_bent_memory_of_tickets_is_read_as_far_as_it_goes() {
    let (folder, mut random) = (tempfile::tempdir().unwrap(), Random::new());
    let spec = script(fresh_key(), 1, folder.path(), "true");
    Gate::open(authority().key(), SITE, folder.path()).consume(&ticket(&spec)).unwrap();
    let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&path).unwrap();
    for _ in 0..setting("TUTTI_FUZZ_ROUNDS", 300) {
        std::fs::write(&path, random.bend(&good)).unwrap();
        let mut gate = Gate::open(authority().key(), SITE, folder.path());
        // One that was not used: it is taken whatever the file says.
        let fresh = script(fresh_key(), 1, folder.path(), "true");
        assert_eq!(gate.consume(&ticket(&fresh)), Ok(()));
    }
}

fn record() -> CompletionRecord {
    CompletionRecord {
        attempt: "tutti-1-2-3".parse().unwrap(),
        epoch: Epoch(7),
        failure: Some(Failure { exit_code: Some(3), ..Failure::new(FailureClass::User, "it exited with 3 \u{2603}") }),
        stopped: true,
        usage: engine::event::Usage { wall_us: 1_500, cpu_us: 900, memory_peak_bytes: 1 << 20, bytes_in: 1, bytes_out: 2 },
        unenforced: vec!["memory".into()],
        boot: boot(),
    }
}

fn read(folder: &Path, bytes: &[u8]) -> Option<CompletionRecord> {
    std::fs::write(folder.join(crate::record::FILE), bytes).unwrap();
    CompletionRecord::read(folder)
}

#[test]
fn a_bent_record_is_no_record_or_a_whole_one() {
    let (folder, mut random) = (tempfile::tempdir().unwrap(), Random::new());
    let good = serde_json::to_vec(&record()).unwrap();
    assert_eq!(read(folder.path(), &good), Some(record()));
    let (mut none, mut some) = (0, 0);
    for _ in 0..setting("TUTTI_FUZZ_ROUNDS", 2_000) {
        match read(folder.path(), &random.bend(&good)) {
            None => none += 1,
            // What was read can be written and says the same.
            Some(found) => {
                some += 1;
                assert_eq!(read(folder.path(), &serde_json::to_vec(&found).unwrap()), Some(found));
            }
        }
    }
    assert!(none > 100 && some > 10, "{none} were none, {some} some: nothing was tried");
    // Deeper than anybody writes, and larger.
    assert_eq!(read(folder.path(), &b"[".repeat(100_000)), None);
    assert_eq!(read(folder.path(), &b" ".repeat(64 << 20)), None);
}

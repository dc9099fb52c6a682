//! What `v10.journal` says: tickets as sites got them, and an incarnation with the key that signs them.

use std::collections::{BTreeMap, BTreeSet};

use engine::Event;
use engine::event::*;
use model::{ActionNo, AttemptKey, AttemptNo, Digest, EgressGrant, Epoch, Label, RunId, SignedTicket, Ticket, Timestamp};

pub(crate) fn events() -> Vec<Event> {
    let ticket = Ticket {
        attempt: AttemptKey { run: RunId(7), action: ActionNo(3), attempt: AttemptNo(2) },
        epoch: Epoch(5),
        site: "onprem".into(),
        task: Digest([9; 32]),
        label: Label::of(["pii"]),
        secrets: BTreeSet::from(["bank-token".to_owned()]),
        egress: BTreeSet::from([EgressGrant { host: "api.bank.example".into(), port: 443, bytes_max: 1 << 20 }]),
        expires: Timestamp(1_700_000_060_000_000),
    };
    vec![
        Event::EpochBegan(EpochBegan { epoch: Epoch(5), version: "0.2.0".into(), ticket_key: Some(Digest([3; 32])) }),
        Event::TicketIssued(Box::new(TicketIssued { run: RunId(7), ticket: SignedTicket { ticket, signature: vec![1; 64] } })),
        Event::EgressDecided(Box::new(EgressDecided {
            run: RunId(7),
            action: ActionNo(3),
            attempt: AttemptNo(2),
            site: "onprem".into(),
            permitted: BTreeSet::from([EgressGrant { host: "api.bank.example".into(), port: 443, bytes_max: 1 << 20 }]),
            refused: BTreeMap::from([("*.example.com:443".to_owned(), "policy `net/closed`".to_owned())]),
        })),
    ]
}

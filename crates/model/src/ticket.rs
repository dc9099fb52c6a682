//! Tickets: what the control plane signs for a site, so that the site begins nothing that was not ordered for it.
//!
//! A ticket says which attempt may begin, where, on which data, with which secrets, and what it may reach. The site compares all of that
//! with the order that it was handed, before anything starts. Here are the words and the bytes that are signed; keys and clocks are of the
//! shell.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::{AttemptKey, Digest, Duration, Epoch, Label, SiteName, Timestamp};

/// What stands before a ticket's bytes when they are signed: nothing else that is signed with any key begins with it.
const CONTEXT: &[u8] = b"tutti/ticket/1\n";

/// An order in the words of whoever gave it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode)]
pub struct Ticket {
    /// The attempt: run, action, number.
    #[n(0)]
    pub attempt: AttemptKey,
    /// The incarnation of the control plane that gives the order.
    #[n(1)]
    pub epoch: Epoch,
    /// The site that may carry it out, and no other.
    #[n(2)]
    pub site: SiteName,
    /// The digest of everything else that the order says: what runs, with which input, in which environment.
    #[n(3)]
    pub task: Digest,
    /// The label of what the attempt reads.
    #[n(4)]
    pub label: Label,
    /// The secrets that it is given, by reference.
    #[n(5)]
    pub secrets: BTreeSet<String>,
    /// What it may reach over the network. Nothing when there is none.
    #[n(6)]
    pub egress: BTreeSet<EgressGrant>,
    /// Until when it may begin.
    #[n(7)]
    pub expires: Timestamp,
}

/// A ticket with its signature.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode)]
pub struct SignedTicket {
    /// What it says.
    #[n(0)]
    pub ticket: Ticket,
    /// An Ed25519 signature over [`Ticket::signed_bytes`].
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Vec<u8>,
}

/// A place in the network that an attempt may reach.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, minicbor::Encode, minicbor::Decode,
)]
pub struct EgressGrant {
    /// A host's name or address; `*.example.com` stands for every name below it.
    #[n(0)]
    pub host: String,
    /// The port.
    #[n(1)]
    pub port: u16,
    /// Bytes that may be sent there, and that may be received from there, each.
    #[n(2)]
    pub bytes_max: u64,
}

/// Bytes of a grant that names none: 1 GiB either way.
pub const EGRESS_BYTES: u64 = 1 << 30;
/// The port of a grant that names none.
const HTTPS: u16 = 443;
/// What stands for the shared folder of a site. It has no port: no text of a grant means it.
const SHARED_FOLDER: &str = "shared-folder";

/// Whether a host is this machine itself.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Addresses that are only reached where a grant names them: of this machine, of the services of its cloud, of everybody.
fn is_special(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local
}

impl Ticket {
    /// The bytes that are signed: the same for equal tickets, different for different ones.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        // Writing to a vector cannot fail.
        let _ = minicbor::encode(self, &mut bytes);
        bytes
    }

    /// Why the ticket is not for this order at this site; none when it is.
    pub fn mismatch(&self, attempt: AttemptKey, epoch: Epoch, site: &str, task: Digest) -> Option<&'static str> {
        if self.site != site {
            return Some("site");
        }
        if self.attempt != attempt {
            return Some("attempt");
        }
        if self.epoch != epoch {
            return Some("epoch");
        }
        (self.task != task).then_some("task")
    }

    /// Whether the time to begin has passed, or lies further ahead than a ticket may be good for.
    pub fn is_out_of_time(&self, now: Timestamp, lifetime_max: Duration) -> bool {
        now > self.expires || self.expires > now.after(lifetime_max)
    }
}

impl EgressGrant {
    /// One place, as somebody asks for it.
    pub fn place(host: &str, port: u16) -> EgressGrant {
        EgressGrant { host: host.trim_end_matches('.').to_ascii_lowercase(), port, bytes_max: EGRESS_BYTES }
    }

    /// The shared folder of a site: no place in the network, and a way out all the same, since nothing is known of who reads there.
    pub fn shared_folder() -> EgressGrant {
        EgressGrant { host: SHARED_FOLDER.into(), port: 0, bytes_max: u64::MAX }
    }

    /// Whether it stands for the shared folder of a site.
    pub fn is_shared_folder(&self) -> bool {
        self.port == 0 && self.host == SHARED_FOLDER
    }

    /// The way that is shown so: what a grant is parsed from, or the shared folder.
    pub fn shown_as(text: &str) -> Option<EgressGrant> {
        if text == Self::shared_folder().to_string() { Some(Self::shared_folder()) } else { text.parse().ok() }
    }

    /// Whether a connection to it may end at an address. Whoever answers for a name must not open this machine or the services of its cloud.
    pub fn opens(&self, address: IpAddr) -> bool {
        is_loopback(&self.host)
            || self.host.parse::<IpAddr>().is_ok_and(|granted| granted == address.to_canonical() || granted == address)
            || !is_special(address)
    }

    /// Whether it is an address that is only reached where a site names it. This machine is not among them: it names itself.
    pub fn is_for_the_named(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|address| is_special(address) && !address.to_canonical().is_loopback())
    }

    /// Whether it covers a place. Names of hosts know no case.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        if self.port != port {
            return false;
        }
        let (granted, host) = (self.host.to_ascii_lowercase(), host.trim_end_matches('.').to_ascii_lowercase());
        match granted.strip_prefix('*') {
            // `*.example.com`: something stands before the dot.
            Some(below) => host.len() > below.len() && host.ends_with(below) && !host.starts_with('.'),
            None => granted == host,
        }
    }
}

/// A text that grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a place in the network (`HOST` or `HOST:PORT`, `*.` before a domain for all below it)")]
pub struct NotAGrant(pub String);

impl FromStr for EgressGrant {
    type Err = NotAGrant;

    fn from_str(text: &str) -> Result<EgressGrant, NotAGrant> {
        let bad = || NotAGrant(text.chars().take(80).collect());
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, "")) => (address, HTTPS),
            Some((address, rest)) => (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(bad)?),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
                None => (text, HTTPS),
            },
        };
        let name = host.strip_prefix("*.").unwrap_or(host);
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let is_address = text.starts_with('[') && name.parse::<std::net::Ipv6Addr>().is_ok();
        let is_name = !text.starts_with('[') && is_name(name) && !name.starts_with('.');
        let is_well = !name.is_empty() && name.len() <= 253 && (is_address || is_name);
        if !is_well || port == 0 {
            return Err(bad());
        }
        Ok(EgressGrant { host: host.to_ascii_lowercase(), port, bytes_max: EGRESS_BYTES })
    }
}

impl fmt::Display for EgressGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_shared_folder() {
            return write!(f, "{SHARED_FOLDER}:0");
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActionNo, AttemptNo, RunId};

    fn ticket() -> Ticket {
        Ticket {
            attempt: AttemptKey { run: RunId(7), action: ActionNo(1), attempt: AttemptNo(2) },
            epoch: Epoch(3),
            site: "here".into(),
            task: Digest::of(b"task"),
            label: Label::of(["pii"]),
            secrets: BTreeSet::new(),
            egress: BTreeSet::from(["example.com".parse().unwrap()]),
            expires: Timestamp(100),
        }
    }

    #[test]
    fn every_field_is_signed() {
        let bytes = ticket().signed_bytes();
        assert_eq!(bytes, ticket().signed_bytes());
        assert!(bytes.starts_with(CONTEXT));
        let changed = |change: &dyn Fn(&mut Ticket)| {
            let mut other = ticket();
            change(&mut other);
            other.signed_bytes() != bytes
        };
        assert!(changed(&|t| t.attempt.attempt = AttemptNo(3)));
        assert!(changed(&|t| t.epoch = Epoch(4)));
        assert!(changed(&|t| t.site = "there".into()));
        assert!(changed(&|t| t.task = Digest::of(b"other")));
        assert!(changed(&|t| t.label = Label::empty()));
        assert!(changed(&|t| t.secrets = BTreeSet::from(["secret://a".into()])));
        assert!(changed(&|t| t.egress.clear()));
        assert!(changed(&|t| t.expires = Timestamp(101)));
    }

    #[test]
    fn a_ticket_is_for_one_order_and_a_short_time() {
        let (ticket, life) = (ticket(), Duration(60));
        let fits = |key, epoch, site: &str, task: &[u8]| ticket.mismatch(key, epoch, site, Digest::of(task));
        assert_eq!(fits(ticket.attempt, Epoch(3), "here", b"task"), None);
        assert_eq!(fits(ticket.attempt, Epoch(3), "there", b"task"), Some("site"));
        assert_eq!(fits(ticket.attempt, Epoch(2), "here", b"task"), Some("epoch"));
        assert_eq!(fits(ticket.attempt, Epoch(3), "here", b"other"), Some("task"));
        let other = AttemptKey { attempt: AttemptNo(9), ..ticket.attempt };
        assert_eq!(fits(other, Epoch(3), "here", b"task"), Some("attempt"));
        assert!(!ticket.is_out_of_time(Timestamp(40), life) && !ticket.is_out_of_time(Timestamp(100), life));
        assert!(ticket.is_out_of_time(Timestamp(101), life), "it has passed");
        assert!(ticket.is_out_of_time(Timestamp(39), life), "nobody may have signed for so far ahead");
    }

    #[test]
    fn names_do_not_open_this_machine_and_the_folder_is_no_text() {
        let named: EgressGrant = "example.com".parse().unwrap();
        for closed in ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1", "fe80::1", "224.0.0.1"] {
            assert!(!named.opens(closed.parse().unwrap()), "{closed}");
        }
        for open in ["93.184.216.34", "10.1.2.3", "2606:2800::1"] {
            assert!(named.opens(open.parse().unwrap()), "{open}");
        }
        for (granted, at) in [("127.0.0.1:80", "127.0.0.1"), ("169.254.169.254:80", "169.254.169.254"), ("localhost:80", "::1")] {
            assert!(granted.parse::<EgressGrant>().unwrap().opens(at.parse().unwrap()), "{granted}");
        }
        assert!(
            EgressGrant::place("169.254.169.254", 80).is_for_the_named()
                && !EgressGrant::place("127.0.0.1", 80).is_for_the_named()
        );
        let folder = EgressGrant::shared_folder();
        assert_eq!(EgressGrant::shown_as(&folder.to_string()), Some(folder.clone()));
        assert!(folder.to_string().parse::<EgressGrant>().is_err() && folder.is_shared_folder());
        assert!(!"shared-folder:443".parse::<EgressGrant>().unwrap().is_shared_folder());
    }

    #[test]
    fn grants_cover_what_they_name_and_no_more() {
        let covers = |grant: &str, host: &str, port| grant.parse::<EgressGrant>().unwrap().covers(host, port);
        assert!(covers("api.example.com", "API.example.com", 443) && covers("api.example.com", "api.example.com.", 443));
        assert!(!covers("api.example.com", "example.com", 443) && !covers("api.example.com", "xapi.example.com", 443));
        assert!(!covers("example.com:80", "example.com", 443) && covers("example.com:80", "example.com", 80));
        assert!(covers("*.example.com", "a.b.example.com", 443));
        assert!(!covers("*.example.com", "example.com", 443) && !covers("*.example.com", ".example.com", 443));
        assert!(!covers("*.example.com", "evilexample.com", 443));
        assert!(covers("[::1]:7200", "::1", 7200));
        for bad in ["", ":80", "a:b", "a:0", "*.", "*", "a/b", "a b:80", "[::1", "[nothing]:1", "a:99999", "user@host:1"] {
            assert!(bad.parse::<EgressGrant>().is_err(), "{bad}");
        }
        for good in ["example.com:443", "[::1]:7200", "*.example.com:80"] {
            assert_eq!(good.parse::<EgressGrant>().unwrap().to_string(), good);
        }
    }
}

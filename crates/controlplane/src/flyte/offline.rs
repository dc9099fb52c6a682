//! What a task is told that failed because it was not let out into the network: programs that were written elsewhere expect it.

use std::collections::BTreeSet;

use engine::Outcome;
use model::site::SandboxMode;
use model::{AttemptKey, EgressGrant, FailureClass};

use super::Flyte;
use crate::Sites;

/// How libraries say that they did not get anywhere.
const SAID: [&str; 12] = [
    "Name or service not known",
    "name resolution",
    "Name does not resolve",
    "nodename nor servname",
    "getaddrinfo failed",
    "failed to lookup address",
    "dns error",
    "Connection refused",
    "Network is unreachable",
    "No route to host",
    "Tunnel connection failed: 403",
    "E0036",
];

impl Flyte {
    /// Adds what lets a task out to a failure that looks as if it was kept in. Blocks for nothing.
    pub(crate) fn explain_network(&self, key: AttemptKey, outcome: &mut Outcome, sites: &Sites) {
        let Outcome::Failed(failure) = outcome else { return };
        if failure.class != FailureClass::User || !looks_kept_in(&failure.message()) {
            return;
        }
        let site = self.inner.attempts.lock().get(&key).filter(|open| !open.is_app).map(|open| open.site.clone());
        let Some(site) = site.filter(|site| sites.sandbox_mode(site) != SandboxMode::Off) else { return };
        failure.add(&hint(&site, &sites.egress(&site)));
    }
}

fn looks_kept_in(message: &str) -> bool {
    SAID.iter().any(|words| message.contains(words))
}

fn hint(site: &str, granted: &BTreeSet<EgressGrant>) -> String {
    let granted: Vec<String> = granted.iter().map(ToString::to_string).collect();
    let so_far = if granted.is_empty() { "nothing".into() } else { granted.join(", ") };
    format!(
        "tasks at the site `{site}` reach this server and what the site grants ({so_far}); to let them reach more, apply its document with \
         `sandbox: {{egress: [\"HOST:PORT\"]}}`, see E0036"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_let_out_is_told_what_lets_it_out() {
        for said in [
            "gaierror: [Errno -3] Temporary failure in name resolution",
            "ConnectionRefusedError: [Errno 111] Connection refused",
            "ProxyError: Tunnel connection failed: 403 Forbidden",
        ] {
            assert!(looks_kept_in(said), "{said}");
        }
        assert!(!looks_kept_in("ValueError: the network of friends is empty"));
        assert!(hint("local", &BTreeSet::new()).contains("(nothing)"));
        assert!(hint("local", &["a.example".parse().unwrap()].into()).contains("(a.example:443)"));
    }
}

//! Calls of webhooks.

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::ArtifactRef;
use serde_json::Value;
use sha2::Sha256;
use workflow::documents::TriggerKind;

use super::{Asked, Firing};
use crate::clock::wall;
use crate::{ControlPlane, Fault, FaultKind};

/// Whether a webhook's signature is right: `sha256=` and the HMAC-SHA256 of `TIMESTAMP.BODY` in hexadecimal digits.
pub fn verify_signature(secret: &[u8], timestamp: &str, body: &[u8], signature: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let Some(hex) = signature.strip_prefix("sha256=").filter(|hex| hex.len() == 64 && hex.is_ascii()) else { return false };
    let bytes: Option<Vec<u8>> = (0..32).map(|index| u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).ok()).collect();
    // Compared in constant time by the library.
    bytes.is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

impl ControlPlane {
    /// A call of a webhook. None when the firing was left out.
    pub async fn webhook(
        &self,
        name: &str,
        timestamp: &str,
        body: &[u8],
        signature: &str,
    ) -> Result<Option<model::RunId>, Fault> {
        let trigger = self.triggers().get(name).filter(|trigger| !trigger.paused);
        let Some((trigger, secret_env)) = trigger.and_then(|trigger| match &trigger.on {
            TriggerKind::Webhook { secret_env } => Some((trigger.clone(), secret_env.clone())),
            _ => None,
        }) else {
            return Err(Fault::new(FaultKind::NotFound, format!("there is no webhook `{name}`")));
        };
        let secret = std::env::var(&secret_env).unwrap_or_default();
        let fresh = timestamp.parse::<u64>().is_ok_and(|seconds| (wall().0 / 1_000_000).abs_diff(seconds) <= 300);
        if secret.is_empty() || !fresh || !verify_signature(secret.as_bytes(), timestamp, body, signature) {
            return Err(Fault::new(FaultKind::Unauthenticated, "the signature of the call is missing, wrong or too old"));
        }
        let payload: Value = serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into());
        if !ArtifactRef::all_in(&payload).is_empty() {
            let fault =
                Fault::new(FaultKind::Forbidden, "a call of a webhook names no artifacts: nobody knows what the caller may see");
            return Err(fault.hint("start the run at `POST /api/v1/runs`, with a token"));
        }
        // The same call, played again while its time is still fresh, gives the run that it gave before.
        let asked = Asked { payload, call: signature.to_owned(), untagged: None };
        Ok(self.fire(Firing { trigger, due: wall(), missed: 0, asked: Some(asked) }).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_checked() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"s").unwrap();
        mac.update(b"1.body");
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(verify_signature(b"s", "1", b"body", &format!("sha256={hex}")));
        assert!(!verify_signature(b"s", "2", b"body", &format!("sha256={hex}")));
        assert!(!verify_signature(b"x", "1", b"body", &format!("sha256={hex}")));
        assert!(!verify_signature(b"s", "1", b"body", "sha256=zz") && !verify_signature(b"s", "1", b"body", ""));
    }
}

//! Who may read and write objects: links that are signed for one object and some time, and requests signed as S3 asks (Signature
//! Version 4, in the header).

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::call::to_hex;

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Equal, in a time that does not depend on where they differ.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The signature of a link: for one method, one key, until some second.
pub fn link(secret: &str, method: &str, key: &str, until: u64) -> String {
    to_hex(&hmac(secret.as_bytes(), format!("link\n{method}\n{key}\n{until}").as_bytes()))
}

/// Whether a link is good at some second.
pub fn is_good(secret: &str, method: &str, key: &str, until: u64, signature: &str, now: u64) -> bool {
    now <= until && same(&link(secret, method, key, until), signature)
}

/// The secret that belongs to an access key: nobody has to remember them.
pub fn secret_of(secret: &str, access: &str) -> String {
    to_hex(&hmac(secret.as_bytes(), format!("access\n{access}").as_bytes()))
}

/// A request as it was signed.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path as it was sent.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// Headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not signed at all, or in another way.
    #[error("the request is not signed (AWS4-HMAC-SHA256 in `Authorization`)")]
    Unsigned,
    /// The signature is of something else.
    #[error("the signature does not match the request")]
    Mismatch,
}

/// The access key of a signed request.
pub fn check(request: &Request, secret: &str) -> Result<String, Refused> {
    let authorization = request.headers.get("authorization").ok_or(Refused::Unsigned)?;
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or(Refused::Unsigned)?;
    let field = |name: &str| {
        fields.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).ok_or(Refused::Unsigned)
    };
    let (credential, signed, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let parts: Vec<&str> = credential.split('/').collect();
    let [access, date, region, service, "aws4_request"] = parts[..] else { return Err(Refused::Unsigned) };
    let time = request.headers.get("x-amz-date").ok_or(Refused::Unsigned)?;
    let mut query: Vec<(&str, &str)> =
        request.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    query.sort_unstable();
    let query: Vec<String> = query.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let payload = request.headers.get("x-amz-content-sha256").map_or("UNSIGNED-PAYLOAD", String::as_str);
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, query.join("&"));
    for name in signed.split(';') {
        let value = request.headers.get(name).ok_or(Refused::Mismatch)?;
        let value: Vec<&str> = value.split_whitespace().collect();
        canonical.push_str(&format!("{name}:{}\n", value.join(" ")));
    }
    canonical.push_str(&format!("\n{signed}\n{payload}"));
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", to_hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = format!("AWS4{}", secret_of(secret, access)).into_bytes();
    for part in [date, region, service, "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let expected = to_hex(&hmac(&key, to_sign.as_bytes()));
    if same(&expected, signature) { Ok(access.to_owned()) } else { Err(Refused::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_what_it_was_made_for() {
        let signature = link("s", "PUT", "a/b", 100);
        assert!(is_good("s", "PUT", "a/b", 100, &signature, 100));
        assert!(!is_good("s", "PUT", "a/b", 100, &signature, 101), "too late");
        assert!(!is_good("s", "GET", "a/b", 100, &signature, 1) && !is_good("s", "PUT", "a/c", 100, &signature, 1));
        assert!(!is_good("t", "PUT", "a/b", 100, &signature, 1) && !is_good("s", "PUT", "a/b", 101, &signature, 1));
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        let mut request = Request { method: "GET".into(), path: "/s3/tutti/k".into(), ..Request::default() };
        assert_eq!(check(&request, "s"), Err(Refused::Unsigned));
        request.headers.insert("authorization".into(), "Bearer x".into());
        assert_eq!(check(&request, "s"), Err(Refused::Unsigned));
        let signed = "AWS4-HMAC-SHA256 Credential=tutti/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
        request.headers.insert("authorization".into(), signed.into());
        request.headers.insert("x-amz-date".into(), "20260101T000000Z".into());
        request.headers.insert("host".into(), "localhost".into());
        assert_eq!(check(&request, "s"), Err(Refused::Mismatch));
    }
}

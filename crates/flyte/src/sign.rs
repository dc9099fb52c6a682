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

/// The token with which an attempt calls the server: its name, and what only this server can have made of it.
pub fn token_of(secret: &str, attempt: &str) -> String {
    format!("{attempt}.{}", to_hex(&hmac(secret.as_bytes(), format!("token\n{attempt}").as_bytes())))
}

/// The attempt whose token this is.
pub fn attempt_of<'t>(secret: &str, token: &'t str) -> Option<&'t str> {
    let (attempt, _) = token.split_once('.')?;
    same(&token_of(secret, attempt), token).then_some(attempt)
}

/// What stands in the address of inputs that somebody uploaded: whoever names them later is known by it.
pub fn mark_of(secret: &str, number: &str, principal: &str) -> String {
    to_hex(&hmac(secret.as_bytes(), format!("inputs\n{number}\n{principal}").as_bytes())[..16])
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
    /// It was signed too long ago, or after now.
    #[error("the request was signed at a time that is more than 15 minutes away from that of this server")]
    Skewed,
    /// It is a link whose time is over.
    #[error("the link is not good any more")]
    Expired,
}

/// How far the clock of whoever signs may be away from this one, in seconds.
const SKEW_SECONDS: u64 = 15 * 60;
/// How long a link of a client of S3 may be good, in seconds.
const PRESIGNED_SECONDS_MAX: u64 = 7 * 24 * 3_600;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What of a request says who signed it, and when.
struct Signed<'r> {
    credential: &'r str,
    headers: &'r str,
    signature: &'r str,
    /// As it is written, `20260131T235959Z`.
    time: &'r str,
    /// Seconds for which it is good, when it is a link.
    expires: Option<u64>,
}

/// A part of a query as it was meant; none when it is not text.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Seconds since 1970 of a time as it stands in signatures.
fn seconds(time: &str) -> Option<u64> {
    let digits: Vec<u8> = time.bytes().filter(u8::is_ascii_digit).collect();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "00000000T000000Z" {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.iter().try_fold(0_u64, |n, d| Some(n * 10 + u64::from(d - b'0')));
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days of the civil calendar, with years that begin in March.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// The access key of a signed request, whether it is signed in a header or in its address. `now` is in seconds since 1970.
pub fn check(request: &Request, secret: &str, now: u64) -> Result<String, Refused> {
    let pairs: Vec<(&str, &str)> =
        request.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let named = |name: &str| pairs.iter().find(|(key, _)| *key == name).and_then(|(_, value)| unescaped(value));
    let linked =
        ["Algorithm", "Credential", "SignedHeaders", "Signature", "Date", "Expires"].map(|name| named(&format!("X-Amz-{name}")));
    let signed = match (request.headers.get("authorization"), &linked) {
        (Some(authorization), _) => in_header(request, authorization)?,
        (None, [Some(algorithm), Some(credential), Some(headers), Some(signature), Some(time), Some(expires)])
            if algorithm == ALGORITHM =>
        {
            let expires = expires.parse().ok().filter(|expires| (1..=PRESIGNED_SECONDS_MAX).contains(expires));
            let expires = Some(expires.ok_or(Refused::Unsigned)?);
            Signed { credential, headers, signature, time, expires }
        }
        _ => return Err(Refused::Unsigned),
    };
    let access = matches(request, &pairs, &signed, secret)?;
    let at = seconds(signed.time).ok_or(Refused::Unsigned)?;
    match signed.expires {
        _ if at > now + SKEW_SECONDS => Err(Refused::Skewed),
        Some(expires) if now > at + expires => Err(Refused::Expired),
        None if now > at + SKEW_SECONDS => Err(Refused::Skewed),
        _ => Ok(access),
    }
}

/// A time as it stands in signatures, of seconds since 1970.
pub(crate) fn written(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0)).unwrap_or_default();
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

/// What a request to another store is signed with.
#[derive(Clone, Copy)]
pub(crate) struct Signing<'s> {
    pub(crate) access: &'s str,
    pub(crate) secret: &'s str,
    pub(crate) region: &'s str,
    /// As [`written`] has it.
    pub(crate) time: &'s str,
}

impl Signing<'_> {
    /// The header that signs a request. Its query is as it is sent, in the order of the names; `headers` are those that are signed, in the order of
    /// theirs.
    pub(crate) fn header(&self, (method, path, query): (&str, &str, &str), headers: &[(&str, &str)], payload: &str) -> String {
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let mut canonical = format!("{method}\n{path}\n{query}\n");
        headers.iter().for_each(|(name, value)| canonical.push_str(&format!("{name}:{value}\n")));
        canonical.push_str(&format!("\n{}\n{payload}", names.join(";")));
        let date = self.time.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let signature = signature(self.secret, (self.time, &scope), &canonical);
        format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}", self.access, names.join(";"))
    }
}

/// The signature that a secret makes of a request.
fn signature(secret: &str, (time, scope): (&str, &str), canonical: &str) -> String {
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", to_hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = hmac(&key, part.as_bytes());
    }
    to_hex(&hmac(&key, to_sign.as_bytes()))
}

fn in_header<'r>(request: &'r Request, authorization: &'r str) -> Result<Signed<'r>, Refused> {
    let fields = authorization.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')).ok_or(Refused::Unsigned)?;
    let field = |name: &str| {
        fields.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).ok_or(Refused::Unsigned)
    };
    let time = request.headers.get("x-amz-date").ok_or(Refused::Unsigned)?;
    let (credential, headers, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    Ok(Signed { credential, headers, signature, time, expires: None })
}

/// The access key, when the signature is the one that it makes of this request.
fn matches(request: &Request, pairs: &[(&str, &str)], signed: &Signed<'_>, secret: &str) -> Result<String, Refused> {
    let parts: Vec<&str> = signed.credential.split('/').collect();
    let [access, date, region, service, "aws4_request"] = parts[..] else { return Err(Refused::Unsigned) };
    // What names the host cannot be sent elsewhere, and a key of one day is none of another.
    let names_host = signed.headers.split(';').any(|name| name == "host");
    if !names_host || signed.time.get(..8) != Some(date) {
        return Err(Refused::Mismatch);
    }
    let is_link = signed.expires.is_some();
    let mut query: Vec<(&str, &str)> = pairs.iter().copied().filter(|(key, _)| !is_link || *key != "X-Amz-Signature").collect();
    query.sort_unstable();
    let query: Vec<String> = query.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let payload = match is_link {
        true => "UNSIGNED-PAYLOAD",
        false => request.headers.get("x-amz-content-sha256").map_or("UNSIGNED-PAYLOAD", String::as_str),
    };
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, query.join("&"));
    for name in signed.headers.split(';') {
        let value = request.headers.get(name).ok_or(Refused::Mismatch)?;
        let value: Vec<&str> = value.split_whitespace().collect();
        canonical.push_str(&format!("{name}:{}\n", value.join(" ")));
    }
    canonical.push_str(&format!("\n{}\n{payload}", signed.headers));
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let expected = signature(&secret_of(secret, access), (signed.time, &scope), &canonical);
    if same(&expected, signed.signature) { Ok(access.to_owned()) } else { Err(Refused::Mismatch) }
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
    fn a_token_is_that_of_one_attempt() {
        let token = token_of("s", "tutti-1-0-1");
        assert_eq!(attempt_of("s", &token), Some("tutti-1-0-1"));
        assert_eq!(attempt_of("t", &token), None);
        assert_eq!(attempt_of("s", &token.replace("1-0-1", "1-0-2")), None);
        assert_eq!(
            attempt_of("s", &format!("tutti-1-0-1.{}", secret_of("s", "tutti-1-0-1"))),
            None,
            "nor is its key for objects"
        );
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        let mut request = Request { method: "GET".into(), path: "/s3/tutti/k".into(), ..Request::default() };
        assert_eq!(check(&request, "s", 0), Err(Refused::Unsigned));
        request.headers.insert("authorization".into(), "Bearer x".into());
        assert_eq!(check(&request, "s", 0), Err(Refused::Unsigned));
        let signed = "AWS4-HMAC-SHA256 Credential=tutti/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
        request.headers.insert("authorization".into(), signed.into());
        request.headers.insert("x-amz-date".into(), "20260101T000000Z".into());
        request.headers.insert("host".into(), "localhost".into());
        assert_eq!(check(&request, "s", 0), Err(Refused::Mismatch));
    }

    /// The example of the specification of Signature Version 4 for S3, with the secret that this server gives to its access key.
    fn signed_at(time: &str, at: u64) -> Result<String, Refused> {
        let mut request =
            Request { method: "GET".into(), path: "/s3/tutti/k".into(), query: "b=2&a=1".into(), ..Request::default() };
        let empty = to_hex(&Sha256::digest(b""));
        for (name, value) in [("host", "localhost:1"), ("x-amz-date", time), ("x-amz-content-sha256", &empty)] {
            request.headers.insert(name.into(), value.into());
        }
        let canonical = format!("GET\n/s3/tutti/k\na=1&b=2\nhost:localhost:1\nx-amz-date:{time}\n\nhost;x-amz-date\n{empty}");
        let scope = format!("{}/us-east-1/s3/aws4_request", &time[..8]);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", to_hex(&Sha256::digest(canonical.as_bytes())));
        let mut key = format!("AWS4{}", secret_of("s", "me")).into_bytes();
        for part in scope.split('/') {
            key = hmac(&key, part.as_bytes());
        }
        let signature = to_hex(&hmac(&key, to_sign.as_bytes()));
        let header = format!("AWS4-HMAC-SHA256 Credential=me/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}");
        request.headers.insert("authorization".into(), header);
        check(&request, "s", at)
    }

    #[test]
    fn what_is_signed_for_another_store_is_what_this_one_would_take() {
        let time = written(1_769_903_999);
        assert_eq!(time, "20260131T235959Z");
        let secret = secret_of("s", "me");
        let payload = to_hex(&Sha256::digest(b""));
        let headers = [("host", "localhost:1"), ("x-amz-content-sha256", payload.as_str()), ("x-amz-date", time.as_str())];
        let signing = Signing { access: "me", secret: &secret, region: "us-east-1", time: &time };
        let mut request = Request { method: "PUT".into(), path: "/b/k".into(), query: "b=1&a=".into(), ..Request::default() };
        request.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        request.headers.insert("authorization".into(), signing.header(("PUT", "/b/k", "a=&b=1"), &headers, &payload));
        assert_eq!(check(&request, "s", 1_769_903_999), Ok("me".into()));
        request.path = "/b/other".into();
        assert_eq!(check(&request, "s", 1_769_903_999), Err(Refused::Mismatch));
    }

    #[test]
    fn a_signature_is_good_for_a_quarter_of_an_hour() {
        let at = seconds("20260131T235959Z").unwrap();
        assert_eq!(at, 1_769_903_999);
        assert_eq!(seconds("19700101T000000Z"), Some(0));
        for near in [at, at - 900, at + 900] {
            assert_eq!(signed_at("20260131T235959Z", near), Ok("me".into()));
        }
        for far in [at - 901, at + 901] {
            assert_eq!(signed_at("20260131T235959Z", far), Err(Refused::Skewed));
        }
        for bad in ["", "20260131", "20261331T000000Z", "2026013\u{661}T000000Z", "20260131T250000Z"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}

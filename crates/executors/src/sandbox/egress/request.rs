//! The first words of a client of the proxy: where it wants to go, and what is passed on. Only what is needed of HTTP/1.1 is read.

/// Bytes of a request's head.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;

/// Where a client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) host: String,
    pub(super) port: u16,
    /// What is sent there first; none when the client speaks for itself, after it was told that it is connected.
    pub(super) head: Option<Vec<u8>>,
}

/// The end of the head, when all of it is there.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a head. None when it is nothing that a proxy understands.
pub(super) fn read(head: &[u8]) -> Option<Wanted> {
    let text = std::str::from_utf8(head).ok()?;
    let (line, rest) = text.split_once("\r\n")?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !version.starts_with("HTTP/1.") || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    if method == "CONNECT" {
        let (host, port) = place(target, None)?;
        return Some(Wanted { host, port, head: None });
    }
    let after = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and_then(|_| target.get(7..))?;
    let (authority, path) = after.find(['/', '?']).map_or((after, ""), |at| after.split_at(at));
    let (host, port) = place(authority, Some(80))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let shown = if port == 80 { named(&host) } else { format!("{}:{port}", named(&host)) };
    let mut passed = format!("{method} {slash}{path} {version}\r\nHost: {shown}\r\nConnection: close\r\n");
    for header in rest.split("\r\n").filter(|header| !header.is_empty()) {
        // A line that goes on from the last one could hide a header.
        let (name, _) = header.split_once(':').filter(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']))?;
        let dropped = ["host", "connection", "keep-alive", "upgrade"].iter().any(|known| name.eq_ignore_ascii_case(known));
        if !dropped && !name.to_ascii_lowercase().starts_with("proxy-") {
            passed.push_str(header);
            passed.push_str("\r\n");
        }
    }
    passed.push_str("\r\n");
    Some(Wanted { host, port, head: Some(passed.into_bytes()) })
}

fn named(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// `HOST:PORT`, with an address of IPv6 in brackets.
fn place(text: &str, port: Option<u16>) -> Option<(String, u16)> {
    if text.contains(['@', '/', '\\', ' ', '\t', '%']) {
        return None;
    }
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, rest)
        }
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
        None if rest.is_empty() => port?,
        None => return None,
    };
    (!host.is_empty() && port > 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(head: &str) -> Option<Wanted> {
        read(head.as_bytes())
    }

    #[test]
    fn tunnels_say_where_to() {
        let tunnel = wanted("CONNECT api.example.com:443 HTTP/1.1\r\nHost: other\r\n\r\n").unwrap();
        assert_eq!((tunnel.host.as_str(), tunnel.port, tunnel.head), ("api.example.com", 443, None));
        let tunnel = wanted("CONNECT [::1]:8443 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!((tunnel.host.as_str(), tunnel.port), ("::1", 8443));
        for bad in ["CONNECT api.example.com HTTP/1.1\r\n\r\n", "CONNECT a:b HTTP/1.1\r\n\r\n", "CONNECT u@a:1 HTTP/1.1\r\n\r\n"]
        {
            assert_eq!(wanted(bad), None, "{bad}");
        }
    }

    #[test]
    fn requests_are_passed_on_to_the_host_that_was_checked() {
        let head = "GET http://a.example:8080/x?y=1 HTTP/1.1\r\nHost: evil.example\r\nProxy-Authorization: secret\r\nAccept: */*\r\n\r\n";
        let request = wanted(head).unwrap();
        assert_eq!((request.host.as_str(), request.port), ("a.example", 8080));
        let passed = String::from_utf8(request.head.unwrap()).unwrap();
        assert_eq!(passed, "GET /x?y=1 HTTP/1.1\r\nHost: a.example:8080\r\nConnection: close\r\nAccept: */*\r\n\r\n");
        let root = wanted("GET http://a.example HTTP/1.0\r\n\r\n").unwrap();
        assert!(root.head.unwrap().starts_with(b"GET / HTTP/1.0\r\nHost: a.example\r\n"));
        for bad in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET https://a.example/ HTTP/1.1\r\n\r\n",
            "GET http://u:p@a.example/ HTTP/1.1\r\n\r\n",
            "GET http://a.example/ HTTP/1.1\r\nA: b\r\n Host: c\r\n\r\n",
            "GET http://a.example/ HTTP/1.1 x\r\n\r\n",
            "get http://a.example/ HTTP/1.1\r\n\r\n",
            "\u{7f}",
        ] {
            assert_eq!(wanted(bad), None, "{bad}");
        }
    }
}

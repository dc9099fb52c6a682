//! HTTPS: a certificate made for the test, a real listener, and the command line on the other side.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::home::{GREET, Home, end_of};

/// An authority, and a certificate of it for a name: files `ca.pem`, `cert.pem`, `key.pem`.
fn certificates(home: &Home, name: &str) -> PathBuf {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, format!("an authority of {}", home.path().display()));
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::from_params(&authority, &authority_key);
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    home.write("cert.pem", &certificate.pem());
    home.write("key.pem", &key.serialize_pem());
    home.write("ca.pem", &root.pem())
}

const TLS: [&str; 4] = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];

#[test]
fn the_command_line_speaks_https_with_whom_it_trusts() {
    let home = Home::new();
    let authority = certificates(&home, "127.0.0.1");
    let server = home.up_with(&TLS);
    let url = server.url.clone();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    home.write("greet.workflow.yaml", GREET);
    // Found by the data directory too, and everything goes over it: a request, a wait, a stream, an upload.
    home.ok(&["apply", "-f", "greet.workflow.yaml", "--ca", "ca.pem"]);
    let run = home.ok(&["run", "demo/greet", "--input", "name=Ada", "--wait", "--server", &url, "--ca", "ca.pem"]);
    assert!(run.stderr.contains("succeeded") || run.stdout.contains("succeeded"), "{run:?}");
    // The variable says the same as the option.
    let mut by_variable = home.command(&["logs", "greet-1", "measure", "--server", &url]);
    by_variable.env("TUTTI_CA", &authority);
    assert_eq!(end_of(by_variable).stdout, "measuring\n");
    home.ok(&["artifact", "put", "greet.workflow.yaml", "--ca", "ca.pem", "--server", &url]);

    // Nobody else is trusted, and what to do is said.
    let mut unknown = home.command(&["get", "runs", "--server", &url]);
    let other = Home::new();
    unknown.env("SSL_CERT_FILE", certificates(&other, "127.0.0.1"));
    let refused = end_of(unknown);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("not trusted here") && refused.stderr.contains("--ca FILE"), "{refused:?}");
    // The roots of the system are those that it says.
    let mut system = home.command(&["get", "runs", "--server", &url]);
    system.env("SSL_CERT_FILE", &authority);
    assert_eq!(end_of(system).code, 0);

    let plain = home.run(&["get", "runs", "--server", &url.replace("https", "http"), "--ca", "ca.pem"]);
    assert_eq!(plain.code, 5, "{plain:?}");
    let named = home.run(&["get", "runs", "--server", &url.replace("127.0.0.1", "localhost"), "--ca", "ca.pem"]);
    assert!(named.code == 5 && named.stderr.contains("another name"), "{named:?}");
    let unread = home.run(&["get", "runs", "--server", &url, "--ca", "greet.workflow.yaml"]);
    assert!(unread.code == 1 && unread.stderr.contains("greet.workflow.yaml"), "{unread:?}");
}

/// A certificate ends after a year, and the server goes on: the next client is met with the one that lies there now.
#[test]
fn a_certificate_is_renewed_under_a_server_that_runs() {
    let home = Home::new();
    certificates(&home, "127.0.0.1");
    let server = home.up_with(&TLS);
    let asks = |ca: &str| home.run(&["get", "runs", "--server", &server.url, "--ca", ca]).code;
    std::fs::copy(home.path().join("ca.pem"), home.path().join("old.pem")).unwrap();
    assert_eq!(asks("old.pem"), 0);
    let key = std::fs::read(home.path().join("key.pem")).unwrap();
    certificates(&home, "127.0.0.1");
    assert_eq!((asks("ca.pem"), asks("old.pem")), (0, 5));
    // A key that does not belong to it: half of a renewal breaks nothing.
    let renewed = std::fs::read(home.path().join("key.pem")).unwrap();
    std::fs::write(home.path().join("key.pem"), key).unwrap();
    assert_eq!(asks("ca.pem"), 0);
    std::fs::write(home.path().join("key.pem"), renewed).unwrap();
    assert_eq!(asks("ca.pem"), 0);
}

#[test]
fn what_does_not_speak_tls_is_told() {
    let home = Home::new();
    let authority = certificates(&home, "127.0.0.1");
    let server = home.up();
    let mut wrong = home.command(&["get", "runs", "--server", &server.url.replace("http", "https"), "--ca"]);
    wrong.arg(&authority);
    let wrong = end_of(wrong);
    assert!(wrong.code == 5 && wrong.stderr.contains("does not speak TLS"), "{wrong:?}");
}

#[test]
fn others_are_let_in_with_tokens_over_tls_only() {
    let home = Home::new();
    certificates(&home, "127.0.0.1");
    let everywhere = format!("{}:0", Ipv4Addr::UNSPECIFIED);
    let refused = home.run(&[&["up", "--listen", &everywhere], &TLS[..]].concat());
    assert!(refused.code != 0 && refused.stderr.contains("E0020") && refused.stderr.contains("token"), "{refused:?}");
    let made = home.json(&["token", "create", "--name", "admin", "--scope", "admin"]);
    let token = made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    // Without TLS it stays refused, tokens or not.
    let refused = home.run(&["up", "--listen", &everywhere]);
    assert!(refused.code != 0 && refused.stderr.contains("TLS"), "{refused:?}");

    let server = home.up_at(&everywhere, &TLS);
    let url = format!("https://127.0.0.1:{}", server.url.rsplit(':').next().unwrap());
    let without = home.run(&["get", "runs", "--server", &url, "--ca", "ca.pem"]);
    assert!(without.code == 1 && without.stderr.contains("E0006"), "{without:?}");
    home.ok(&["get", "runs", "--server", &url, "--ca", "ca.pem", "--token", &token]);
}

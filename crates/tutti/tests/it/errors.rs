//! Every error that the program prints has a code, and every code a page: tried on what goes wrong for people.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::home::{Ended, GREET, Home, end_of};

/// The code of an error, which `tutti error` knows, with the exit code that belongs to it.
fn code(home: &Home, ended: &Ended) -> String {
    let line = ended.stderr.lines().find(|line| line.starts_with("error")).unwrap_or_else(|| panic!("no error: {ended:?}"));
    let code =
        line.strip_prefix("error[").and_then(|rest| rest.split_once("]: ")).unwrap_or_else(|| panic!("no code: {ended:?}"));
    assert!(ended.stderr.contains(&format!("more: tutti error {}", code.0)), "{ended:?}");
    let page = home.ok(&["error", code.0]).stdout;
    assert!(page.starts_with(&format!("# {}: ", code.0)) && page.contains("## What to do"), "{page}");
    code.0.to_owned()
}

/// Somebody who answers everything in the same way, once.
fn stranger(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(1) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

/// A port at which nobody listens: it was free a moment ago.
fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[test]
fn files_that_cannot_be_used() {
    let home = Home::new();
    home.write("inputs.json", "[1]");
    home.write("greet.workflow.yaml", GREET);
    std::fs::write(home.path().join("latin.yaml"), b"workflow: demo/gr\xfcn\n").unwrap();
    let secret = home.write("mine.yaml", GREET);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
    // Whoever is root may read everything.
    let may_read = std::fs::read(&secret).is_ok();
    for (arguments, exit) in [
        (&["apply", "-f", "nowhere.yaml"][..], 1),
        (&["check", "latin.yaml"], 1),
        (&["check", "mine.yaml"], 1),
        (&["run", "greet.workflow.yaml", "--inputs", "nowhere.json"], 1),
        (&["run", "greet.workflow.yaml", "--inputs", "inputs.json"], 1),
        (&["get", "runs", "--server", "https://127.0.0.1:1", "--ca", "greet.workflow.yaml"], 1),
        (&["audit", "verify", "greet.workflow.yaml", "--key", "nowhere.key"], 1),
        (&["artifact", "put", "nowhere.csv"], 1),
    ] {
        if arguments.contains(&"mine.yaml") && may_read {
            continue;
        }
        let ended = home.run(arguments);
        assert_eq!((code(&home, &ended).as_str(), ended.code), ("E0027", exit), "{arguments:?}: {ended:?}");
    }
    let latin = home.run(&["check", "latin.yaml"]);
    assert!(latin.stderr.contains("`latin.yaml` is not text: byte 18 is not UTF-8"), "{latin:?}");
}

#[test]
fn servers_that_do_not_answer_or_are_none() {
    let home = Home::new();
    let nobody = home.run(&["get", "runs", "--server", &nobody()]);
    assert_eq!((code(&home, &nobody).as_str(), nobody.code), ("E0024", 5), "{nobody:?}");
    for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno"] {
        let strange = home.run(&["get", "sites", "--server", &stranger(answer)]);
        assert_eq!((code(&home, &strange).as_str(), strange.code), ("E0029", 1), "{strange:?}");
    }
    let short = stranger("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello");
    let broken = home.run(&["get", "sites", "--server", &short]);
    assert_eq!((code(&home, &broken).as_str(), broken.code), ("E0024", 5), "{broken:?}");
}

#[test]
fn command_lines_and_configurations_that_are_not_right() {
    let home = Home::new();
    home.write("wrong.toml", "lisen = \"127.0.0.1:0\"\n");
    home.write("wrong.yaml", "lisen: 127.0.0.1:0\n");
    home.write("half.toml", "listen = \"127.0.0.1:0\"\n[tls]\ncert = \"c.pem\"\n");
    for (arguments, wanted) in [
        (&["apprve"][..], "E0026"),
        (&["get", "runs", "-o", "toml"], "E0026"),
        (&["get", "actions"], "E0026"),
        (&["run", "x", "--deadline", "soon"], "E0026"),
        (&["get", "runs", "--server", "nonsense"], "E0026"),
        (&["error", "E9999"], "E0026"),
        (&["up", "--config", "nowhere.toml"], "E0028"),
        (&["up", "--config", "wrong.toml"], "E0028"),
        (&["up", "--config", "wrong.yaml"], "E0028"),
        (&["up", "--config", "half.toml"], "E0028"),
    ] {
        let ended = home.run(arguments);
        assert_eq!((code(&home, &ended).as_str(), ended.code), (wanted, 2), "{arguments:?}: {ended:?}");
    }
    let mut logs = home.command(&["get", "runs"]);
    logs.env("TUTTI_LOG", "[");
    let logs = end_of(logs);
    assert_eq!((code(&home, &logs).as_str(), logs.code), ("E0028", 2), "{logs:?}");
    // Open to others without TLS, and an address of another machine.
    let open = home.run(&["up", "--listen", "0.0.0.0:0"]);
    assert_eq!((code(&home, &open).as_str(), open.code), ("E0020", 1), "{open:?}");
    assert!(open.stderr.contains("--tls-cert"), "{open:?}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = home.run(&["up", "--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!((code(&home, &taken).as_str(), taken.code), ("E0021", 1), "{taken:?}");
}

#[test]
fn who_may_not_and_what_is_not_there() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.write("bad.workflow.yaml", "workflow: demo/bad\nnodes:\n  a: {use: core/nop}\n");
    let made = home.json(&["token", "create", "--name", "reader", "--scope", "read"]);
    let token = made["token"].as_str().unwrap().to_owned();
    home.ok(&["token", "create", "--name", "admin", "--scope", "admin"]);
    let server = home.up();
    let url = server.url.clone();
    for (arguments, wanted) in [
        (&["get", "runs", "--token", "nonsense"][..], "E0006"),
        (&["get", "runs"], "E0006"),
        (&["run", "demo/greet", "--token", &token], "E0005"),
        (&["get", "run", "none-1", "--token", &token], "E0002"),
        (&["logs", "none-1", "--token", &token], "E0002"),
    ] {
        let ended = home.run(&[arguments, &["--server", &url]].concat());
        assert_eq!((code(&home, &ended).as_str(), ended.code), (wanted, 1), "{arguments:?}: {ended:?}");
    }
    drop(server);
    let other = Home::new();
    let refused = other.run(&["apply", "-f", home.path().join("bad.workflow.yaml").to_str().unwrap()]);
    assert_eq!(code(&other, &refused), "E0008", "{refused:?}");
    assert!(refused.stderr.contains("1 error; nothing was registered"), "{refused:?}");
    std::fs::write(other.path().join("a-file"), "").unwrap();
    let directory = other.run(&["get", "runs", "--data", "a-file/data"]);
    assert_eq!(code(&other, &directory), "E0014", "{directory:?}");
}

/// The recipe in the documentation makes a certificate that is taken; the certificate of an authority is not one.
#[test]
fn the_recipe_for_a_certificate_works_as_it_stands() {
    let home = Home::new();
    let page = include_str!("../../../../docs/operations/security.md");
    let recipe = page.split("## A certificate").nth(1).expect("the recipe").split("```console\n").nth(1).expect("its commands");
    let recipe = recipe.split("```").next().unwrap();
    let script: String = recipe.lines().map(|line| format!("{}\n", line.strip_prefix("$ ").unwrap_or(line))).collect();
    let made = Command::new("sh").args(["-ec", &script]).current_dir(home.path()).output().expect("sh");
    assert!(made.status.success(), "{made:?}");
    let made = home.json(&["token", "create", "--name", "admin", "--scope", "admin"]);
    let token = made["token"].as_str().unwrap().to_owned();
    {
        // Listening for everybody, it is found on this machine by its data directory alone.
        let _server = home.up_at("0.0.0.0:0", &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
        let found = home.run(&["get", "sites", "--ca", "ca.pem", "--token", &token]);
        assert!(found.code == 0 && found.stdout.contains("local"), "{found:?}");
    }
    let server = home.up_with(&["--tls-cert", "ca.pem", "--tls-key", "ca-key.pem"]);
    let authority = home.run(&["get", "sites", "--ca", "ca.pem", "--token", &token, "--server", &server.url]);
    assert_eq!((code(&home, &authority).as_str(), authority.code), ("E0025", 5), "{authority:?}");
    assert!(authority.stderr.contains("the certificate of an authority where its own should be"), "{authority:?}");
    assert!(!authority.stderr.contains("CaUsedAsEndEntity"), "{authority:?}");
}

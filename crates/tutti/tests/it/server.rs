//! `tutti up`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::home::{GREET, Home, PATIENT, Running, end_of, until};

#[test]
fn it_says_one_line_and_stops_in_order() {
    let home = Home::new();
    let mut server = home.up();
    assert!(server.url.starts_with("http://127.0.0.1:") && !server.url.ends_with(":0"), "{}", server.url);
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["apply", "-f", "greet.workflow.yaml"]);
    assert_eq!(home.ok(&["get", "workflows", "-o", "name"]).stdout, "demo/greet\n");
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0), "{}", home.log());
    // Another one finds what the first was told.
    let mut server = home.up();
    assert_eq!(home.ok(&["get", "workflows", "-o", "name"]).stdout, "demo/greet\n");
    server.signal("-INT");
    assert_eq!(server.wait(), Some(0), "{}", home.log());
}

#[test]
fn a_stream_does_not_hold_it_up() {
    let home = Home::new();
    let mut server = home.up();
    let mut reader = Running::start(home.command(&["events", "--after", "0"]).stdout(Stdio::piped()).stderr(Stdio::null()));
    // It is connected when it has seen something.
    let mut line = String::new();
    BufReader::new(reader.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("epoch_began"), "{line}");
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0), "{}", home.log());
    assert!(reader.wait().is_ok());
}

#[test]
fn a_directory_has_one_owner() {
    let home = Home::new();
    let server = home.up();
    let second = home.run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("error[E0013]") && second.stderr.contains(&server.url), "{second:?}");
    assert!(second.stderr.contains("hint: ") && second.stderr.contains("more: tutti error E0013"), "{second:?}");
    assert_eq!(second.stdout, "");
}

/// Whoever looks while no server runs has the directory for a moment: a server that starts just then is not refused.
#[test]
fn a_server_waits_for_those_who_only_look() {
    let home = Home::new();
    home.up();
    let held = std::fs::File::open(home.path().join("data/owner")).unwrap();
    held.lock().unwrap();
    std::fs::File::options().write(true).open(home.path().join("data/owner")).unwrap().set_len(0).unwrap();
    let server = std::thread::scope(|scope| {
        let server = scope.spawn(|| home.up());
        until("it says that it waits", || home.log().contains("somebody looks").then_some(()));
        held.unlock().unwrap();
        server.join().unwrap()
    });
    assert!(server.url.starts_with("http://127.0.0.1:"));
}

#[test]
fn what_others_can_reach_wants_tokens_and_tls() {
    let home = Home::new();
    let refused = home.run(&["up", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("error[E0020]") && refused.stderr.contains("TLS") && refused.stderr.contains("tokens"),
        "{refused:?}"
    );
    assert!(!home.path().join("data").exists());
    // One half of TLS is none.
    assert_eq!(home.run(&["up", "--listen", "127.0.0.1:0", "--tls-cert", "c.pem"]).code, 2);
    let unread = home.run(&["up", "--listen", "127.0.0.1:0", "--tls-cert", "c.pem", "--tls-key", "k.pem"]);
    assert!(unread.code == 1 && unread.stderr.contains("c.pem"), "{unread:?}");
}

#[test]
fn a_configuration_file_and_what_is_wrong_with_it() {
    let home = Home::new();
    let file = home.write("tutti.toml", "data = \"elsewhere\"\nlog_format = \"json\"\n");
    let mut command = home.command(&["up", "--listen", "127.0.0.1:0", "--config", "tutti.toml"]);
    // The variable goes before the file.
    command.env_remove("TUTTI_DATA").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(&mut command);
    let line = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let logged: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((logged["level"].as_str(), logged["data"].as_str()), (Some("INFO"), Some("elsewhere")));
    assert!(home.path().join("elsewhere/journal").is_dir());

    std::fs::write(&file, "data = \"x\"\nlisen = \"127.0.0.1:0\"\n").unwrap();
    let wrong = home.run(&["up", "--config", "tutti.toml"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("lisen") && wrong.stderr.contains("line 2"), "{wrong:?}");
    home.write("tutti.yaml", "listen: 127.0.0.1:0\ntls: {certificate: x}\n");
    let wrong = home.run(&["up", "--config", "tutti.yaml"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("tutti.yaml:2:7"), "{wrong:?}");
    assert_eq!(home.run(&["up", "--config", "nowhere.toml"]).code, 2);
    assert_eq!(home.run(&["up", "--log-format", "loud"]).code, 2);
    let mut filtered = home.command(&["get", "runs"]);
    filtered.env("TUTTI_LOG", "a=b=c");
    assert_eq!(end_of(filtered).code, 2);
}

#[test]
fn runs_outlive_a_server_that_is_killed() {
    let home = Home::new();
    home.write("p.workflow.yaml", PATIENT);
    // An address of its own: a port that the kernel chose would be anybody's as soon as the server is gone.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = format!("127.{}.{middle}.{low}:7200", high | 0x40);
    let server = home.up_at(&address, &[]);
    home.ok(&["apply", "-f", "p.workflow.yaml"]);
    home.ok(&["run", "demo/patient", "--name", "held"]);
    let seen = home.path().join("seen");
    let mut watching = home.command(&["watch", "held"]);
    let watching = watching.stdout(Stdio::piped()).stderr(std::fs::File::create(&seen).unwrap());
    let watching = Running::start(watching);
    until("the run waits", || home.json(&["get", "run", "held"])["actions_done"].as_u64().filter(|done| *done == 1));
    until("it is watched", || std::fs::metadata(&seen).ok().filter(|seen| seen.len() > 0));
    drop(server);
    // The same address again: who watches goes on watching.
    let _again = Running::start(home.command(&["up", "--listen", &address]).stdout(Stdio::piped()).stderr(Stdio::null()));
    until("the server is back", || {
        (home.run(&["get", "run", "held", "--server", &format!("http://{address}")]).code == 0).then_some(())
    });
    home.ok(&["signal", "held", "go", "--payload", "{\"n\": 7}"]);
    let ended = watching.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(home.json(&["get", "run", "held"])["outputs"]["got"], 7);
}

#[test]
fn it_ends_with_who_started_it() {
    let home = Home::new();
    let mut server = home.up();
    server.close();
    assert_eq!(server.wait(), Some(0), "{}", home.log());
}

#[test]
fn it_ends_when_its_data_directory_is_gone() {
    let home = Home::new();
    let mut server = home.up();
    let data = home.path().join("data");
    // The server still writes while its directory is being emptied.
    while data.exists() {
        let _ = std::fs::remove_dir_all(&data);
    }
    assert_eq!(server.wait(), Some(1), "{}", home.log());
    assert!(home.log().contains("was removed"), "{}", home.log());
}

//! Starting, following, steering and repeating runs.

use serde_json::json;

use crate::home::{BROKEN, GREET, Home, PATIENT, until};

fn with_server() -> (Home, crate::home::Server) {
    let home = Home::new();
    home.write("w/greet.workflow.yaml", GREET);
    home.write("w/broken.workflow.yaml", BROKEN);
    home.write("w/patient.workflow.yaml", PATIENT);
    let server = home.up();
    home.ok(&["apply", "-f", "w"]);
    (home, server)
}

#[test]
fn a_run_and_how_it_ended() {
    let (home, _server) = with_server();
    // Without --wait it is started, and its name printed.
    let started = home.ok(&["run", "demo/greet", "--input", "name=Ada", "-o", "name", "--name", "first"]);
    assert_eq!(started.stdout, "first\n");
    let run = home.run(&["run", "demo/greet", "--input", "name=Ada", "--wait", "-o", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "{\n  \"name\": \"greet-2\",\n  \"phase\": \"succeeded\"\n}\n"), "{run:?}");
    assert!(run.stderr.contains("succeeded   measure  local"), "{run:?}");
    assert!(run.stderr.contains("skipped     approve"), "{run:?}");
    assert!(!run.stderr.contains('\x1b'), "{run:?}");
    // A table, with the outputs below.
    let run = home.ok(&["run", "demo/greet", "--input", "name=Ada", "--wait"]);
    assert!(run.stdout.starts_with("NAME") && run.stdout.ends_with("outputs:\n  letters: 3\n"), "{run:?}");
    let view = home.json(&["get", "run", "greet-2"]);
    assert_eq!(
        (&view["phase"], &view["outputs"], &view["inputs"]["loud"]),
        (&json!("succeeded"), &json!({"letters": 3}), &json!(false))
    );
    assert!(view["cost"].is_number() && view["actions"][0]["path"] == "measure", "{view}");
}

#[test]
fn exit_codes_say_how_it_ended() {
    let (home, _server) = with_server();
    let failed = home.run(&["run", "demo/broken", "--wait", "-o", "json"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stdout.contains("\"phase\": \"failed\"") && failed.stderr.contains("out of luck"), "{failed:?}");
    assert!(failed.stderr.contains("tutti retry broken-1"), "{failed:?}");
    let waiting = home.run(&["run", "demo/greet", "-i", "name=Wilhelmina", "-w", "-o", "json"]);
    assert_eq!(waiting.code, 4);
    assert!(waiting.stdout.contains("\"phase\": \"running\"") && waiting.stderr.contains("tutti approve greet-2"), "{waiting:?}");
    // What was refused before there was a run.
    let unknown = home.run(&["run", "demo/gret", "--wait"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("error[E0002]") && unknown.stderr.contains("did you mean `demo/greet`?"), "{unknown:?}");
    let missing = home.run(&["run", "demo/greet"]);
    assert!(
        missing.code == 1 && missing.stderr.contains("error[E0009]") && missing.stderr.contains("--input name="),
        "{missing:?}"
    );
    assert_eq!(home.run(&["run", "demo/greet", "--input", "name"]).code, 2);
    assert_eq!(home.run(&["run"]).code, 2);
    let gone = home.run(&["--server", "http://127.0.0.1:1", "get", "runs"]);
    assert!(gone.code == 5 && gone.stderr.contains("hint: "), "{gone:?}");
    assert_eq!(home.run(&["--server", "ftp://x", "get", "runs"]).code, 2);
}

#[test]
fn inputs_have_the_type_that_is_asked_for() {
    let (home, _server) = with_server();
    // A text is a text, even when it looks like a number; `@` is no file there.
    for (text, letters) in [("name=123", 3), ("name=@you", 4), ("name=a=b", 3), ("name=", 0)] {
        let name = home.ok(&["run", "demo/greet", "--input", text, "-w", "-o", "name"]).stdout;
        assert_eq!(home.json(&["get", "run", name.trim()])["outputs"]["letters"], letters, "{text}");
    }
    let wrong = home.run(&["run", "demo/greet", "-i", "name=x", "-i", "loud=perhaps"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("E0009") && wrong.stderr.contains("`loud`"), "{wrong:?}");
    // Files of inputs; what is said on the command line goes before.
    home.write("inputs.json", "{\"name\": \"from-file\", \"loud\": true}");
    home.write("inputs.yaml", "name: yaml\nloud: true\n");
    let name = home.ok(&["run", "demo/greet", "--inputs", "inputs.json", "-i", "name=Eva", "-w", "-o", "name"]).stdout;
    let view = home.json(&["get", "run", name.trim()]);
    assert_eq!((&view["inputs"]["name"], &view["inputs"]["loud"]), (&json!("Eva"), &json!(true)));
    let name = home.ok(&["run", "demo/greet", "--inputs", "inputs.yaml", "-w", "-o", "name"]).stdout;
    assert_eq!(home.json(&["get", "run", name.trim()])["inputs"]["name"], "yaml");
    assert_eq!(home.run(&["run", "demo/greet", "--inputs", "w/greet.workflow.yaml"]).code, 1);
    home.write("list.json", "[1]");
    assert_eq!(home.run(&["run", "demo/greet", "--inputs", "list.json"]).code, 1);
}

#[test]
fn files_are_uploaded_and_come_back() {
    let (home, _server) = with_server();
    home.write(
        "count.workflow.yaml",
        "workflow: demo/count
inputs: {data: {type: file}}
nodes:
  count: {use: core/noop, with: {data: '${ inputs.data }'}}
outputs: {same: '${ inputs.data }'}
",
    );
    home.write("data.bin", &"0123456789".repeat(100));
    let run = home.run(&["run", "count.workflow.yaml", "-i", "data=@data.bin", "-w", "-o", "name"]);
    assert_eq!(run.code, 0, "{run:?}");
    let view = home.json(&["get", "run", run.stdout.trim()]);
    let digest = view["outputs"]["same"]["$artifact"]["digest"].as_str().unwrap_or_else(|| panic!("{view}")).to_owned();
    let got = home.ok(&["artifact", "get", &digest]);
    assert_eq!(got.stdout, "0123456789".repeat(100));
    home.ok(&["artifact", "get", &digest, "--to", "copy.bin"]);
    assert_eq!(std::fs::read(home.path().join("copy.bin")).unwrap().len(), 1000);
    assert_eq!(home.run(&["artifact", "get", &digest, "--to", "copy.bin"]).code, 1);
    let put = home.ok(&["artifact", "put", "data.bin", "--site", "local"]);
    assert!(put.stdout.contains(&digest), "{put:?}");
    let unknown = home.run(&["artifact", "get", &digest.replace(&digest[7..11], "0000")]);
    assert!(unknown.code == 1 && unknown.stderr.contains("error[E0002]"), "{unknown:?}");
    assert_eq!(home.run(&["run", "demo/count", "-i", "data=@nowhere.bin"]).code, 1);
}

#[test]
fn a_download_that_breaks_off_leaves_nothing() {
    use std::io::{Read as _, Write as _};
    let home = Home::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it").unwrap();
    });
    let digest = format!("sha256:{}", "0".repeat(64));
    let broken = home.run(&["artifact", "get", &digest, "--to", "half.bin", "--server", &url]);
    server.join().unwrap();
    assert!(broken.code == 5 && broken.stderr.contains("broke off"), "{broken:?}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "neither the file nor what was to become it");
}

#[test]
fn runs_are_held_signalled_and_cancelled() {
    let (home, _server) = with_server();
    home.ok(&["run", "demo/patient", "--name", "one"]);
    let held = home.ok(&["pause", "one", "-o", "json"]);
    assert!(held.stdout.contains("\"phase\": \"paused\""), "{held:?}");
    home.ok(&["resume", "one"]);
    home.ok(&["signal", "one", "go", "--payload", "{\"n\": 3}"]);
    let watched = home.ok(&["watch", "one", "-o", "json"]);
    assert!(watched.stdout.contains("\"got\": 3"), "{watched:?}");
    assert_eq!(home.run(&["signal", "one", "go", "--payload", "{"]).code, 2);
    // What has ended takes no orders.
    let late = home.run(&["pause", "one"]);
    assert!(late.code == 1 && late.stderr.contains("error[E0004]") && late.stderr.contains("tutti rerun"), "{late:?}");

    home.ok(&["run", "demo/patient", "--name", "two"]);
    home.ok(&["cancel", "two", "--reason", "no longer wanted"]);
    let ended = home.run(&["watch", "two"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(home.json(&["get", "run", "two"])["phase"], "aborted");
    let unknown = home.run(&["cancel", "tow"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `two`?"), "{unknown:?}");
}

#[test]
fn runs_are_repeated() {
    let (home, _server) = with_server();
    home.run(&["run", "demo/broken", "--wait", "--name", "bad"]);
    let again = home.run(&["retry", "bad", "--wait", "-o", "json"]);
    assert_eq!(again.code, 1, "{again:?}");
    let name = serde_json::from_str::<serde_json::Value>(&again.stdout).unwrap()["name"].as_str().unwrap().to_owned();
    let view = home.json(&["get", "run", &name]);
    let first = view["actions"].as_array().unwrap().iter().find(|action| action["path"] == "first").unwrap();
    assert_eq!(first["reused"], true, "{view}");

    home.ok(&["run", "demo/greet", "-i", "name=Ada", "-w", "--name", "good"]);
    let nothing = home.run(&["retry", "good"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("E0004") && nothing.stderr.contains("rerun good --from"), "{nothing:?}");
    let again = home.ok(&["rerun", "good", "--from", "measure", "-i", "name=42", "-w", "-o", "name"]).stdout;
    let view = home.json(&["get", "run", again.trim()]);
    assert_eq!((&view["outputs"]["letters"], &view["inputs"]["name"]), (&json!(2), &json!("42")));
    let unknown = home.run(&["rerun", "good", "--from", "mesure"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("measure"), "{unknown:?}");
    home.ok(&["run", "demo/patient", "--name", "open"]);
    let open = home.run(&["retry", "open"]);
    assert!(open.code == 1 && open.stderr.contains("has not ended yet"), "{open:?}");
}

#[test]
fn the_same_key_gives_the_same_run() {
    let (home, _server) = with_server();
    let start = || home.ok(&["run", "demo/greet", "-i", "name=Ada", "--idempotency-key", "k-1", "-o", "name"]).stdout;
    let first = start();
    assert_eq!(first, start());
    until("it has ended", || (home.json(&["get", "run", first.trim()])["phase"] == "succeeded").then_some(()));
    assert_eq!(home.ok(&["get", "runs", "-o", "name"]).stdout, first);
}

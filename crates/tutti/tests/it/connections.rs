//! What attempts did over the network is shown connection by connection, of those that were refused too.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use executors::sandbox::{Layers, Machine};

use crate::home::Home;

/// A server that answers each line with one of its own; its port.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let _ = client.read(&mut [0; 64]).and_then(|_| client.write_all(b"heard\n"));
        }
    });
    port
}

#[test]
fn every_connection_of_a_run_is_shown() {
    let machine = Machine::new((env!("CARGO_BIN_EXE_tutti").into(), vec!["shim".to_owned()]));
    let isolation = machine.isolation();
    if isolation.layers != Layers::ALL {
        eprintln!("skipped: this machine cannot build the walls: {}", isolation.lacking.join("; "));
        return;
    }
    let (home, port) = (Home::new(), server());
    home.write(
        "w/work.yaml",
        &format!(
            r#"
kind: site
name: kept
capacity: {{cpu: 2, memory: 1Gi}}
attributes: {{zone: kept}}
sandbox: {{mode: require, egress: ["127.0.0.1:{port}"]}}
---
workflow: demo/calls
nodes:
  ask:
    run:
      command:
        - bash
        - -c
        - |
          exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3; read -r said <&3; echo "$said"
          exec 4<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT elsewhere.example:443 HTTP/1.1\r\n\r\n' >&4; read -r said <&4; echo "$said"
    needs: {{cpu: 1, site: {{zone: kept}}}}
  quiet:
    run: {{command: ["true"]}}
    needs: {{cpu: 1, site: {{zone: kept}}}}
"#
        ),
    );
    let _server = home.up();
    home.ok(&["apply", "-f", "w"]);
    home.ok(&["run", "demo/calls", "-w", "--name", "one"]);
    let all = home.json(&["audit", "connections", "one"]);
    let mut seen: Vec<(&str, u64, &str, u64, u64)> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let (text, number) = (|key: &str| one[key].as_str().unwrap(), |key: &str| one[key].as_u64().unwrap());
            assert_eq!((text("path"), text("site"), number("attempt")), ("ask", "kept", 1), "{one}");
            (text("host"), number("port"), text("outcome"), number("sent"), number("received"))
        })
        .collect();
    seen.sort_unstable();
    let [within, without] = seen.as_slice() else { panic!("{all}") };
    assert_eq!((within.0, within.1, within.3, within.4), ("127.0.0.1", u64::from(port), 6, 6), "{all}");
    assert_ne!(within.2, "refused", "{all}");
    assert_eq!((without.0, without.1, without.2), ("elsewhere.example", 443, "refused"), "{all}");
    assert_eq!(home.json(&["audit", "connections", "one", "ask"]), all);
    assert_eq!(home.json(&["audit", "connections", "one", "quiet"]), serde_json::json!([]));
    assert!(home.ok(&["audit", "connections", "one"]).stdout.contains(&format!("127.0.0.1:{port}")));
    let unknown = home.run(&["audit", "connections", "one", "nobody"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("nobody"), "{unknown:?}");
}

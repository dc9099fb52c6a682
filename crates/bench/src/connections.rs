//! What connections cost that say nothing: memory each, and what those notice that do ask.

use crate::http::Client;
use crate::options::Options;
use crate::proc;
use crate::report::Report;
use crate::rounds::{remove, series_of};
use crate::sample::{Sample, quantile};
use crate::server::Server;

/// Connections beside those that measure. The server has room for a thousand; the thousand-and-first makes the oldest idle one go.
const IDLE: usize = 990;
/// Runs in series before and while they are open.
const RUNS: usize = 200;

/// Opens connections, lets each ask once so that it is set up, and looks what they cost.
pub(crate) fn idle(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    for _ in 0..3 {
        let folder = options.folder("connections")?;
        let server = Server::start(&options.tutti, &folder)?;
        server.apply_all()?;
        let mut client = server.client()?;
        series_of(&mut client, "one-builtin", RUNS)?;
        let alone = series_of(&mut client, "one-builtin", RUNS)?;
        let before = proc::memory(server.pid()).rss;
        let mut open: Vec<Client> = Vec::with_capacity(IDLE);
        for _ in 0..IDLE {
            let mut connection = server.client()?;
            connection.send("GET", "/healthz", b"")?;
            open.push(connection);
        }
        let with_all = proc::memory(server.pid()).rss;
        let beside = series_of(&mut client, "one-builtin", RUNS)?;
        // All of them are answered still.
        for connection in &mut open {
            connection.send("GET", "/healthz", b"")?;
        }
        let sample = Sample::one("kib_per_connection", (with_all - before) * 1024.0 / IDLE as f64)
            .with("connections", IDLE as f64)
            .with("rss_mib", with_all)
            .with("w4_p50_alone_ms", quantile(&alone, 0.5))
            .with("w4_p50_beside_ms", quantile(&beside, 0.5))
            .with("w4_p99_beside_ms", quantile(&beside, 0.99));
        report.add(&format!("{IDLE} idle connections"), sample);
        drop((open, client));
        server.stop()?;
        remove(&folder)?;
    }
    Ok(())
}

//! What a step costs with and without walls: `cargo run --release -p executors --example sandbox_start [ROUNDS]`.
//!
//! Beside each other in one run: a program that does nothing, started plainly; started within walls and nothing else; and as an attempt through
//! the executor, with its folder, its ticket, its wrapper, its record and the collection of its output, with walls and without.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use executors::contract::{SITE, authority, fresh_key, script, ticket};
use executors::local::{LocalExecutor, Options};
use executors::sandbox::{Layers, Machine, Settings, time_starts};
use executors::{Executor as _, Observed};
use model::Resources;
use model::site::SandboxMode;

fn main() -> Result<(), String> {
    let rounds: u32 = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(200);
    let path = std::env::var("PATH").unwrap_or_default();
    let plain = (0..rounds).map(|_| {
        let began = Instant::now();
        let status = Command::new("/bin/sh").args(["-c", "exit 0"]).env_clear().status();
        status.map_err(|error| error.to_string()).map(|_| began.elapsed())
    });
    let plain = plain.collect::<Result<Vec<_>, _>>()?;
    // While this process has one thread.
    let walls = time_starts(Layers::ALL, &path, rounds, &["/bin/sh", "-c", "exit 0"])?;
    let open = steps(SandboxMode::Off, rounds)?;
    let kept = steps(SandboxMode::Require, rounds)?;
    println!("rounds: {rounds}, times in ms (10th percentile, median, 90th percentile)");
    let (mut lows, mut medians) = (Vec::new(), Vec::new());
    for (what, times) in
        [("fork+exec", plain), ("fork+exec within walls", walls), ("step, no walls", open), ("step, walls", kept)]
    {
        let (low, median, high) = (at(&times, 10), at(&times, 50), at(&times, 90));
        println!("{what:<24} {low:>8.3} {median:>8.3} {high:>8.3}");
        lows.push(low);
        medians.push(median);
    }
    for (what, times) in [("10th percentile", &lows), ("median", &medians)] {
        let [plain, walls, open, kept] = times[..] else { continue };
        println!(
            "{what}: a step is {:.3} over fork+exec, {:.3} over fork+exec within the same walls",
            open - plain,
            kept - walls
        );
    }
    Ok(())
}

fn at(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// Attempts one after another through the executor.
fn steps(mode: SandboxMode, rounds: u32) -> Result<Vec<Duration>, String> {
    let folder = std::env::temp_dir().join(format!("tutti-steps-{}-{}", mode.as_str(), std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let times = runtime.map_err(|error| error.to_string())?.block_on(run(&folder, mode, rounds));
    let _ = std::fs::remove_dir_all(&folder);
    times
}

async fn run(folder: &Path, mode: SandboxMode, rounds: u32) -> Result<Vec<Duration>, String> {
    let beside = |name: &str| std::env::current_exe().ok()?.parent()?.parent().map(|folder| folder.join(name));
    let shim: PathBuf =
        beside("tutti-shim").filter(|shim| shim.exists()).ok_or("build the wrapper first: cargo build -p executors")?;
    let shim = (shim, Vec::new());
    let settings = Settings { mode, hidden: vec![folder.to_owned()], ..Settings::off(shim.clone()) };
    let settings = Settings { machine: Machine::new(shim.clone()), ..settings };
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let options = Options {
        site: SITE.into(),
        folder: folder.to_owned(),
        shim,
        path: std::env::var("PATH").unwrap_or_default(),
        capacity: Resources::default(),
        tickets: authority().key(),
        keys: None,
        sandbox: settings,
    };
    let executor = LocalExecutor::open(options, sender).map_err(|error| error.to_string())?;
    let mut times = Vec::new();
    // The first starts a wrapper, which the others share.
    for round in 0..=rounds {
        let mut order = script(fresh_key(), 1, folder, "");
        order.input = serde_json::json!({"command": ["/bin/sh", "-c", "exit 0"]});
        let (key, ticket) = (order.key, ticket(&order));
        let began = Instant::now();
        executor.submit(order, ticket).await.map_err(|error| error.to_string())?;
        loop {
            match seen.recv().await.ok_or("the executor is gone")? {
                Observed::Finished { outcome: engine::Outcome::Succeeded(_), .. } => break,
                Observed::Finished { outcome, .. } => return Err(format!("{outcome:?}")),
                Observed::Started { .. } => {}
            }
        }
        if round > 0 {
            times.push(began.elapsed());
        }
        executor.release(key).await;
    }
    Ok(times)
}

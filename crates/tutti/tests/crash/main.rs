//! Real processes, really killed: `tutti up` with runs in flight, at random moments and at every named point. Nothing that was acknowledged
//! is lost, no attempt runs twice, every run ends once.
//!
//! `TUTTI_KILLS=10000` kills more often.

mod judge;
#[path = "../it/leftovers.rs"]
mod leftovers;
mod server;
mod story;
mod triggers;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use failpoint::Point;
use judge::judge;
use serde_json::json;
use server::{PATIENCE, Place, Server, call, pause, wrappers};
use story::{Acknowledged, Worker, apply, settle};

/// Random numbers; the seed is printed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn killed_at_random_moments() {
    let kills = number("TUTTI_KILLS").unwrap_or(25);
    let from_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.subsec_nanos().into());
    let seed = number("TUTTI_CRASH_SEED").unwrap_or_else(from_clock);
    println!("TUTTI_CRASH_SEED={seed}");
    let (mut dice, place, acknowledged) = (Dice(seed), Place::new(), Acknowledged::default());
    let worker = Worker::start();
    apply(&Server::start(&place, "").url);
    let (mut servers, mut starting, mut killed_wrappers) = (0, 0, 0);
    while servers < kills {
        let mut server = Server::spawn(&place, "");
        // Some are killed before they are up.
        if dice.below(6) == 0 {
            pause(Duration::from_millis(dice.below(120)));
            server.kill();
            (servers, starting) = (servers + 1, starting + 1);
            continue;
        }
        assert!(server.comes_up(), "the server did not start:\n{}", place.log_tail());
        worker.serve(&server.url);
        let url = server.url.clone();
        std::thread::scope(|scope| {
            let acknowledged = &acknowledged;
            scope.spawn(|| {
                acknowledged.send_again(&url);
                for number in 0..6 {
                    acknowledged.submit(&url, if number % 3 == 0 { "crash/story" } else { "crash/quick" });
                    acknowledged.decide(&url);
                }
            });
            if dice.below(5) == 0 {
                let _ = scope.spawn(|| call(&url, "POST", "/api/v1/prune", &json!({ "older_than": "0s" })));
            }
            pause(Duration::from_millis(20 + dice.below(300)));
            if dice.below(4) == 0
                && let Some(pid) = wrappers(&place.data()).first().and_then(|pid| rustix::process::Pid::from_raw(*pid))
            {
                // It may have ended this moment.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                killed_wrappers += 1;
            }
            server.kill();
        });
        servers += 1;
    }
    let server = Server::start(&place, "");
    worker.serve(&server.url);
    acknowledged.send_again(&server.url);
    settle(&place, &server, &acknowledged);
    server.stop();
    drop(worker);
    let verdict = judge(&place, &acknowledged);
    println!(
        "{servers} servers killed ({starting} while starting), {killed_wrappers} wrappers killed: {} runs, {} attempts, {} processes, {} entries; {} lost, {} duplicated",
        verdict.runs, verdict.attempts, verdict.processes, verdict.entries, verdict.lost, verdict.duplicated
    );
    assert!(acknowledged.runs.lock().unwrap().len() > 10, "too little was acknowledged to show anything");
    assert_eq!((verdict.lost, verdict.duplicated), (0, 0));
}

/// Everything that comes by every point: runs of both kinds, a backup, a pruning.
fn exercise(place: &Place, url: &str, acknowledged: &Acknowledged, worker: &Worker) {
    worker.serve(url);
    acknowledged.send_again(url);
    acknowledged.submit(url, "crash/quick");
    acknowledged.submit(url, "crash/story");
    let _ = call(url, "POST", "/api/v1/events", &json!({ "name": "seen" }));
    let backup = place.folder.path().join(format!("backup-{}", url.replace(':', "-")));
    let _ = call(url, "POST", "/api/v1/backup", &json!({ "to": backup }));
    for _ in 0..200 {
        acknowledged.decide(url);
        // Gone, or nothing runs any more.
        match call(url, "GET", "/api/v1/runs?phase=running", &json!(null)) {
            Err(_) => return,
            Ok((_, open)) if open["items"].as_array().is_none_or(Vec::is_empty) => break,
            Ok(_) => pause(Duration::from_millis(10)),
        }
    }
    let _ = call(url, "POST", "/api/v1/prune", &json!({ "older_than": "0s" }));
    acknowledged.submit(url, "crash/quick");
    acknowledged.submit(url, "crash/quick");
}

fn was_hit(place: &Place, point: Point, action: &str) -> bool {
    let hits = std::fs::read_to_string(place.hits()).unwrap_or_default();
    hits.lines().any(|line| line.starts_with(&format!("{} {action}", point.name())))
}

/// Points that a wrapper comes by, not the server.
fn is_of_a_wrapper(point: Point) -> bool {
    matches!(point, Point::WrapperClaimed | Point::WrapperBeforeRecord | Point::WrapperAfterRecord)
}

#[test]
fn killed_at_every_named_point() {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let worker = Worker::start();
    apply(&Server::start(&place, "").url);
    let mut killed = 0;
    for point in Point::ALL {
        let mut server = Server::spawn(&place, &format!("{}=kill@1", point.name()));
        if server.comes_up() {
            exercise(&place, &server.url, &acknowledged, &worker);
        }
        assert!(was_hit(&place, *point, "Kill"), "nothing came by {}:\n{}", point.name(), place.log_tail());
        if is_of_a_wrapper(*point) {
            server.kill();
        } else {
            assert!(server.ended_within(PATIENCE).is_some_and(|status| !status.success()), "{} did not kill", point.name());
        }
        killed += 1;
        let server = Server::start(&place, "");
        worker.serve(&server.url);
        acknowledged.send_again(&server.url);
        settle(&place, &server, &acknowledged);
        server.kill();
    }
    let server = Server::start(&place, "");
    settle(&place, &server, &acknowledged);
    server.stop();
    drop(worker);
    let verdict = judge(&place, &acknowledged);
    println!(
        "{killed} kills at {} points: {} runs, {} attempts, {} processes; {} lost, {} duplicated",
        Point::ALL.len(),
        verdict.runs,
        verdict.attempts,
        verdict.processes,
        verdict.lost,
        verdict.duplicated
    );
    assert_eq!((verdict.lost, verdict.duplicated), (0, 0));
}

/// A journal that cannot be written ends the server, with a word about why; the next start has everything that was acknowledged.
#[test]
fn a_journal_that_fails_ends_the_server() {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let worker = Worker::start();
    apply(&Server::start(&place, "").url);
    let points =
        [(Point::JournalBeforeWrite, 4), (Point::JournalBeforeCommit, 4), (Point::JournalBeforeMerge, 1), (Point::PruneStep, 1)];
    for (point, nth) in points {
        let mut server = Server::start(&place, &format!("{}=error@{nth}", point.name()));
        exercise(&place, &server.url, &acknowledged, &worker);
        let status = server.ended_within(PATIENCE);
        assert!(was_hit(&place, point, "Error"), "nothing came by {}", point.name());
        assert!(status.is_some_and(|status| status.code().is_some_and(|code| code != 0)), "{}: {status:?}", point.name());
        assert!(place.log_tail().contains("journal"), "{}", place.log_tail());
        let server = Server::start(&place, "");
        worker.serve(&server.url);
        acknowledged.send_again(&server.url);
        settle(&place, &server, &acknowledged);
        server.stop();
    }
    drop(worker);
    let verdict = judge(&place, &acknowledged);
    assert_eq!((verdict.lost, verdict.duplicated), (0, 0), "{verdict:?}");
}

/// A full disk where an attempt is prepared, a wrapper begun, a backup or a pruning made: that step fails and says so, and nothing else does.
#[test]
fn a_step_that_fails_takes_nothing_else_along() {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let worker = Worker::start();
    let points =
        [(Point::ExecutorBeforePrepare, 2), (Point::ExecutorPrepared, 2), (Point::BackupJournal, 1), (Point::PruneRecorded, 1)];
    let armed: Vec<String> = points.iter().map(|(point, nth)| format!("{}=error@{nth}", point.name())).collect();
    let server = Server::start(&place, &armed.join(","));
    apply(&server.url);
    worker.serve(&server.url);
    for workflow in ["crash/quick", "crash/story", "crash/quick"] {
        acknowledged.submit(&server.url, workflow);
    }
    settle(&place, &server, &acknowledged);
    let backup = |name: &str| {
        let to = json!({ "to": place.folder.path().join(name) });
        call(&server.url, "POST", "/api/v1/backup", &to).unwrap()
    };
    let prune = || call(&server.url, "POST", "/api/v1/prune", &json!({ "older_than": "0s" })).unwrap();
    for (status, problem) in [backup("first"), prune()] {
        assert!(
            status >= 500 && problem["detail"].as_str().is_some_and(|said| said.contains("a test lets it fail")),
            "{problem}"
        );
    }
    assert_eq!((backup("second").0, prune().0), (200, 200), "asked again, it is done");
    acknowledged.submit(&server.url, "crash/quick");
    settle(&place, &server, &acknowledged);
    server.stop();
    drop(worker);
    for (point, _) in points {
        assert!(was_hit(&place, point, "Error"), "nothing came by {}", point.name());
    }
    let verdict = judge(&place, &acknowledged);
    assert_eq!((verdict.lost, verdict.duplicated), (0, 0), "{verdict:?}");
}

/// A start that fails halfway says why, leaves everything as it was, and the next one goes on.
#[test]
fn a_start_that_fails_leaves_everything_for_the_next() {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let worker = Worker::start();
    let server = Server::start(&place, "");
    apply(&server.url);
    worker.serve(&server.url);
    acknowledged.submit(&server.url, "crash/story");
    server.kill();
    for point in [Point::StartOpened, Point::StartRestored] {
        let mut server = Server::spawn(&place, &format!("{}=error@1", point.name()));
        assert!(!server.comes_up(), "{} let it start", point.name());
        let status = server.ended_within(PATIENCE);
        assert!(status.is_some_and(|status| status.code().is_some_and(|code| code != 0)), "{}: {status:?}", point.name());
        assert!(was_hit(&place, point, "Error") && place.log_tail().contains("a test lets it fail"), "{}", place.log_tail());
    }
    let server = Server::start(&place, "");
    worker.serve(&server.url);
    acknowledged.send_again(&server.url);
    settle(&place, &server, &acknowledged);
    server.stop();
    drop(worker);
    let verdict = judge(&place, &acknowledged);
    assert_eq!((verdict.lost, verdict.duplicated), (0, 0), "{verdict:?}");
}

/// Every point passed slowly: other orders of events than a quick machine shows.
#[test]
fn everything_delayed() {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let worker = Worker::start();
    let delays: Vec<String> = Point::ALL.iter().map(|point| format!("{}=delay:5", point.name())).collect();
    let server = Server::start(&place, &delays.join(","));
    apply(&server.url);
    exercise(&place, &server.url, &acknowledged, &worker);
    settle(&place, &server, &acknowledged);
    server.stop();
    drop(worker);
    for point in Point::ALL {
        assert!(was_hit(&place, *point, "Delay"), "nothing came by {}", point.name());
    }
    let verdict = judge(&place, &acknowledged);
    assert_eq!((verdict.lost, verdict.duplicated), (0, 0), "{verdict:?}");
}

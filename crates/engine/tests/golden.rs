//! Journals of earlier versions must be read for ever, and bytes that nobody wrote must not do harm.
//!
//! `golden/v1.journal` holds entries as that version wrote them, one a line in hexadecimal digits. A file of `golden/` is **never edited**,
//! whatever changes. What to do instead:
//!
//! - A field was added to an event: give it the value that old entries take in the expectations beside the old file (`golden/v1.rs`), and
//!   add a file for entries that have it, as below.
//! - An event was added, or enough has changed to deserve it: write `golden/v2.rs` with the new entries, name it in [`files`], run
//!   `cargo test -p engine --test golden -- --ignored --nocapture print | grep '^v2 ' | cut -c4- > crates/engine/tests/golden/v2.journal`,
//!   read what it wrote, and commit both.
//! - One of these tests fails and no golden file is missing: the change breaks journals that exist. Change it, not the test.

use std::collections::{BTreeMap, BTreeSet};

use engine::Event;
use engine::codec::{self, DecodeError};
use proptest::prelude::*;

#[path = "golden/v1.rs"]
mod v1;
#[path = "golden/v10.rs"]
mod v10;
#[path = "golden/v11.rs"]
mod v11;
#[path = "golden/v13.rs"]
mod v13;
#[path = "golden/v14.rs"]
mod v14;
#[path = "golden/v15.rs"]
mod v15;
#[path = "golden/v16.rs"]
mod v16;
#[path = "golden/v2.rs"]
mod v2;
#[path = "golden/v21.rs"]
mod v21;
#[path = "golden/v23.rs"]
mod v23;
#[path = "golden/v25.rs"]
mod v25;
#[path = "golden/v26.rs"]
mod v26;
#[path = "golden/v28.rs"]
mod v28;
#[path = "golden/v29.rs"]
mod v29;
#[path = "golden/v3.rs"]
mod v3;
#[path = "golden/v30.rs"]
mod v30;
#[path = "golden/v31.rs"]
mod v31;
#[path = "golden/v32.rs"]
mod v32;
#[path = "golden/v4.rs"]
mod v4;
#[path = "golden/v5.rs"]
mod v5;
#[path = "golden/v6.rs"]
mod v6;
#[path = "golden/v7.rs"]
mod v7;
#[path = "golden/v8.rs"]
mod v8;
#[path = "golden/v9.rs"]
mod v9;

struct File {
    name: &'static str,
    text: &'static str,
    expected: Vec<Event>,
}

fn files() -> Vec<File> {
    vec![
        File { name: "v1", text: include_str!("golden/v1.journal"), expected: v1::events() },
        File { name: "v2", text: include_str!("golden/v2.journal"), expected: v2::events() },
        File { name: "v3", text: include_str!("golden/v3.journal"), expected: v3::events() },
        File { name: "v4", text: include_str!("golden/v4.journal"), expected: v4::events() },
        File { name: "v5", text: include_str!("golden/v5.journal"), expected: v5::events() },
        File { name: "v6", text: include_str!("golden/v6.journal"), expected: v6::events() },
        File { name: "v7", text: include_str!("golden/v7.journal"), expected: v7::events() },
        File { name: "v8", text: include_str!("golden/v8.journal"), expected: v8::events() },
        File { name: "v13", text: include_str!("golden/v13.journal"), expected: v13::events() },
        File { name: "v14", text: include_str!("golden/v14.journal"), expected: v14::events() },
        File { name: "v15", text: include_str!("golden/v15.journal"), expected: v15::events() },
        File { name: "v16", text: include_str!("golden/v16.journal"), expected: v16::events() },
        File { name: "v21", text: include_str!("golden/v21.journal"), expected: v21::events() },
        File { name: "v23", text: include_str!("golden/v23.journal"), expected: v23::events() },
        File { name: "v25", text: include_str!("golden/v25.journal"), expected: v25::events() },
        File { name: "v26", text: include_str!("golden/v26.journal"), expected: v26::events() },
        File { name: "v28", text: include_str!("golden/v28.journal"), expected: v28::events() },
        File { name: "v29", text: include_str!("golden/v29.journal"), expected: v29::events() },
        File { name: "v30", text: include_str!("golden/v30.journal"), expected: v30::events() },
        File { name: "v31", text: include_str!("golden/v31.journal"), expected: v31::events() },
        File { name: "v32", text: include_str!("golden/v32.journal"), expected: v32::events() },
        File { name: "v9", text: include_str!("golden/v9.journal"), expected: v9::events() },
        File { name: "v10", text: include_str!("golden/v10.journal"), expected: v10::events() },
        File { name: "v11", text: include_str!("golden/v11.journal"), expected: v11::events() },
    ]
}

fn entries(text: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

fn all_entries() -> Vec<Vec<u8>> {
    files().iter().flat_map(|file| entries(file.text)).collect()
}

#[test]
fn every_entry_ever_written_is_read_as_what_it_meant() {
    for file in files() {
        let entries = entries(file.text);
        assert_eq!(entries.len(), file.expected.len(), "{}", file.name);
        for (line, (bytes, expected)) in entries.iter().zip(&file.expected).enumerate() {
            assert_eq!(&codec::decode(bytes).unwrap(), expected, "entry {} of {}", line + 1, file.name);
        }
    }
}

/// The numbers of the variants as they stand in the source: an event that was added is found here without anybody remembering to.
fn numbers_in_the_source() -> BTreeMap<u8, String> {
    let source = include_str!("../src/event.rs");
    let (_, variants) = source.split_once("pub enum Event {").unwrap();
    let (variants, _) = variants.split_once("\n}").unwrap();
    let lines: Vec<&str> = variants.lines().collect();
    let number = |line: &str| line.strip_prefix("    #[n(")?.strip_suffix(")]")?.parse().ok();
    lines.windows(2).filter_map(|pair| Some((number(pair[0])?, pair[1].trim().to_owned()))).collect()
}

#[test]
fn every_event_is_in_a_golden_file_with_all_its_fields() {
    let known = numbers_in_the_source();
    assert!(known.len() >= 34, "the variants are not found in the source any more: {known:?}");
    let mut seen = BTreeSet::new();
    for bytes in all_entries() {
        let kind = codec::kind(&bytes);
        assert!(known.contains_key(&kind), "the golden files hold number {kind}, which is no event any more");
        // Bodies, and whom a run is about, are no part of the bytes.
        let text = format!("{:?}", codec::decode(&bytes).unwrap()).replace("body: None", "").replace("subject: None", "");
        if !text.contains("None") && !text.contains("[]") && !text.contains("{}") {
            seen.insert(kind);
        }
    }
    let missing: Vec<_> = known.iter().filter(|(number, _)| !seen.contains(number)).collect();
    assert!(missing.is_empty(), "no golden file holds, with every field set: {missing:?}");
}

/// A restart passes these over, so they have to be exactly those that `evolve` does nothing for.
#[test]
fn what_a_restart_passes_over_changes_nothing() {
    let source = include_str!("../src/evolve.rs");
    let (_, arm) = source.split_once("// Facts that only projections and people care about.").unwrap();
    let (arm, _) = arm.split_once("=> {}").unwrap();
    let names: BTreeSet<String> =
        arm.split('|').map(|name| name.trim().trim_start_matches("Event::").trim_end_matches("(_)").to_owned()).collect();
    let passed: BTreeSet<String> = numbers_in_the_source()
        .into_iter()
        .filter(|(number, _)| codec::UNFOLDED.contains(number))
        .filter_map(|(_, line)| Some(line.split_once('(')?.0.to_owned()))
        .collect();
    assert_eq!(passed, names);
}

#[test]
fn what_is_read_is_written_alike() {
    for bytes in all_entries() {
        let event = codec::decode(&bytes).unwrap();
        let again = codec::encode(&event);
        assert_eq!(codec::decode(&again).unwrap(), event);
        assert_eq!(codec::kind(&again), codec::kind(&bytes));
    }
}

/// Writes the entries of the current expectations; see the top of this file.
#[test]
#[ignore = "prints the text of a golden file of a new version"]
fn print() {
    for file in files() {
        for event in &file.expected {
            let hex: String = codec::encode(event).iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{} {hex}", file.name);
        }
    }
}

/// What a later version might write.
mod later {
    use minicbor::Encode;

    #[derive(Encode)]
    pub(super) enum Event {
        #[n(12)]
        RunFailing(#[n(0)] RunFailing),
        #[n(13)]
        RunPaused(#[n(0)] RunPaused),
        #[n(39)]
        Unheard(#[n(0)] RunPaused),
    }

    #[derive(Encode)]
    pub(super) struct RunPaused {
        #[n(0)]
        pub(super) run: u64,
        #[n(1)]
        pub(super) principal: String,
        #[n(2)]
        pub(super) why: Option<Vec<String>>,
        #[n(5)]
        pub(super) until: u64,
    }

    #[derive(Encode)]
    pub(super) struct RunFailing {
        #[n(0)]
        pub(super) run: u64,
        #[n(1)]
        pub(super) action: Option<u32>,
        #[n(2)]
        pub(super) failure: Failure,
    }

    #[derive(Encode)]
    pub(super) struct Failure {
        #[n(0)]
        pub(super) class: Class,
        #[n(1)]
        pub(super) message: String,
        #[n(2)]
        pub(super) exit_code: Option<i32>,
        #[n(3)]
        pub(super) code: Option<String>,
        #[n(4)]
        pub(super) permanent: bool,
        #[n(5)]
        pub(super) text: Option<u8>,
        #[n(6)]
        pub(super) hint: String,
    }

    #[derive(Encode)]
    #[cbor(index_only)]
    pub(super) enum Class {
        #[n(0)]
        User,
        #[n(200)]
        Unheard,
    }

    pub(super) fn failing(class: Class) -> Event {
        let failure = Failure {
            class,
            message: "no".into(),
            exit_code: None,
            code: None,
            permanent: false,
            text: None,
            hint: "try again".into(),
        };
        Event::RunFailing(RunFailing { run: 7, action: None, failure })
    }
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    use engine::event::{ByWhom, RunFailing};
    use model::{Failure, FailureClass, RunId};
    let paused = || later::RunPaused { run: 7, principal: "operator".into(), why: Some(vec!["a".into(), "b".into()]), until: 9 };
    let bytes = minicbor::to_vec(later::Event::RunPaused(paused())).unwrap();
    let expected = Event::RunPaused(ByWhom { run: RunId(7), principal: "operator".into() });
    assert_eq!(codec::decode(&bytes).unwrap(), expected);

    let bytes = minicbor::to_vec(later::failing(later::Class::User)).unwrap();
    let failure = Failure::new(FailureClass::User, "no");
    assert_eq!(codec::decode(&bytes).unwrap(), Event::RunFailing(RunFailing { run: RunId(7), action: None, failure }));

    for event in [later::Event::Unheard(paused()), later::failing(later::Class::Unheard)] {
        let error = codec::decode(&minicbor::to_vec(event).unwrap()).unwrap_err();
        assert!(matches!(error, DecodeError::Newer(_)), "{error}");
        assert!(error.to_string().contains("later version"), "{error}");
    }
}

#[test]
fn what_stands_behind_an_event_is_refused() {
    let mut bytes = all_entries().swap_remove(0);
    bytes.push(0);
    assert!(matches!(codec::decode(&bytes), Err(DecodeError::Trailing(1))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = codec::kind(&bytes);
        if let Ok(event) = codec::decode(&bytes) {
            prop_assert_eq!(codec::decode(&codec::encode(&event)).unwrap(), event);
        }
    }

    /// Bytes that look like an event almost to the end: cut off, bent, with something put in between.
    #[test]
    fn bent_entries_never_panic(
        which in any::<prop::sample::Index>(),
        bends in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        let all = all_entries();
        let mut bytes = all[which.index(all.len())].clone();
        for (at, value, how) in bends {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => bytes.insert(at, value),
                _ => bytes.truncate(at),
            }
        }
        if let Ok(event) = codec::decode(&bytes) {
            prop_assert_eq!(codec::decode(&codec::encode(&event)).unwrap(), event);
        }
    }
}

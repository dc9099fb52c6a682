//! Random commands against a reference that knows the rules and nothing of how the engine keeps them: after every command, both have to
//! be in the same place. The order is the same in every run of this test; `PROPTEST_CASES` asks for more of it.

mod driver;
mod reference;
mod rules;
mod spec;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use reference::Wrong;

/// How many stories a bent rule may take.
const BENT_CASES: u32 = 1_000;

fn tell(cases: u32, wrong: Option<Wrong>) -> Result<(), TestError<spec::Story>> {
    let config = Config { cases, max_shrink_iters: if wrong.is_some() { 0 } else { 4_000 }, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&spec::stories(), |story| driver::tell(&story, wrong).map_err(TestCaseError::fail))
}

#[test]
fn the_engine_does_what_its_rules_say() {
    match tell(Config::default().cases, None) {
        Ok(()) => {}
        Err(TestError::Fail(reason, story)) => panic!("{reason}\nthe shortest story in which it happens: {story:?}"),
        Err(error) => panic!("{error}"),
    }
}

/// A comparison that finds nothing may also be one that looks at nothing: each rule, bent, has to be found out.
#[test]
fn every_bent_rule_is_found_out() {
    let missed: Vec<Wrong> = Wrong::ALL.iter().copied().filter(|wrong| tell(BENT_CASES, Some(*wrong)).is_ok()).collect();
    assert!(missed.is_empty(), "not found out: {missed:?}");
}

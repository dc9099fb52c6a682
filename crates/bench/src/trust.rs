//! What governing costs: decisions of rules, the account and its verification, witnesses, sealed files, erasure. What a start within walls
//! costs is measured with the rounds (`floor walls`, `W1 process`).

mod account;
mod rules;
mod sealed;
mod witnessed;

use crate::options::Options;
use crate::report::Report;

/// Measures all of it.
pub(crate) fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    if options.wants_workload("rules") {
        rules::measure(options.rounds, report);
    }
    if options.wants_workload("log") {
        account::in_memory(options.rounds, report);
    }
    if options.wants_workload("seal") {
        sealed::measure(options, report)?;
    }
    if options.wants_workload("witness") {
        witnessed::measure(options, report)?;
    }
    if options.wants_workload("account") {
        account::of_a_server(options, report)?;
    }
    Ok(())
}

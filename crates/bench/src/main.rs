//! The figures of Tutti: workloads sent to a real server through its API, beside the floor of the same disk in the same rounds.
//!
//! The client is made to cost little (blocking sockets that stay open, answers read by hand) and says what it costs itself. What goes
//! through a server knows nothing of the house but the API: what is measured is what a user gets. Decisions (`placement`, `trust`) are measured with
//! the code that makes them.

mod connections;
mod floor;
mod flyte;
mod foresight;
mod growth;
mod http;
mod machine;
mod options;
mod peer;
mod proc;
mod report;
mod rounds;
mod sample;
mod server;
mod trust;
mod web;
mod worker;
mod workflows;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    let cli = options::Cli::parse();
    match cli.command {
        Some(options::Command::Worker { address, connector, slots }) => worker::serve(&address, &connector, slots),
        None => measure(&cli.options),
    }
}

fn measure(options: &options::Options) -> anyhow::Result<()> {
    let mut report = report::Report::new(machine::describe(options)?);
    for (part, measure) in options::PARTS {
        if options.wants(part) {
            measure(options, &mut report)?;
        }
    }
    let file = report.save(&options.results)?;
    println!("{}", report.table());
    eprintln!("written to {}", file.display());
    Ok(())
}

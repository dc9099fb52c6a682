//! `tutti-verify`: checks exports, proofs and evidence packs of an audit log. It opens the files it is given and nothing else: no network, no
//! server, no engine.

#![forbid(unsafe_code)]

mod arguments;
mod look;
mod report;

use std::process::ExitCode;

use arguments::{Asked, USAGE};

/// Something is wrong with what was looked at.
const FOUND: u8 = 1;
/// It could not be looked at, or the command line is not right.
const NOT_LOOKED_AT: u8 = 2;

fn main() -> ExitCode {
    let asked = match Asked::read(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error),
    };
    match look::look(&asked) {
        Ok(verdict) => {
            report::print(&verdict, asked.json);
            if verdict.holds { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("tutti-verify: {error}");
    ExitCode::from(NOT_LOOKED_AT)
}

//! Chores of the house: the rules that hold it together, checked, and the pages that are made from the code.

#![forbid(unsafe_code)]

mod finding;
mod generate;
mod tidy;
mod tree;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  tidy        check the rules of the house: layers, purity, sizes, words, links, error pages, generated pages
  limits      write docs/reference/limits.md from the model's limits
  generate    write everything that is made from the code: the limits, the schema of the language, the index of error pages";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy::run(root),
        ["limits"] => generate::write(root, &[generate::LIMITS]),
        ["generate"] => generate::write(root, generate::ALL),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

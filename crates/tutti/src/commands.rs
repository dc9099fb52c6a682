//! What each command does. One file a noun, with the names of `api::rest`.

pub(crate) mod applying;
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod runs;
pub(crate) mod up;

use crate::cli::{Cli, Command};
use crate::failure::{CommandError, Exit};

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Result<Exit, CommandError> {
    let door = &cli.door;
    match cli.command {
        Command::Up(up) => up.run(door).await,
        Command::Apply(apply) => apply.run(door).await,
        Command::Run(run) => run.run(door).await,
        Command::Get(get) => get.run(door).await,
        Command::Demo(demo) => demo.run(door).await,
    }
}

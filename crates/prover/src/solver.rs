//! The solver: a program that is found, started once, and asked many times.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use cedar_policy_symcc::CedarSymCompiler;
use cedar_policy_symcc::solver::LocalSolver;
use tokio::process::Command;

/// What a question may take, in milliseconds. A question without an answer by then is told as such.
const QUESTION_MS: u64 = 60_000;

/// There is no solver, or it does not work.
#[derive(Debug, thiserror::Error)]
pub enum NoSolver {
    /// It is not installed.
    #[error("there is no solver: `cvc5` is not on the path, and `CVC5` does not name one")]
    Missing,
    /// It is not one, or it is broken.
    #[error("`{path}` is no solver that can be used: {why}")]
    Unusable {
        /// The program.
        path: String,
        /// Why not.
        why: String,
    },
}

/// A solver that is there.
#[derive(Clone, Debug)]
pub struct Solver {
    path: PathBuf,
    /// What it says of itself.
    version: String,
}

pub(crate) type Compiler = CedarSymCompiler<LocalSolver>;

impl Solver {
    /// The program that is named, or else `cvc5` on the search path. It is asked for its version.
    pub async fn find(named: Option<OsString>) -> Result<Solver, NoSolver> {
        let explicit = named.filter(|named| !named.is_empty());
        let path = PathBuf::from(explicit.clone().unwrap_or_else(|| "cvc5".into()));
        let unusable = |why: String| NoSolver::Unusable { path: path.display().to_string(), why };
        let asked = Command::new(&path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = match asked {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && explicit.is_none() => return Err(NoSolver::Missing),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.lines().next().unwrap_or_default().trim().to_owned();
        if !output.status.success() || !version.contains("cvc5") {
            return Err(unusable("it does not say that it is cvc5".into()));
        }
        Ok(Solver { path, version })
    }

    /// What it says of itself: `This is cvc5 version 1.3.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Result<Compiler, NoSolver> {
        let unusable = |why: String| NoSolver::Unusable { path: self.path.display().to_string(), why };
        let mut command = Command::new(&self.path);
        command.args(["--lang", "smt", &format!("--tlimit-per={QUESTION_MS}")]).kill_on_drop(true);
        let solver = LocalSolver::from_command(&mut command).map_err(|error| unusable(error.to_string()))?;
        CedarSymCompiler::new(solver).map_err(|error| unusable(error.to_string()))
    }
}

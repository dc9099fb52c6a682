//! The workflows of the workloads.

use std::fmt::Write as _;

/// The connector that the external worker serves.
pub(crate) const CONNECTOR: &str = "bench/fib";

/// Who runs the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The server itself: `core/fib`.
    Builtin,
    /// An external worker over its stream.
    Worker,
    /// A process each: `run: ["true"]`.
    Process,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Builtin => "builtin",
            Mode::Worker => "worker",
            Mode::Process => "process",
        }
    }

    /// A step, and what it reads of the step before.
    fn step(self, before: Option<usize>) -> String {
        let after = before.map(|before| format!(", after: s{before}")).unwrap_or_default();
        match self {
            Mode::Builtin => format!("{{use: core/fib, with: {{n: 10}}{after}}}"),
            Mode::Worker => format!("{{use: {CONNECTOR}@1, with: {{n: 10}}{after}}}"),
            // It needs no core of its own for the sake of the placer: `true` is gone before a second one begins.
            Mode::Process => format!("{{run: [\"true\"], needs: {{cpu: 0.01, memory: 32Mi}}{after}}}"),
        }
    }

    /// The step of a map.
    fn item(self) -> String {
        match self {
            Mode::Builtin => "{use: core/noop}".into(),
            other => other.step(None),
        }
    }
}

/// So many steps, one after another.
pub(crate) fn chain(name: &str, mode: Mode, steps: usize) -> String {
    let mut text = format!("workflow: bench/{name}\nnodes:\n");
    for step in 0..steps {
        let before = step.checked_sub(1);
        // A string takes no errors.
        let _ = writeln!(text, "  s{step}: {}", mode.step(before));
    }
    text
}

/// So many steps at once, as the inputs say, and a join.
pub(crate) fn fan(name: &str, mode: Mode) -> String {
    let item = mode.item();
    format!(
        "workflow: bench/{name}\ninputs: {{items: {{type: array}}}}\nnodes:\n  all: {{each: {{items: \"${{ inputs.items }}\", \
         concurrency: 10000, do: {item}}}}}\n  join: {{use: core/noop, after: all}}\n"
    )
}

/// The connector of the worker.
pub(crate) fn connector() -> String {
    format!("kind: connector\nname: {CONNECTOR}\nversion: 1\ndescription: The n-th Fibonacci number, by an external worker.\n")
}

//! Values that are pasted into the text of a program: whoever gives the value writes a part of the program.

use crate::Diagnostic;
use crate::check::{Environment, check};
use crate::expression::{Part, parts};
use crate::source::{Data, Tree};
use crate::types::Type;

use super::Compiler;

/// Programs that take a line of shell after `-c`.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"];

impl Compiler<'_> {
    /// Warns of what a command pastes into the line of `[sh, -c, …]`.
    pub(crate) fn warn_of_command(&self, command: &Tree, environment: &Environment) {
        let Data::List(items) = &command.data else { return };
        let program = items.first().and_then(Tree::as_str).and_then(|program| program.rsplit('/').next());
        if !program.is_some_and(|program| SHELLS.contains(&program)) {
            return;
        }
        let is_line = |option: &Tree| {
            option.as_str().is_some_and(|option| option.starts_with('-') && !option.starts_with("--") && option.ends_with('c'))
        };
        if let Some(line) = items.iter().position(is_line).and_then(|at| items.get(at + 1)) {
            self.warn_of_pasting(line, environment);
        }
    }

    /// Warns of what a script pastes into its own text.
    pub(crate) fn warn_of_pasting(&self, tree: &Tree, environment: &Environment) {
        let Some(text) = tree.as_str() else { return };
        // What cannot be read has been found already.
        for part in parts(text).unwrap_or_default() {
            let Part::Expression(source, range) = part else { continue };
            let Ok(checked) = check(&source, environment) else { continue };
            if is_harmless(&checked.result) {
                continue;
            }
            let message = format!("`{source}` is pasted into the script as it is: whoever gives the value can write commands");
            let finding = Diagnostic::warning("W0307", self.expression_span(text, tree, &range), message);
            self.findings.push(finding.hint("give it to `env` of `run` and write `\"$NAME\"` in the script"));
        }
    }
}

/// Whether a value of a type cannot be read as anything but itself. An artifact is a path that the site makes.
fn is_harmless(found: &Type) -> bool {
    match found {
        Type::Labelled(_, inner) => is_harmless(inner),
        Type::Null | Type::Boolean | Type::Integer | Type::Number | Type::Artifact => true,
        Type::Any | Type::Text | Type::List(..) | Type::Object(..) => false,
    }
}

//! A tree that moves: drawn over itself on standard error, never higher than the terminal.

use std::io::{IsTerminal as _, Write as _};

use api::rest::views::RunView;

use super::tree::{self, Look};
use crate::variables;

/// The terminal.
pub(super) struct Screen {
    run: Option<RunView>,
    /// The columns of the lines that stand there now.
    drawn: Vec<usize>,
    frame: usize,
    colour: bool,
    unicode: bool,
}

impl Screen {
    /// The terminal, when there is one that can be drawn on.
    pub(super) fn open() -> Option<Screen> {
        let dumb = std::env::var("TERM").map_or(true, |term| term.is_empty() || term == "dumb");
        if dumb || !std::io::stderr().is_terminal() {
            return None;
        }
        // As no-color.org has it: set to anything but nothing.
        let colour = std::env::var_os(variables::NO_COLOR).is_none_or(|value| value.is_empty());
        Some(Screen { run: None, drawn: Vec::new(), frame: 0, colour, unicode: variables::shows_unicode() })
    }

    pub(super) fn run(&mut self, run: &RunView) {
        self.run = Some(run.clone());
        self.draw();
    }

    pub(super) fn tick(&mut self) {
        self.frame += 1;
        self.draw();
    }

    /// A line that stays, above the tree.
    pub(super) fn say(&mut self, text: &str) {
        self.put(&[text.to_owned()]);
        self.drawn.clear();
    }

    /// The last picture stays.
    pub(super) fn end(&mut self, run: Option<&RunView>) {
        if let Some(run) = run.filter(|run| !run.actions.is_empty()) {
            self.run = Some(run.clone());
            self.draw();
        }
        self.drawn.clear();
    }

    fn draw(&mut self) {
        let Some(run) = &self.run else { return };
        let (width, height) = size();
        let look = Look {
            colour: self.colour,
            unicode: self.unicode,
            width,
            height: height.saturating_sub(1).max(2),
            frame: self.frame,
            now: controlplane::wall(),
        };
        let lines = tree::draw(run, &look);
        self.put(&lines);
    }

    fn put(&mut self, lines: &[String]) {
        let mut text = String::new();
        // Terminals that became narrower have put what was too wide onto lines of its own.
        let width = size().0.max(1);
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(width).max(1)).sum();
        if rows > 0 {
            text += &format!("\x1b[{rows}A");
        }
        for line in lines {
            text += &format!("\r{line}\x1b[K\n");
        }
        // What stood below is gone.
        text += "\x1b[J";
        self.drawn = lines.iter().map(|line| tree::columns(line)).collect();
        // A terminal that has gone away has no use for this.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Columns and rows.
fn size() -> (usize, usize) {
    let found = rustix::termios::tcgetwinsize(std::io::stderr()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    found.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

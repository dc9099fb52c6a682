//! The tree of a run's actions as lines: what is in a sub-workflow or a map stands below it, large maps are summed up, and what is over gives
//! way to what is not when the lines are more than the terminal has.

use std::collections::BTreeMap;

use api::rest::views::{ActionView, RunView};

use crate::output::{money, seconds};
use crate::rows::place;

/// How the tree is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: bool,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Counts up, so that what runs is seen to move.
    pub(super) frame: usize,
}

/// Items of a map that are listed; of larger maps only those that failed are.
const ITEMS_MAX: usize = 8;
/// Failed items of a large map that are listed.
const FAILED_MAX: usize = 3;
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Whether nothing follows this phase.
pub(super) fn is_over(phase: &str) -> bool {
    model::Phase::parse(phase).is_some_and(model::Phase::is_terminal)
}

/// Whether it ended badly.
pub(super) fn is_bad(phase: &str) -> bool {
    matches!(phase, "failed" | "timed_out")
}

/// The map that an item belongs to: `a/score` for `a/score[3]`.
pub(super) fn map_of(path: &str) -> Option<&str> {
    path.strip_suffix(']').and_then(|path| path.rfind('[').map(|at| &path[..at]))
}

/// The action that this one stands below.
fn parent_of(path: &str) -> Option<&str> {
    map_of(path).or_else(|| path.rfind('/').map(|at| &path[..at]))
}

/// A line before it is cut and coloured.
struct Line {
    text: String,
    colour: Colour,
    /// What goes first when there is no room.
    over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    Plain,
    Dim,
    Green,
    Red,
    Yellow,
    Cyan,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Colour::Plain => "",
            Colour::Dim => "\x1b[2m",
            Colour::Green => "\x1b[32m",
            Colour::Red => "\x1b[31m",
            Colour::Yellow => "\x1b[33m",
            Colour::Cyan => "\x1b[36m",
        }
    }
}

/// The lines of the tree.
pub(super) fn draw(run: &RunView, look: &Look) -> Vec<String> {
    let mut children: BTreeMap<&str, Vec<&ActionView>> = BTreeMap::new();
    let known: BTreeMap<&str, ()> = run.actions.iter().map(|action| (action.path.as_str(), ())).collect();
    for action in &run.actions {
        // What stands below something that is not there stands at the root.
        let parent = parent_of(&action.path).filter(|parent| known.contains_key(parent)).unwrap_or_default();
        children.entry(parent).or_default().push(action);
    }
    let width = run.actions.iter().map(|action| label_width(&action.path, &known)).max().unwrap_or(0).clamp(8, 40);
    let mut lines = vec![head(run, look)];
    below("", 0, width, &children, look, &mut lines);
    fit(lines, look.height).into_iter().map(|line| finish(&line, look)).collect()
}

fn label_width(path: &str, known: &BTreeMap<&str, ()>) -> usize {
    let (mut depth, mut at) = (0, path);
    while let Some(parent) = parent_of(at).filter(|parent| known.contains_key(parent)) {
        (depth, at) = (depth + 1, parent);
    }
    let own = parent_of(path).map_or(path, |parent| path[parent.len()..].trim_start_matches('/'));
    depth * 2 + own.chars().count()
}

fn head(run: &RunView, look: &Look) -> Line {
    let (glyph, colour) = glyph(&run.phase, false, look.frame);
    let done = format!("{}/{} actions", run.actions_done, run.actions_total);
    let text =
        format!("{glyph} {}  {}  {}  {done}  {}  {}", run.name, run.workflow, run.phase, seconds(run.seconds), money(run.cost));
    Line { text, colour, over: false }
}

fn below(
    parent: &str,
    depth: usize,
    width: usize,
    children: &BTreeMap<&str, Vec<&ActionView>>,
    look: &Look,
    lines: &mut Vec<Line>,
) {
    let Some(list) = children.get(parent) else { return };
    let many = list.iter().filter(|action| map_of(&action.path) == Some(parent)).count() > ITEMS_MAX;
    let mut failed = 0;
    for action in list {
        if many && map_of(&action.path) == Some(parent) {
            failed += usize::from(is_bad(&action.phase));
            if !is_bad(&action.phase) || failed > FAILED_MAX {
                continue;
            }
        }
        lines.push(line(action, depth, width, children.get(action.path.as_str()), look));
        below(&action.path, depth + 1, width, children, look, lines);
    }
    if failed > FAILED_MAX {
        let text = format!("{}  … and {} more that failed", "  ".repeat(depth + 1), failed - FAILED_MAX);
        lines.push(Line { text, colour: Colour::Red, over: false });
    }
}

fn line(action: &ActionView, depth: usize, width: usize, inside: Option<&Vec<&ActionView>>, look: &Look) -> Line {
    let waits = action.kind == "human" && action.phase == "running";
    let (glyph, colour) = if waits { ('?', Colour::Yellow) } else { glyph(&action.phase, action.reused, look.frame) };
    let own = parent_of(&action.path).map_or(action.path.as_str(), |parent| action.path[parent.len()..].trim_start_matches('/'));
    let label = format!("{}{own}", "  ".repeat(depth));
    let mut text = format!("  {glyph} {label:<width$}");
    let items = inside.filter(|items| items.len() > ITEMS_MAX && items.iter().all(|item| map_of(&item.path).is_some()));
    let state = match (waits, items) {
        (true, _) => "waits for a person".to_owned(),
        (_, Some(items)) => counts(items),
        _ if action.waits_for.is_some() => format!("waits for {}", action.waits_for.as_deref().unwrap_or_default()),
        _ if action.reused => "reused".to_owned(),
        _ if action.attempts > 1 && !is_over(&action.phase) => format!("{} (attempt {})", action.phase, action.attempts),
        _ => action.phase.clone(),
    };
    text += &format!("  {state:<12}");
    if action.site.is_some() {
        text += &format!("  {}", place(action.site.as_deref(), action.simulates.as_deref()));
    }
    if action.started_at.is_some() && !waits {
        text += &format!("  {}", seconds(action.seconds));
    }
    if action.cost > 0.0 {
        text += &format!("  {}", money(action.cost));
    }
    if let Some(failure) = action.failure.as_ref().filter(|_| action.phase != "skipped") {
        text += &format!("  {}", failure.message.lines().next().unwrap_or_default());
    }
    Line { text, colour, over: is_over(&action.phase) && !is_bad(&action.phase) }
}

/// How many items are in which phase: `37 succeeded, 4 running, 59 queued`.
fn counts(items: &[&ActionView]) -> String {
    let mut by_phase: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        *by_phase.entry(item.phase.as_str()).or_default() += 1;
    }
    let order =
        ["succeeded", "failed", "timed_out", "aborted", "skipped", "running", "initializing", "waiting_for_resources", "queued"];
    let counted =
        order.iter().filter_map(|phase| by_phase.get(phase).map(|count| format!("{count} {}", phase.replace('_', " "))));
    counted.collect::<Vec<_>>().join(", ")
}

fn glyph(phase: &str, reused: bool, frame: usize) -> (char, Colour) {
    match phase {
        _ if reused => ('↺', Colour::Green),
        "succeeded" => ('✓', Colour::Green),
        "failed" | "timed_out" => ('✗', Colour::Red),
        "aborted" => ('⊘', Colour::Red),
        "skipped" => ('–', Colour::Dim),
        "paused" => ('‖', Colour::Yellow),
        "waiting_for_resources" => ('◌', Colour::Yellow),
        "initializing" => ('◔', Colour::Cyan),
        "running" => (SPINNER.get(frame % SPINNER.len()).copied().unwrap_or('*'), Colour::Cyan),
        _ => ('○', Colour::Plain),
    }
}

/// No more lines than there is room for: first what is over gives way, from the top; then the rest is cut.
fn fit(mut lines: Vec<Line>, height: usize) -> Vec<Line> {
    if lines.len() <= height {
        return lines;
    }
    // One line says how many are not shown.
    let surplus = lines.len() + 1 - height;
    let mut hidden = 0;
    lines.retain(|line| {
        let hide = line.over && hidden < surplus;
        hidden += usize::from(hide);
        !hide
    });
    if hidden > 0 {
        let text = format!("    … {hidden} that are over");
        lines.insert(1, Line { text, colour: Colour::Dim, over: true });
    }
    if lines.len() > height {
        let cut = lines.len() + 1 - height;
        lines.truncate(height - 1);
        lines.push(Line { text: format!("    … and {cut} more"), colour: Colour::Dim, over: true });
    }
    lines
}

fn finish(line: &Line, look: &Look) -> String {
    let cut: String = line.text.chars().take(look.width).collect();
    let text = cut.trim_end();
    if look.colour && line.colour != Colour::Plain { format!("{}{text}\x1b[0m", line.colour.code()) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(path: &str, kind: &str, phase: &str) -> ActionView {
        ActionView { path: path.into(), kind: kind.into(), phase: phase.into(), ..ActionView::default() }
    }

    fn run(actions: Vec<ActionView>) -> RunView {
        RunView { name: "r-1".into(), workflow: "t/w".into(), phase: "running".into(), actions, ..RunView::default() }
    }

    fn plain(height: usize) -> Look {
        Look { colour: false, width: 80, height, frame: 0 }
    }

    #[test]
    fn what_is_inside_stands_below() {
        let mut trained = action("train", "run", "succeeded");
        (trained.site, trained.simulates) = (Some("cloud".into()), Some("a cloud".into()));
        (trained.started_at, trained.seconds, trained.cost) = (Some("t".into()), 2.0, 0.5);
        let list = vec![
            trained,
            action("sub", "workflow", "running"),
            action("sub/clean", "run", "running"),
            action("ask", "human", "running"),
        ];
        let lines = draw(&run(list), &plain(20));
        let expected = [
            "⠋ r-1  t/w  running  0/0 actions  0s  0",
            "  ✓ train     succeeded     cloud (simulated)  2.0s  0.50",
            "  ⠋ sub       running",
            "  ⠋   clean   running",
            "  ? ask       waits for a person",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn large_maps_are_summed_up() {
        let mut list = vec![action("score", "each", "running")];
        list.extend((0..1000).map(|n| action(&format!("score[{n}]"), "run", if n < 990 { "succeeded" } else { "queued" })));
        list[5].phase = "failed".into();
        let lines = draw(&run(list), &plain(20));
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("989 succeeded, 1 failed, 10 queued"), "{lines:?}");
        assert!(lines[2].contains("[4]"), "{lines:?}");
    }

    #[test]
    fn it_fits_the_terminal() {
        let mut list: Vec<ActionView> = (0..30).map(|n| action(&format!("a{n}"), "run", "succeeded")).collect();
        list.extend((0..5).map(|n| action(&format!("b{n}"), "run", "running")));
        for height in [2, 5, 10, 36, 40] {
            let lines = draw(&run(list.clone()), &plain(height));
            assert!(lines.len() <= height, "{height}: {lines:?}");
        }
        let lines = draw(&run(list), &plain(10));
        assert!(
            lines[1].contains("27 that are over") && lines.iter().filter(|line| line.contains("running")).count() >= 5,
            "{lines:?}"
        );
    }

    #[test]
    fn colours_only_when_wanted_and_lines_only_so_wide() {
        let list = vec![action("a-rather-long-name-of-a-node", "run", "failed")];
        let look = Look { colour: true, width: 20, ..plain(5) };
        let lines = draw(&run(list), &look);
        assert!(lines[1].starts_with("\x1b[31m") && lines[1].ends_with("\x1b[0m"), "{lines:?}");
        assert!(lines[1].chars().count() <= 20 + 9);
    }
}

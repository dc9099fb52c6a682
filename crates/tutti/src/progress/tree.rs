//! The tree of a run's actions as lines: what is in a sub-workflow or a map stands below it, large maps are summed up, and what is over gives
//! way to what is not when the lines are more than the terminal has.

use std::collections::BTreeMap;

use api::rest::views::{ActionView, RunView};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::{money, seconds};
use crate::rows::place;

/// How the tree is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: bool,
    /// Whether the terminal shows more than ASCII.
    pub(super) unicode: bool,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Counts up, so that what runs is seen to move.
    pub(super) frame: usize,
    /// The present moment, for what is still to come.
    pub(super) now: model::Timestamp,
}

/// Items of a map that are listed; of larger maps only those that failed are.
const ITEMS_MAX: usize = 8;
/// Failed items of a large map that are listed.
const FAILED_MAX: usize = 3;
const PLAIN_SPINNER: [char; 4] = ['|', '/', '-', '\\'];
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Whether nothing follows this phase.
pub(super) fn is_over(phase: &str) -> bool {
    model::Phase::parse(phase).is_some_and(model::Phase::is_terminal)
}

/// Whether it ended badly.
pub(super) fn is_bad(phase: &str) -> bool {
    matches!(phase, "failed" | "timed_out")
}

/// The last attempt that failed of an action that is tried again; none of one that is over, or whose first attempt is under way.
pub(super) fn failed_attempt(action: &ActionView) -> Option<u32> {
    action.failure.as_ref()?;
    match action.phase.as_str() {
        phase if is_over(phase) => None,
        "running" | "initializing" => action.attempts.checked_sub(1),
        // One that waits for a worker is under way.
        _ if action.waits_for.is_some() => action.attempts.checked_sub(1),
        _ => Some(action.attempts),
    }
    .filter(|attempt| *attempt > 0)
}

/// That an attempt failed, when the next comes, and why: `failed, again in 8s: out of luck`. What is cut off is of the reason.
pub(super) fn why_again(action: &ActionView, now: model::Timestamp) -> String {
    let why = action.failure.as_ref().map(|failure| first_line(&failure.message));
    let why = why.filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
    let left = action.retry_at.as_deref().and_then(|at| api::rest::seconds_until(at, now));
    // Whole seconds are enough, and "again in 0s" helps nobody.
    let in_words = |left: f64| if left < 60.0 { format!("{:.0}s", left.ceil().max(1.0)) } else { seconds(left) };
    let again = left.map(|left| format!(", again in {}", in_words(left))).unwrap_or_default();
    format!("failed{again}{why}")
}

/// What a message says in one line, without what would move the cursor or change the terminal. A traceback says it last.
pub(super) fn first_line(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let last = || message.lines().rfind(|line| !line.trim().is_empty());
    let line = if first.starts_with("Traceback (") { last().unwrap_or(first) } else { first };
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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
    let width = run
        .actions
        .iter()
        .map(|action| label_width(&action.path, &known))
        .max()
        .unwrap_or(0)
        .clamp(8, (look.width / 2).clamp(8, 40));
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
    let (glyph, colour) = glyph(&run.phase, false, look);
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
    let (glyph, colour) = if waits { ('?', Colour::Yellow) } else { glyph(&action.phase, action.reused, look) };
    let own = parent_of(&action.path).map_or(action.path.as_str(), |parent| action.path[parent.len()..].trim_start_matches('/'));
    let label = format!("{}{own}", "  ".repeat(depth));
    let mut text = format!("  {glyph} {label:<width$}");
    let items = inside.filter(|items| items.len() > ITEMS_MAX && items.iter().all(|item| map_of(&item.path).is_some()));
    let repeats = action.retry_at.is_some() && failed_attempt(action).is_some();
    let state = match (waits, items) {
        (true, _) => "waits for a person".to_owned(),
        (_, Some(items)) => counts(items),
        _ if action.waits_for.is_some() => format!("waits for {}", action.waits_for.as_deref().unwrap_or_default()),
        _ if action.reused => "reused".to_owned(),
        _ if repeats => format!("attempt {} {}", action.attempts, why_again(action, look.now)),
        _ if action.attempts > 1 && !is_over(&action.phase) => {
            format!("{} (attempt {})", action.phase.replace('_', " "), action.attempts)
        }
        _ => action.phase.replace('_', " "),
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
    if let Some(failure) = action.failure.as_ref().filter(|_| action.phase != "skipped" && !repeats) {
        text += &format!("  {}", first_line(&failure.message));
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

fn glyph(phase: &str, reused: bool, look: &Look) -> (char, Colour) {
    let (glyph, colour) = fine_glyph(phase, reused, look.frame);
    if look.unicode {
        return (glyph, colour);
    }
    let plain = match glyph {
        '↺' => 'r',
        '✓' => '+',
        '✗' => 'x',
        '⊘' => '/',
        '–' => '-',
        '‖' => '=',
        '◌' => ':',
        '◔' => '~',
        '○' => '.',
        _ => PLAIN_SPINNER.get(look.frame % PLAIN_SPINNER.len()).copied().unwrap_or('*'),
    };
    (plain, colour)
}

fn fine_glyph(phase: &str, reused: bool, frame: usize) -> (char, Colour) {
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
    let mut text = if look.unicode { line.text.clone() } else { line.text.replace('…', "...") };
    if !look.unicode {
        text = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    }
    // Never as wide as the terminal: some go to the next line by themselves then.
    let text = cut(&text, look.width.saturating_sub(1).max(1), look.unicode);
    let text = text.trim_end();
    if look.colour && line.colour != Colour::Plain { format!("{}{text}\x1b[0m", line.colour.code()) } else { text.to_owned() }
}

/// The columns that a line takes, colours aside.
pub(super) fn columns(line: &str) -> usize {
    let (mut count, mut escape) = (0, false);
    for c in line.chars() {
        match (escape, c) {
            (false, '\u{1b}') => escape = true,
            (false, c) => count += c.width().unwrap_or(0),
            (true, 'm') => escape = false,
            (true, _) => {}
        }
    }
    count
}

/// As much of a text as fits into so many columns; what is left out is marked.
fn cut(text: &str, width: usize, unicode: bool) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if unicode { "…" } else { "~" };
    let (mut out, mut room) = (String::new(), width.saturating_sub(1));
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if wide > room {
            break;
        }
        room -= wide;
        out.push(c);
    }
    out + mark
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
        Look { colour: false, unicode: true, width: 80, height, frame: 0, now: model::Timestamp(0) }
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
        assert!(lines[1].chars().count() <= 20 + 9 && lines[1].contains('…'), "{lines:?}");
    }

    fn failed(message: &str) -> ActionView {
        let failure = api::rest::views::FailureView { class: "task".into(), message: message.into(), ..Default::default() };
        ActionView { attempts: 2, failure: Some(failure), ..action("try", "run", "queued") }
    }

    #[test]
    fn back_off_is_shown_as_it_runs_down() {
        let waits = ActionView { retry_at: Some("1970-01-01T00:01:00Z".into()), ..failed("no luck\nat all") };
        let at = |second: u64| {
            let look = Look { now: model::Timestamp(second * 1_000_000), ..plain(5) };
            draw(&run(vec![waits.clone()]), &look)[1].clone()
        };
        assert_eq!(at(52), "  ○ try       attempt 2 failed, again in 8s: no luck");
        assert_eq!(at(59), "  ○ try       attempt 2 failed, again in 1s: no luck");
        let traced =
            ActionView { phase: "failed".into(), ..failed("Traceback (most recent call last):\n  File x\nValueError: no\n") };
        assert!(draw(&run(vec![traced]), &plain(5))[1].ends_with("ValueError: no"));
        assert_eq!(at(60), "  ○ try       attempt 2 failed: no luck");
    }

    #[test]
    fn messages_do_not_break_the_picture() {
        let look = Look { width: 30, ..plain(5) };
        let hostile = ActionView { phase: "failed".into(), ..failed("\u{1b}[2J\u{7}下雨天下雨天下雨天下雨天") };
        let line = draw(&run(vec![hostile.clone()]), &look)[1].clone();
        assert!(!line.contains(char::is_control) && line.width() < 30, "{line:?}");
        // Without Unicode nothing else is written.
        let look = Look { unicode: false, width: 200, ..look };
        let lines = draw(&run(vec![hostile, action("b", "run", "running")]), &look);
        assert!(lines.iter().all(|line| line.is_ascii()), "{lines:?}");
        assert!(lines[1].starts_with("  x try") && lines[2].starts_with("  | b"), "{lines:?}");
    }
}

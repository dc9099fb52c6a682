//! Progress on a real pseudo-terminal, as a person sees it: what the terminal shows after everything that was written to it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::home::{Home, Running, until};

/// What a terminal shows: lines of letters, a cursor, and the few orders that progress is drawn with. Anything else is an error.
struct Screen {
    width: usize,
    height: usize,
    lines: Vec<String>,
    row: usize,
    column: usize,
    escape: Option<String>,
    /// What was not understood.
    strange: Vec<String>,
    coloured: bool,
}

impl Screen {
    fn new(width: usize, height: usize) -> Screen {
        let lines = vec![String::new()];
        Screen { width, height, lines, row: 0, column: 0, escape: None, strange: Vec::new(), coloured: false }
    }

    fn take(&mut self, c: char) {
        if let Some(mut order) = self.escape.take() {
            order.push(c);
            if order == "[" || order.ends_with(|c: char| c.is_ascii_digit() || c == ';') {
                self.escape = Some(order);
            } else {
                self.obey(&order);
            }
            return;
        }
        match c {
            '\u{1b}' => self.escape = Some(String::new()),
            '\r' => self.column = 0,
            '\n' => self.down(),
            c if c.is_control() => self.strange.push(format!("{c:?}")),
            c => {
                if self.column == self.width {
                    self.column = 0;
                    self.down();
                }
                let line = &mut self.lines[self.row];
                let mut letters: Vec<char> = line.chars().collect();
                letters.resize(letters.len().max(self.column + 1), ' ');
                letters[self.column] = c;
                *line = letters.into_iter().collect();
                self.column += 1;
            }
        }
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(String::new());
        }
    }

    fn obey(&mut self, order: &str) {
        let (kind, arguments) = (order.chars().last().unwrap_or(' '), &order[1..order.len() - 1]);
        match kind {
            // Not above what is shown.
            'A' => {
                let top = self.lines.len().saturating_sub(self.height);
                self.row = self.row.saturating_sub(arguments.parse().unwrap_or(1)).max(top);
            }
            'K' => self.lines[self.row] = self.lines[self.row].chars().take(self.column).collect(),
            'J' => {
                self.lines.truncate(self.row + 1);
                self.lines[self.row] = self.lines[self.row].chars().take(self.column).collect();
            }
            'm' => self.coloured = true,
            _ => self.strange.push(order.to_owned()),
        }
    }

    /// Another width, with what is there put into lines of that width, as terminals do.
    fn resize(&mut self, width: usize, height: usize) {
        let mut lines = Vec::new();
        let mut row = 0;
        for (at, line) in self.lines.iter().enumerate() {
            if at == self.row {
                row = lines.len();
            }
            let letters: Vec<char> = line.chars().collect();
            if letters.is_empty() {
                lines.push(String::new());
            }
            lines.extend(letters.chunks(width).map(|part| part.iter().collect::<String>()));
        }
        (self.lines, self.row, self.width, self.height) = (lines, row, width, height);
    }

    /// The lines that are seen.
    fn seen(&self) -> Vec<String> {
        let from = self.lines.len().saturating_sub(self.height);
        self.lines[from..].iter().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// A command at a terminal.
struct Terminal {
    user: OwnedFd,
    screen: Arc<Mutex<Screen>>,
    child: Running,
}

impl Terminal {
    fn start(mut command: Command, columns: u16, rows: u16) -> Terminal {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&user).expect("a terminal");
        unlockpt(&user).expect("a terminal");
        let name = ptsname(&user, Vec::new()).expect("its name").into_string().expect("text");
        let far = File::options().read(true).write(true).open(name).expect("its other end");
        let size = |columns, rows| Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&user, size(columns, rows)).expect("its size");
        command.env("TERM", "xterm").env_remove("LC_ALL").env_remove("LC_CTYPE").stdout(Stdio::null()).stderr(far);
        let child = Running::start(&mut command);
        // The end that the command holds is its own alone.
        drop(command);
        let screen = Arc::new(Mutex::new(Screen::new(columns.into(), rows.into())));
        let (mut reading, showing) = (File::from(user.try_clone().expect("a copy")), screen.clone());
        std::thread::spawn(move || {
            let (mut bytes, mut rest) = ([0; 4096], Vec::new());
            // It ends with an error when nobody holds the other end any more.
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                rest.extend_from_slice(&bytes[..count]);
                let whole = match std::str::from_utf8(&rest) {
                    Ok(_) => rest.len(),
                    Err(error) => error.valid_up_to(),
                };
                let text = String::from_utf8_lossy(&rest[..whole]).into_owned();
                rest.drain(..whole);
                let mut screen = showing.lock().expect("the screen");
                text.chars().for_each(|c| screen.take(c));
            }
        });
        Terminal { user, screen, child }
    }

    fn seen(&self) -> Vec<String> {
        self.screen.lock().expect("the screen").seen()
    }

    fn resize(&self, columns: u16, rows: u16) {
        let mut screen = self.screen.lock().expect("the screen");
        tcsetwinsize(&self.user, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).expect("its size");
        screen.resize(columns.into(), rows.into());
    }

    /// Waits until the terminal shows something.
    fn shows(&self, what: &str) -> Vec<String> {
        until(what, || {
            let seen = self.seen();
            seen.iter().any(|line| line.contains(what)).then_some(seen)
        })
    }

    /// Interrupts it and gives how it ended.
    fn interrupt(&mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("kill").success());
        until("its end", || self.child.try_wait().expect("its end")).code()
    }
}

/// Something that is over, something that is repeated after a long pause, a large map, and a wait.
const MIXED: &str = "workflow: demo/mixed
inputs: {items: {type: array}}
nodes:
  quick: {use: core/noop, with: {n: 1}}
  unlucky:
    use: core/fail
    with: {message: out of luck with a rather long message that does not fit into the narrowest of the terminals}
    retry: {max: 3, backoff: 300s..300s}
  many:
    each: {items: '${ inputs.items }', do: {use: core/noop, with: {n: '${ item }'}}}
  hold: {wait: {signal: go}, after: [quick]}
";

fn heads(seen: &[String]) -> usize {
    seen.iter().filter(|line| line.contains("mixed-1  demo/mixed")).count()
}

#[test]
fn a_tree_that_fits_whatever_the_terminal_becomes() {
    let home = Home::new();
    home.write("mixed.workflow.yaml", MIXED);
    let items: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let items = format!("items=[{}]", items.join(","));
    let mut command = home.command(&["run", "mixed.workflow.yaml", "--wait", "--input", &items]);
    command.env("LANG", "C.UTF-8");
    let mut terminal = Terminal::start(command, 80, 24);
    let seen = terminal.shows("attempt 1 failed, again in ");
    assert!(seen.iter().all(|line| line.chars().count() < 80), "{seen:#?}");
    let seen = terminal.shows("1000 succeeded");
    assert_eq!(heads(&seen), 1, "{seen:#?}");
    assert!(seen.iter().any(|line| line.contains("✓ quick")), "{seen:#?}");
    assert!(seen.iter().all(|line| !line.contains("many[")), "a large map is one line: {seen:#?}");
    // Wide, and the message is there in full.
    terminal.resize(160, 50);
    let wide = terminal.shows("narrowest of the terminals");
    assert_eq!(heads(&wide), 1, "{wide:#?}");
    // Narrow: what stood there before took more lines, and all of them are drawn over.
    terminal.resize(40, 12);
    let narrow = until("a picture that fits", || {
        let seen = terminal.seen();
        (heads(&seen) == 1 && seen.iter().all(|line| line.chars().count() < 40)).then_some(seen)
    });
    assert!(narrow.iter().any(|line| line.contains("unlucky")) && narrow.len() <= 7, "{narrow:#?}");
    assert_eq!(terminal.interrupt(), Some(130));
    let left = terminal.shows("stops here");
    assert!(left.iter().any(|line| line.contains("tutti watch mixed-1")), "{left:#?}");
    // The last picture stays, whole.
    let all = terminal.screen.lock().unwrap().lines.clone();
    assert!(heads(&all) == 1 && all.iter().any(|line| line.contains("○ unlucky")), "{all:#?}");
    let screen = terminal.screen.lock().unwrap();
    assert!(screen.strange.is_empty() && screen.coloured, "{:?}", screen.strange);
}

#[test]
fn neither_colours_nor_letters_that_a_terminal_does_not_have() {
    let home = Home::new();
    home.write("mixed.workflow.yaml", MIXED);
    let mut command = home.command(&["run", "mixed.workflow.yaml", "--wait", "--input", "items=[1, 2]"]);
    command.env("NO_COLOR", "1").env("LANG", "de_DE.ISO-8859-1");
    let mut terminal = Terminal::start(command, 100, 24);
    let seen = terminal.shows("attempt 1 failed, again in ");
    assert!(seen.iter().all(|line| line.is_ascii()) && seen.iter().any(|line| line.contains("+ quick")), "{seen:#?}");
    assert!(seen.iter().any(|line| line.contains("many[1]") || line.contains("[1]")), "{seen:#?}");
    assert_eq!(terminal.interrupt(), Some(130));
    let screen = terminal.screen.lock().unwrap();
    assert!(screen.strange.is_empty() && !screen.coloured, "{:?}", screen.strange);
}

/// Where nothing moves every failed attempt has its line, when it fails.
#[test]
fn failed_attempts_are_told_of_as_they_happen() {
    let home = Home::new();
    let workflow = "workflow: demo/unlucky\nnodes:\n  a: {use: core/fail, with: {message: no luck}, retry: {max: 2, backoff: 400ms..400ms}}\n";
    home.write("unlucky.workflow.yaml", workflow);
    let ended = home.run(&["run", "unlucky.workflow.yaml", "--wait"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("  a  ")).collect();
    assert_eq!(lines.len(), 3, "{ended:?}");
    for (line, wanted) in lines.iter().zip(["attempt 1 failed", "attempt 2 failed", "failed      a"]) {
        assert!(line.contains(wanted) && line.contains("no luck"), "{lines:#?}");
    }
}

//! Words that do not belong in a finished tree: notes to oneself, debugging, paths of one machine.

use crate::finding::Finding;
use crate::tree::Tree;

const RULE: &str = "words";
/// Notes to oneself. Put together here, so that this file does not hold them.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
/// Calls that only serve debugging.
const DEBUGGING: &str = concat!("dbg", "!(");
/// First folders of paths that exist on one machine only.
const MACHINE_FOLDERS: &[&str] = &["home", "root", "Users", "mnt", "work", "workspace", "workspaces"];
/// Endings of lock files and data, which are not written by hand.
const UNWRITTEN: &[&str] = &[".lock", "package-lock.json", ".csv", ".svg"];

/// Looks for banned words in all text.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| !UNWRITTEN.iter().any(|ending| path.ends_with(ending))) {
        for (index, line) in text.lines().enumerate() {
            let complaints = [
                NOTES.iter().find(|note| has_word(line, note)).map(|note| format!("`{note}`: do it, or open an issue")),
                line.contains(DEBUGGING).then(|| "debugging was left in".to_owned()),
                machine_path(line).map(|found| format!("`{found}` is a path of one machine")),
            ];
            findings.extend(complaints.into_iter().flatten().map(|message| Finding::error(RULE, path, message).at(index + 1)));
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_part) && !line[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

/// A path like `/folder/…` that begins a word: after a space, a quote or a bracket, not within another path or address.
fn machine_path(line: &str) -> Option<String> {
    line.match_indices('/').find_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        if !before.is_none_or(|c| c.is_whitespace() || "\"'`(=[{<,".contains(c)) {
            return None;
        }
        let folder: String = line[at + 1..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let rest = &line[at + 1 + folder.len()..];
        let is_path = MACHINE_FOLDERS.contains(&folder.as_str())
            && rest.strip_prefix('/').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '.'));
        is_path.then(|| {
            format!("/{folder}{}", rest.chars().take_while(|c| !c.is_whitespace() && !"\"'`)".contains(*c)).collect::<String>())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<String> {
        check(&Tree::of(&[("a.rs", line)])).iter().map(|finding| finding.message.clone()).collect()
    }

    #[test]
    fn notes_to_oneself_and_debugging_are_found() {
        for note in NOTES {
            assert_eq!(found(&format!("// {note}: later")).len(), 1, "{note}");
            assert_eq!(found(&format!("let {note}_LIST = 1;")), Vec::<String>::new(), "{note}");
        }
        assert_eq!(found(&format!("{DEBUGGING}x);")).len(), 1);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let path = |folder: &str| format!("let p = \"/{folder}/someone/x\";");
        for folder in MACHINE_FOLDERS {
            assert_eq!(found(&path(folder)).len(), 1, "{folder}");
        }
        for fine in [
            "see crates/work/x.rs",
            "https://example.org/home/x",
            "/proc/self/status",
            "a / work / b",
            "\"/home\"",
            "$HOME/work/x",
        ] {
            assert_eq!(found(fine), Vec::<String>::new(), "{fine}");
        }
    }
}

//! The files of the project, as git sees them: what is tracked and what would be added. Outside of a git checkout, all files but those
//! that builds leave behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// Larger files are not read as text.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Folders that builds and tools leave behind.
const LEFT_BEHIND: [&str; 8] = ["target", ".git", "node_modules", "__pycache__", ".venv", ".tutti", ".demo", "dist"];

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its bytes on disk.
    pub(crate) size: u64,
    /// Its text; none when it is not UTF-8 text.
    pub(crate) text: Option<String>,
}

/// The files by their path relative to the root, with `/`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, File>,
}

impl Tree {
    /// Reads the project.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Tree> {
        let paths = match listed_by_git(root) {
            Some(paths) => paths,
            None => {
                let mut paths = Vec::new();
                walk(root, "", &mut paths)?;
                paths
            }
        };
        let mut files = BTreeMap::new();
        for path in paths {
            // What git lists may have been removed from disk a moment ago.
            let Ok(metadata) = std::fs::symlink_metadata(root.join(&path)) else { continue };
            let is_text = metadata.is_file() && metadata.len() <= TEXT_BYTES_MAX;
            let bytes = if is_text { std::fs::read(root.join(&path)).with_context(|| format!("`{path}`"))? } else { Vec::new() };
            let text = if is_text { String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) } else { None };
            files.insert(path, File { size: metadata.len(), text });
        }
        Ok(Tree { files })
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }

    /// Text files with this ending.
    pub(crate) fn ending<'t>(&'t self, ending: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.texts().filter(move |(path, _)| path.ends_with(ending))
    }

    /// All text files.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, file)| Some((path.as_str(), file.text.as_deref()?)))
    }

    /// Whether there is a file, or a folder with files, of this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&folder))
    }

    /// A tree of these files.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        let file = |text: &str| File { size: text.len() as u64, text: Some(text.to_owned()) };
        Tree { files: files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect() }
    }
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    let listed = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &str, paths: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(root.join(folder)).with_context(|| format!("`{folder}`"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if !entry.file_type()?.is_dir() {
            paths.push(path);
        } else if !LEFT_BEHIND.contains(&name.as_str()) {
            walk(root, &path, paths)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_there() {
        let tree = Tree::of(&[("docs/a.md", ""), ("docs/b/c.md", "")]);
        for there in ["docs", "docs/a.md", "docs/b", ""] {
            assert!(tree.has(there), "{there}");
        }
        for missing in ["doc", "docs/a", "docs/b/c"] {
            assert!(!tree.has(missing), "{missing}");
        }
    }

    #[test]
    fn a_folder_without_git_is_walked_and_what_builds_leave_is_not_read() {
        let folder = std::env::temp_dir().join(format!("tidy-walk-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("target")).unwrap();
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::write(folder.join("target/x.rs"), "").unwrap();
        std::fs::write(folder.join("src/x.rs"), "").unwrap();
        let mut paths = Vec::new();
        let walked = walk(&folder, "", &mut paths);
        std::fs::remove_dir_all(&folder).unwrap();
        walked.unwrap();
        assert_eq!(paths, ["src/x.rs"]);
    }
}

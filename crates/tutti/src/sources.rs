//! Documents on disk, and the files that they refer to: what a server needs to read them as the command line does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use api::rest::views::{ApplyRequest, SourceFile};
use base64::Engine as _;
use controlplane::{Fault, FaultKind};
use model::limits::WORKFLOW_BYTES_MAX;
use workflow::documents::Document;
use workflow::{Files, Nothing};

use crate::failure::CommandError;

/// Bytes of a file that goes along with a workflow: a request has to hold it as text.
const CODE_BYTES_MAX: usize = model::limits::REQUEST_BYTES_MAX / 2;
/// Files of a folder that are looked at when a workflow asks for names.
const FILES_MAX: usize = 20_000;
/// Folders that hold no sources.
const IGNORED: [&str; 4] = ["__pycache__", "node_modules", "target", "venv"];

/// Reads documents. A folder stands for all `*.yaml` and `*.yml` in it and below.
pub(crate) fn read(paths: &[PathBuf]) -> Result<ApplyRequest, CommandError> {
    let mut request = ApplyRequest::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        for file in documents(path)? {
            if seen.insert(file.clone()) {
                add(&file, &mut request)?;
            }
        }
    }
    if request.documents.is_empty() {
        let places: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return Err(CommandError::of(FaultKind::File, format!("there is no `*.yaml` in {}", places.join(", "))));
    }
    Ok(request)
}

/// The tags and policies among documents, ready to be asked without a server.
pub(crate) fn rules(paths: &[PathBuf]) -> Result<policy::Sources, CommandError> {
    let mut found = policy::Sources::default();
    let mut seen = BTreeSet::new();
    for path in paths.iter().map(|path| documents(path)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("`{}` cannot be read", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let beside = Beside { folder, names: Mutex::default(), read: Mutex::default(), large: Mutex::default() };
        let read = workflow::documents::read(&text, &beside, &Nothing);
        // A proof without rules that could not be read would be about something else.
        let of_rules = read.may_hold_rules();
        let wrong = read.diagnostics.iter().find(|finding| finding.severity == workflow::Severity::Error);
        // Whether workflows beside them are right is not what is asked.
        if let Some(wrong) = wrong.filter(|_| of_rules) {
            return Err(CommandError::of(FaultKind::InvalidWorkflow, wrong.render(&path.display().to_string(), &text)));
        }
        for document in read.documents {
            match document {
                Document::Tag(tag) => found.tags.push(tag),
                Document::Policy(policy) => found.policies.push(policy.spec),
                _ => {}
            }
        }
    }
    if found.tags.is_empty() && found.policies.is_empty() {
        let places: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return Err(CommandError::of(FaultKind::File, format!("there is no tag and no policy in {}", places.join(", "))));
    }
    Ok(found)
}

pub(crate) fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn documents(path: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let meta = std::fs::metadata(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    if meta.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    walk(path, &mut |file| {
        if is_document(file) {
            found.push(file.to_path_buf());
        }
    });
    found.sort();
    Ok(found)
}

/// Calls `each` for every file below a folder. Hidden folders and links to folders are left out.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path)) {
    let mut left = FILES_MAX;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let hidden = name.to_string_lossy().starts_with('.') || IGNORED.iter().any(|ignored| name == **ignored);
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !hidden => folders.push(path),
                Ok(kind) if !kind.is_dir() && !hidden && path.is_file() => {
                    each(&path);
                    left -= 1;
                    if left == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }
}

/// Refuses a file that no server takes, before it is read and sent.
fn check_size(path: &Path, most: usize, hint: &str) -> Result<(), CommandError> {
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if bytes <= most as u64 {
        return Ok(());
    }
    let message = format!("`{}` has {bytes} bytes, and at most {most} are taken", path.display());
    Err(Fault::new(FaultKind::TooLarge, message).hint(hint).into())
}

fn add(path: &Path, request: &mut ApplyRequest) -> Result<(), CommandError> {
    check_size(
        path,
        WORKFLOW_BYTES_MAX,
        "a part that can be understood alone is a workflow of its own; data is an input or an artifact",
    )?;
    let bytes = std::fs::read(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CommandError::of(FaultKind::File, format!("`{}` is not text: byte {} is not UTF-8", path.display(), at + 1))
            .hint("save it as UTF-8")
    })?;
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let beside = Beside { folder: folder.clone(), names: Mutex::default(), read: Mutex::default(), large: Mutex::default() };
    // What it says is found wrong by the server; what is wanted here is which files it asks for.
    workflow::documents::read(&text, &beside, &Nothing);
    if let Some(large) = beside.large.into_inner().ok().flatten() {
        check_size(&large, CODE_BYTES_MAX, "code is small: give data as an input, `--input name=@FILE`, or as an artifact")?;
    }
    for (name, content) in beside.read.into_inner().unwrap_or_default() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(&content);
        request.files.insert(folder.join(name).display().to_string(), encoded);
    }
    request.documents.push(SourceFile { path: path.display().to_string(), text });
    Ok(())
}

/// The folder of a document, which remembers what was asked for.
struct Beside {
    folder: PathBuf,
    names: Mutex<Option<Vec<String>>>,
    read: Mutex<BTreeMap<String, Arc<[u8]>>>,
    /// A file that is too large to go along.
    large: Mutex<Option<PathBuf>>,
}

impl Files for Beside {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        if !workflow::is_relative_path(path) {
            return None;
        }
        let mut read = self.read.lock().ok()?;
        if let Some(known) = read.get(path) {
            return Some(known.clone());
        }
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let file = within(folder, &folder.join(path))?;
        if check_size(&file, CODE_BYTES_MAX, "").is_err() {
            self.large.lock().ok()?.get_or_insert(file);
            return Some(Arc::default());
        }
        let bytes: Arc<[u8]> = std::fs::read(file).ok()?.into();
        read.insert(path.to_owned(), bytes.clone());
        Some(bytes)
    }

    fn paths(&self) -> Vec<String> {
        let Ok(mut names) = self.names.lock() else { return Vec::new() };
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let list = names.get_or_insert_with(|| {
            let mut list = Vec::new();
            walk(folder, &mut |file| {
                let inside = within(folder, file).is_some();
                if let Some(name) = file.strip_prefix(folder).ok().and_then(Path::to_str).filter(|_| inside) {
                    list.push(name.to_owned());
                }
            });
            list.sort();
            list
        });
        list.clone()
    }
}

/// Where a file really lies, if that is within the folder: a link may lead anywhere, and a workflow takes nothing along from there.
fn within(folder: &Path, file: &Path) -> Option<PathBuf> {
    let (folder, file) = (folder.canonicalize().ok()?, file.canonicalize().ok()?);
    file.starts_with(folder).then_some(file)
}

//! Puts the pages of `docs/errors` into the binary, so that `tutti error CODE` needs no files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut pages: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    let mut code = String::from("/// Every page of docs/errors by its code.\nconst PAGES: &[(&str, &str)] = &[\n");
    for page in pages {
        let name = page.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        // README.md is the index.
        if name.starts_with(['E', 'W']) && name[1..].chars().all(|c| c.is_ascii_digit()) {
            let _ = writeln!(code, "    ({name:?}, include_str!({:?})),", page.display().to_string());
        }
    }
    code.push_str("];\n");
    let target = Path::new(&std::env::var("OUT_DIR").expect("cargo sets it")).join("error_pages.rs");
    std::fs::write(target, code).expect("the build folder can be written");
}

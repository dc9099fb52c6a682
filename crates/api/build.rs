//! Puts what `web/` was built to into the binary: a table of files, each with its compressed twin. Without a build of the web app the
//! table is empty, and the page says how to get one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    // As cargo says it now: a build script that was compiled elsewhere would look into another checkout.
    let dist = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default().join("../../web/dist");
    println!("cargo:rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    collect(&dist, &mut files);
    files.sort();
    let mut table = String::from("/// The files of the web app.\npub(super) static FILES: &[File] = &[\n");
    for file in files.iter().filter(|file| file.extension().is_none_or(|ending| ending != "br")) {
        let Ok(name) = file.strip_prefix(&dist) else { continue };
        let twin = PathBuf::from(format!("{}.br", file.display()));
        let brotli =
            if twin.is_file() { format!("Some(include_bytes!({:?}))", twin.display().to_string()) } else { "None".into() };
        let plain = file.display().to_string();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "    File {{ path: {:?}, plain: include_bytes!({plain:?}), brotli: {brotli} }},",
            format!("/{}", name.display())
        );
    }
    table.push_str("];\n");
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    if let Err(error) = std::fs::write(out.join("web_files.rs"), table) {
        println!("cargo:warning=the table of the web app's files cannot be written: {error}");
        std::process::exit(1);
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

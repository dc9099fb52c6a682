//! What of the machine the processes of a site need to run at all: the system's programs and libraries, a few files of `/etc`, and what
//! the search path leads to. Found once when a site is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Paths that are shown inside, read only.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Runtime {
    /// Where it lies, without links, by where it is shown.
    pub(crate) shown: BTreeMap<PathBuf, PathBuf>,
    /// Links, and where they lead.
    pub(crate) links: BTreeMap<PathBuf, PathBuf>,
}

/// Folders of the system. Links among them stay links.
const SYSTEM: [&str; 11] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
];
/// Files of `/etc` that programs look into and that hold no secrets. Users, hosts and name servers are not among them: those are written
/// for each attempt.
const ETC: [&str; 34] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "gitconfig",
    "inputrc",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "locale.alias",
    "locale.conf",
    "lsb-release",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "profile",
    "profile.d",
    "protocols",
    "R",
    "services",
    "shells",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
];
/// Programs whose links are followed to where they are installed.
const FOLLOWED: [&str; 8] = ["python3", "python", "node", "ruby", "perl", "java", "Rscript", "julia"];

impl Runtime {
    /// What the search path leads to, and folders that the site names.
    pub(crate) fn of(path: &str, named: &[PathBuf]) -> Runtime {
        let mut runtime = Runtime::default();
        for folder in SYSTEM {
            runtime.system(Path::new(folder));
        }
        for file in ETC {
            runtime.show(&Path::new("/etc").join(file));
        }
        for folder in path.split(':').filter(|folder| folder.starts_with('/')) {
            runtime.programs(Path::new(folder));
        }
        for folder in named {
            runtime.show(folder);
            runtime.environment(folder);
        }
        runtime.forget_what_is_within();
        runtime
    }

    /// The same with more folders.
    pub(crate) fn with(&self, named: &[PathBuf]) -> Runtime {
        let mut runtime = self.clone();
        for folder in named {
            runtime.show(folder);
            runtime.environment(folder);
        }
        runtime.forget_what_is_within();
        runtime
    }

    /// The same without what something hidden lies in, for where nothing can be mounted over that.
    pub(crate) fn without(mut self, hidden: &[PathBuf]) -> Runtime {
        self.shown.retain(|_, lies| !hidden.iter().any(|hidden| hidden.starts_with(&*lies)));
        self
    }

    /// Drops what lies within something hidden, but for these folders: what says where programs were installed, and links, may be written by
    /// others than the operator. Gives what was dropped.
    pub(crate) fn forget_hidden(&mut self, hidden: &[PathBuf], but: &[PathBuf]) -> Vec<PathBuf> {
        let but: Vec<PathBuf> = but.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let is_hidden = |lies: &Path| {
            hidden.iter().any(|hidden| lies.starts_with(hidden)) && !but.iter().any(|shown| lies.starts_with(shown))
        };
        let dropped = self.shown.iter().filter(|(_, lies)| is_hidden(lies)).map(|(at, _)| at.clone()).collect();
        self.shown.retain(|_, lies| !is_hidden(lies));
        dropped
    }

    fn system(&mut self, folder: &Path) {
        match std::fs::read_link(folder) {
            Ok(to) => drop(self.links.insert(folder.to_owned(), to)),
            Err(_) => self.show(folder),
        }
    }

    /// Shows a path as it is, when it is there.
    fn show(&mut self, path: &Path) {
        if let Ok(lies) = path.canonicalize()
            && lies != Path::new("/")
        {
            self.shown.insert(path.to_owned(), lies);
        }
    }

    /// A folder of the search path, and what its programs were installed with.
    fn programs(&mut self, folder: &Path) {
        self.installed(folder);
        for program in FOLLOWED {
            let Ok(real) = folder.join(program).canonicalize() else { continue };
            let Some(bin) = real.parent() else { continue };
            if bin != folder {
                self.installed(bin);
            }
        }
    }

    /// The folder of programs, and the one above it where that is an installation and nobody's home.
    fn installed(&mut self, bin: &Path) {
        self.show(bin);
        let Some(above) = bin.parent() else { return };
        let named = bin.file_name().is_some_and(|name| ["bin", "sbin", "shims"].iter().any(|known| name == *known));
        if named && !is_shared(above) {
            self.show(above);
            self.environment(above);
        }
    }

    /// A Python environment leads to the installation that it was made from.
    fn environment(&mut self, folder: &Path) {
        let Ok(text) = std::fs::read_to_string(folder.join("pyvenv.cfg")) else { return };
        let home = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"));
        let Some(bin) = home.map(|(_, value)| PathBuf::from(value.trim())) else { return };
        let real = bin.join("python3").canonicalize().ok().and_then(|program| program.parent().map(Path::to_owned));
        for bin in [Some(bin), real].into_iter().flatten() {
            self.show(&bin);
            if let Some(above) = bin.parent().filter(|above| !is_shared(above)) {
                self.show(above);
            }
        }
    }

    /// What lies below something that is shown as it lies is shown with it.
    fn forget_what_is_within(&mut self) {
        let all: BTreeSet<PathBuf> = self.shown.iter().filter(|(at, lies)| at == lies).map(|(at, _)| at.clone()).collect();
        let links: BTreeSet<PathBuf> = self.links.keys().cloned().collect();
        let within = |path: &Path| path.ancestors().skip(1).any(|above| all.contains(above));
        let linked = |path: &Path| path.ancestors().any(|above| links.contains(above));
        self.shown.retain(|at, lies| !((within(at) || linked(at)) && (at == lies || within(lies))));
    }
}

/// Whether a folder holds more than one installation: somebody's home, or a part of the system that is shown by itself or not at all.
fn is_shared(folder: &Path) -> bool {
    let is_home = |folder: &Path| {
        folder == Path::new("/root")
            || folder.parent() == Some(Path::new("/home"))
            || std::env::var_os("HOME").is_some_and(|home| Path::new(&home) == folder)
    };
    let local = folder.file_name().is_some_and(|name| name == ".local") && folder.parent().is_some_and(is_home);
    let depth = folder.components().count();
    depth <= 2 || local || is_home(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_not_shown_with_their_programs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for bin in ["tools/bin", "venv/bin", "base/bin"] {
            std::fs::create_dir_all(folder.join(bin)).unwrap();
        }
        std::fs::write(folder.join("venv/pyvenv.cfg"), format!("home = {}\n", folder.join("base/bin").display())).unwrap();
        let path = format!("{}:{}", folder.join("tools/bin").display(), folder.join("venv/bin").display());
        let shown = Runtime::of(&path, &[]).shown;
        for seen in ["tools", "venv", "base"] {
            assert!(shown.contains_key(&folder.join(seen)), "{seen} in {shown:?}");
        }
        assert!(!shown.contains_key(&folder) && !shown.contains_key(&folder.join("tools/bin")));
        let (root, user) = (Path::new("/root"), Path::new("/home").join("somebody"));
        assert!(is_shared(root) && is_shared(&user) && is_shared(&root.join(".local")) && is_shared(&user.join(".local")));
        assert!(is_shared(Path::new("/opt")) && !is_shared(Path::new("/opt/conda")) && !is_shared(&root.join(".tools")));
    }

    #[test]
    fn what_is_hidden_is_shown_by_no_link_and_no_word_of_an_environment() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for path in ["data/keys/bin", "data/environments/one/bin", "venv/bin"] {
            std::fs::create_dir_all(folder.join(path)).unwrap();
        }
        let text = format!("home = {}\n", folder.join("data/keys").display());
        std::fs::write(folder.join("venv/pyvenv.cfg"), &text).unwrap();
        std::os::unix::fs::symlink(folder.join("data/keys/bin"), folder.join("tools")).unwrap();
        let path = format!("{}:{}", folder.join("venv/bin").display(), folder.join("tools").display());
        let (hidden, environments) = (vec![folder.join("data")], vec![folder.join("data/environments/one")]);
        let mut found = Runtime::of(&path, &[]);
        assert!(found.shown.values().any(|lies| *lies == hidden[0]), "they lead there");
        assert!(!found.forget_hidden(&hidden, &[]).is_empty());
        let within = |runtime: &Runtime| -> Vec<PathBuf> {
            runtime.shown.values().filter(|lies| lies.starts_with(&hidden[0])).cloned().collect()
        };
        let mut with = found.with(&environments);
        with.forget_hidden(&hidden, &environments);
        assert_eq!((within(&found), within(&with)), (Vec::new(), environments.clone()));
        assert!(with.shown.contains_key(&folder.join("venv")));
        // An environment that says so of itself shows nothing by that.
        std::fs::write(environments[0].join("pyvenv.cfg"), &text).unwrap();
        let mut with = found.with(&environments);
        with.forget_hidden(&hidden, &environments);
        assert!(within(&with).iter().all(|lies| *lies == environments[0]));
    }

    #[test]
    fn secrets_of_the_system_are_not_shown() {
        let shown = Runtime::of("/usr/bin:/bin", &[]).shown;
        for hidden in ["/etc", "/etc/shadow", "/etc/ssl", "/etc/ssl/private", "/root", "/home", "/var", "/run", "/proc", "/sys"] {
            assert!(!shown.contains_key(Path::new(hidden)), "{hidden} in {shown:?}");
        }
    }
}

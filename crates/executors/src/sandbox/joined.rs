//! Walls that a process puts itself into which was there before them. They are built as those of any attempt, around nothing but their first process,
//! which hands out what leads in: its namespaces, and the rules of Landlock as they are seen from there. Whoever has those, has the filter of system calls,
//! and is the same user, goes in and cannot come back.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::linux::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::EgressGrant;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::WaitOptions;

use super::enter::{Failed, NotStarted, Order, Ready, broken, prepare};
use super::network::Leads;
use super::{Broken, Built, Layers, Step, Walls, egress, filter, rules};

/// Namespaces in the order in which they are entered: with the first come the rights to enter the others.
fn namespaces(layers: Layers) -> impl Iterator<Item = &'static str> {
    ["user", "mnt", "ipc", "net", "pid"].into_iter().filter(move |name| layers.network || *name != "net")
}

/// The most that is handed out: namespaces, and rules.
const HANDED_OUT_MAX: usize = 6;

/// Walls that stand around nobody yet, or around a process that went in.
pub(crate) struct Standing {
    /// Their first process. When it ends, so does everything inside.
    pub(crate) first: u32,
    layers: Layers,
    work: PathBuf,
    grants: Vec<EgressGrant>,
    listeners: Vec<(TcpListener, Leads)>,
    namespaces: Vec<File>,
    rules: Option<OwnedFd>,
}

/// Builds walls for a process to go into. The caller has one thread.
pub(crate) fn stand(folder: &File, walls: &Walls) -> Result<Standing, NotStarted> {
    let order = Order { command: Vec::new(), environment: Vec::new(), walls: walls.clone() };
    prepare(&walls.site)?.stand(folder, &order).map_err(|(Failed::Before(why) | Failed::For(why))| why)
}

impl Ready {
    fn stand(self, folder: &File, order: &Order) -> Result<Standing, Failed> {
        self.tell(&[folder.as_fd()], order).map_err(|error| Failed::For(broken("telling of the attempt")(error)))?;
        let Walls { site, attempt, .. } = &order.walls;
        let (mut inside, leader, from) = self.split(None);
        // Fails when the walls do: what failed is told through the pipe.
        let taken = super::network::take_in(&attempt.egress, &from).and_then(|listeners| Ok((listeners, take_in(&from)?)));
        inside.began()?;
        let (listeners, handed_out) = taken.map_err(|error| Failed::For(broken("taking in what leads inside")(error)))?;
        let mut handed_out = handed_out.into_iter();
        let namespaces: Vec<File> = namespaces(site.layers).zip(&mut handed_out).map(|(_, file)| file.into()).collect();
        let (layers, work, grants) = (site.layers, attempt.work.clone(), attempt.egress.clone());
        Ok(Standing { first: leader.release(), layers, work, grants, listeners, namespaces, rules: handed_out.next() })
    }
}

impl Standing {
    /// What leads inside: namespaces, and then the rules where there are some.
    pub(crate) fn ways_in(&self) -> Vec<BorrowedFd<'_>> {
        self.namespaces.iter().map(File::as_fd).chain(self.rules.as_ref().map(OwnedFd::as_fd)).collect()
    }

    /// The work folder inside.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// How many of them are namespaces.
    pub(crate) fn namespaces(&self) -> usize {
        self.namespaces.len()
    }

    /// The filters of system calls, as the kernel takes them.
    pub(crate) fn filters(&self) -> Built<Vec<Vec<u8>>> {
        if self.layers.seccomp { filter::bytes(self.layers.network || !self.grants.is_empty()) } else { Ok(Vec::new()) }
    }

    /// Connects what is inside with what was granted, for one attempt. None when nothing was. The caller has one thread.
    pub(crate) fn connect(&self, folder: &File) -> io::Result<Option<egress::Proxy>> {
        if self.listeners.is_empty() {
            return Ok(None);
        }
        let listeners = self.listeners.iter().map(|(listener, leads)| Ok((listener.try_clone()?, leads.clone())));
        egress::start(listeners.collect::<io::Result<_>>()?, &self.grants, folder).map(Some)
    }

    /// Whether a process is really within: it said so itself.
    pub(crate) fn hold(&self, pid: u32) -> Result<(), String> {
        for (name, own) in namespaces(self.layers).zip(&self.namespaces) {
            let unknown = |error: io::Error| format!("its {name} namespace is not known: {error}");
            let of = |file: std::fs::Metadata| (file.st_dev(), file.st_ino());
            let (wanted, found) = (own.metadata(), std::fs::metadata(format!("/proc/{pid}/ns/{name}")));
            if of(wanted.map_err(unknown)?) != of(found.map_err(unknown)?) {
                return Err(format!("it is in another {name} namespace"));
            }
        }
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
        let mut wanted = vec![("CapEff:", "0000000000000000"), ("CapBnd:", "0000000000000000"), ("NoNewPrivs:", "1")];
        wanted.extend(self.layers.seccomp.then_some(("Seccomp:", "2")));
        let is =
            |name: &str, value: &str| status.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.trim() == value));
        match wanted.into_iter().find(|(name, value)| !is(name, value)) {
            Some((name, value)) => Err(format!("`{name}` is not {value}")),
            None => Ok(()),
        }
    }
}

/// Hands out what leads inside, while this process may still open it.
pub(super) fn hand_out(walls: &Walls, to: &OwnedFd) -> Built<()> {
    let layers = walls.site.layers;
    let open = |name| File::open(format!("/proc/self/ns/{name}")).step(|| format!("opening the {name} namespace"));
    let mut files: Vec<OwnedFd> = namespaces(layers).map(|name| open(name).map(OwnedFd::from)).collect::<Built<_>>()?;
    if layers.landlock {
        files.push(rules::of(walls)?);
    }
    let files: Vec<BorrowedFd<'_>> = files.iter().map(OwnedFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED_OUT_MAX))];
    let mut attached = SendAncillaryBuffer::new(&mut space);
    attached.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(to, &[IoSlice::new(&[1])], &mut attached, SendFlags::NOSIGNAL)
        .map(drop)
        .step(|| "handing out what leads inside".into())
}

fn take_in(from: &OwnedFd) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED_OUT_MAX))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut attached, RecvFlags::CMSG_CLOEXEC)?;
    let files = attached.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect(),
        _ => Vec::new(),
    });
    if got.bytes == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(files.collect()) }
}

/// The life of the first process of such walls: it reaps what is orphaned inside, until somebody ends it.
#[expect(unsafe_code, reason = "no safe binding waits for a signal")]
pub(super) fn reap_for_ever() -> Built<()> {
    // SAFETY: a set of signals is plain data, which is filled in before it is used.
    let mut child: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are to a live value of the right type, and this process has one thread.
    let blocked = unsafe {
        libc::sigemptyset(&raw mut child);
        libc::sigaddset(&raw mut child, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const child, std::ptr::null_mut())
    };
    if blocked != 0 {
        return Err(Broken { step: "waiting for what is orphaned".into(), error: io::Error::last_os_error() });
    }
    loop {
        while matches!(rustix::process::wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        let mut signal = 0;
        // SAFETY: both pointers are to live values of the right types.
        unsafe { libc::sigwait(&raw const child, &raw mut signal) };
    }
}

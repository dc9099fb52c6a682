//! The life of the first process within walls. It builds what is the same for every attempt of its site, waits to be told of one, builds the
//! rest, shuts itself in, starts the command, reaps what is orphaned, and ends when the command does.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Signal, WaitOptions};
use rustix::thread::CapabilitySet;

use super::enter::{BROKEN, ENDED, NOT_STARTED, Order, STARTED};
use super::{Broken, Built, Site, Step, Walls, filter, joined, network, root, rules};

/// Bytes of an order: no more than there can be in what the server writes for the wrapper.
const ORDER_BYTES_MAX: u32 = 64 << 20;

/// What the child is given when it is made.
pub(super) struct Place {
    pub(super) site: Site,
    /// Where it is told of the attempt.
    pub(super) orders: UnixStream,
    /// Where it tells how it goes.
    pub(super) report: File,
    /// Where listeners inside are handed out.
    pub(super) listeners: OwnedFd,
    /// The user and the group outside: inside nobody knows them before they are mapped.
    pub(super) user: (u32, u32),
}

/// What it is told then, and what comes with that.
struct Told {
    order: Order,
    folder: File,
    /// Where the command prints; none when a process goes in that has that already.
    outputs: Option<(OwnedFd, OwnedFd)>,
}

/// The life of the child. It never goes back to where it was called from: that is the wrapper's.
#[expect(unsafe_code, reason = "what runs at the end of a process is the wrapper's, and must not run twice")]
pub(super) fn live(mut place: Place) -> ! {
    let mut report = place.report.try_clone();
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inside(&mut place)));
    if let (Ok(Err(broken)), Ok(report)) = (&lived, &mut report) {
        tell(report, BROKEN, broken.error.raw_os_error().unwrap_or(libc::EIO), explain(broken).as_bytes());
    }
    // SAFETY: ends the process, and does nothing else.
    unsafe { libc::_exit(1) }
}

/// An error that has no number is told in words.
fn explain(broken: &Broken) -> String {
    if broken.error.raw_os_error().is_some() { broken.step.clone() } else { format!("{} ({})", broken.step, broken.error) }
}

fn tell(report: &mut File, kind: u8, number: i32, more: &[u8]) -> bool {
    let mut message = vec![kind];
    message.extend(number.to_ne_bytes());
    message.extend(more.iter().take(500));
    report.write_all(&message).is_ok()
}

fn inside(place: &mut Place) -> Built<()> {
    let layers = place.site.layers;
    // The group that the wrapper asks to stop.
    rustix::process::setpgid(None, None).step(|| "making a process group".into())?;
    // While it waits it has nothing of the wrapper's: whoever talks to that sees when it ends.
    keep_only(vec![place.orders.as_raw_fd(), place.report.as_raw_fd(), place.listeners.as_raw_fd()])
        .step(|| "closing what is the wrapper's".into())?;
    end_with_the_wrapper()?;
    if layers.namespaces || layers.network {
        map_users(place.user).step(|| "mapping users".into())?;
    }
    if layers.network {
        network::bring_up()?;
    }
    if layers.namespaces {
        root::build(&place.site)?;
    }
    // Nothing comes when it is not needed, or the wrapper is gone.
    let Some(told) = hear(&place.orders).step(|| "hearing of the attempt".into())? else { return Ok(()) };
    let walls = &told.order.walls;
    if layers.network {
        network::hand_out(&walls.attempt.egress, &place.listeners)?;
    }
    if layers.namespaces {
        root::complete(&place.site, &walls.attempt, &told.folder)?;
    }
    rustix::process::chdir(&walls.attempt.work).step(|| "entering the work folder".into())?;
    limit_processes(walls);
    if told.outputs.is_none() {
        joined::hand_out(walls, &place.listeners)?;
    }
    drop_rights(CapabilitySet::empty()).step(|| "dropping rights".into())?;
    // Its memory is a copy of the wrapper's, and so of what other attempts were told: nobody inside may look into it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .step(|| "closing its memory".into())?;
    // Forgotten with the rights.
    end_with_the_wrapper()?;
    if layers.landlock {
        rules::shut(walls)?;
    }
    if layers.seccomp {
        filter::shut(layers.network || walls.network_is_open())?;
    }
    match &told.outputs {
        Some(outputs) => run(place, &told.order, outputs),
        None => wait_for_whoever_goes_in(place),
    }
}

/// Nothing is started here.
fn wait_for_whoever_goes_in(place: &mut Place) -> Built<()> {
    pass_nothing_on();
    if place.report.write_all(&[STARTED]).is_err() {
        return Ok(());
    }
    close_but(place.report.as_raw_fd());
    joined::reap_for_ever()
}

/// When the wrapper is killed, the kernel ends this process, and with it all of the namespace.
fn end_with_the_wrapper() -> Built<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step(|| "binding it to its wrapper".into())
}

/// Waits for the attempt.
fn hear(orders: &UnixStream) -> io::Result<Option<Told>> {
    let mut length = [0; 4];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(orders, &mut [IoSliceMut::new(&mut length)], &mut attached, RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL)?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let files: Vec<OwnedFd> = attached
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => files.collect(),
            _ => Vec::new(),
        })
        .collect();
    let short = || io::Error::from(io::ErrorKind::InvalidData);
    let mut files = files.into_iter();
    let folder = files.next().ok_or_else(short)?;
    let outputs = files.next().zip(files.next());
    let length = u32::from_ne_bytes(length);
    if got.bytes != 4 || length > ORDER_BYTES_MAX {
        return Err(short());
    }
    let mut bytes = vec![0; length as usize];
    (&*orders).read_exact(&mut bytes)?;
    Ok(Some(Told { order: serde_json::from_slice(&bytes)?, folder: File::from(folder), outputs }))
}

/// Users inside are numbered as outside. There is one, with no rights over anything outside.
pub(super) fn map_users((user, group): (u32, u32)) -> io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

fn limit_processes(walls: &Walls) {
    if let Some(limit) = processes_within(walls) {
        let limit = Some(limit);
        let _ = rustix::process::setrlimit(
            rustix::process::Resource::Nproc,
            rustix::process::Rlimit { current: limit, maximum: limit },
        );
    }
}

/// How many processes the kernel allows within walls: counted within the namespace, and not at all for root, whom control groups limit.
pub(crate) fn processes_within(walls: &Walls) -> Option<u64> {
    // A little more than the wrapper allows: it ends what reaches for more, instead of letting that wait for ever.
    let limit = u64::from(walls.attempt.processes_max) + 32;
    (walls.site.layers.namespaces && walls.attempt.processes_max > 0).then_some(limit)
}

/// Gives up every capability but these, and the way to ever get another.
pub(super) fn drop_rights(kept: CapabilitySet) -> io::Result<()> {
    use rustix::thread::CapabilitySets;
    rustix::thread::set_no_new_privs(true)?;
    for number in 0..64 {
        let Some(one) = CapabilitySet::from_bits(1 << number).filter(|one| !kept.contains(*one)) else { continue };
        // Those that the kernel does not know end the list; without the right to drop them there are none to drop.
        let _ = rustix::thread::remove_capability_from_bounding_set(one);
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })?;
    Ok(())
}

/// Starts the command and waits for its end.
fn run(place: &mut Place, order: &Order, (stdout, stderr): &(OwnedFd, OwnedFd)) -> Built<()> {
    // Whatever the wrapper was started with that is not its own.
    pass_nothing_on();
    let Order { command, environment, walls } = order;
    let (program, arguments) = command.split_first().map_or(("", [].as_slice()), |(program, rest)| (program.as_str(), rest));
    let duplicate = |file: &OwnedFd| file.try_clone().step(|| "its output".into());
    let (stdout, stderr) = (duplicate(stdout)?, duplicate(stderr)?);
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    if !walls.site.layers.namespaces {
        // Nothing to be the first process of: this one becomes the command.
        if place.report.write_all(&[STARTED]).is_err() {
            return Ok(());
        }
        let error = command.exec();
        tell(&mut place.report, NOT_STARTED, error.raw_os_error().unwrap_or(libc::EIO), b"");
        return Ok(());
    }
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            tell(&mut place.report, NOT_STARTED, error.raw_os_error().unwrap_or(libc::EIO), b"");
            return Ok(());
        }
    };
    // Nobody hears it: the wrapper died before this process was bound to it.
    if place.report.write_all(&[STARTED]).is_err() {
        return Ok(());
    }
    close_but(place.report.as_raw_fd());
    watch(&mut place.report, rustix::process::Pid::from_child(&child))
}

/// Reaps until the command has ended; then ends and reaps all the others, and tells.
#[expect(unsafe_code, reason = "what runs at the end of a process is the wrapper's, and must not run twice")]
fn watch(report: &mut File, main: rustix::process::Pid) -> Built<()> {
    let mut ended = None;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == main => ended = Some(status.as_raw()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
        if ended.is_some() {
            // All there is in this namespace but for this process. What is made meanwhile is met in the next turn.
            // SAFETY: sends a signal, and touches no memory.
            unsafe { libc::kill(-1, libc::SIGKILL) };
        }
    }
    if let Some(status) = ended {
        tell(report, ENDED, status, &used());
    }
    // SAFETY: ends the process, and does nothing else.
    unsafe { libc::_exit(0) }
}

/// What all that was reaped used: microseconds of processor time, and bytes of the largest.
#[expect(unsafe_code, reason = "no safe binding of getrusage")]
fn used() -> [u8; 16] {
    // SAFETY: `rusage` is plain old data for which all zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable value of the right type.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let micros = |time: libc::timeval| time.tv_sec.max(0).unsigned_abs() * 1_000_000 + time.tv_usec.max(0).unsigned_abs();
    let (cpu_us, resident) = (micros(usage.ru_utime) + micros(usage.ru_stime), usage.ru_maxrss.max(0).unsigned_abs() * 1024);
    let mut both = [0; 16];
    both[..8].copy_from_slice(&cpu_us.to_ne_bytes());
    both[8..].copy_from_slice(&resident.to_ne_bytes());
    both
}

/// Marks every file beyond the three to be closed where a program begins.
#[expect(unsafe_code, reason = "no safe binding of close_range")]
fn pass_nothing_on() {
    // SAFETY: nothing is closed here, and no descriptor of this process is meant to be passed on.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Closes every file but one: pipes of the wrapper must not stay open for as long as the command lives.
fn close_but(kept: i32) {
    close_others(vec![kept]);
}

/// Closes every file but these: the wrapper's pipes must not stay open for longer than the wrapper.
pub(super) fn keep_only(mut kept: Vec<i32>) -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    kept.extend([0, 1, 2]);
    close_others(kept);
    // What stood for it was closed with the rest.
    std::mem::forget(null);
    Ok(())
}

#[expect(unsafe_code, reason = "no safe binding of close_range")]
fn close_others(mut kept: Vec<i32>) {
    kept.sort_unstable();
    let mut first = 0_u32;
    for file in kept.into_iter().filter_map(|file| u32::try_from(file).ok()).chain([u32::MAX]) {
        if file > first {
            // SAFETY: the values that own these descriptors are never used or dropped again: they are the wrapper's, of which this process
            // is a copy that ends without destructors.
            unsafe {
                libc::syscall(libc::SYS_close_range, first, file - 1, 0);
            }
        }
        first = file.saturating_add(1);
    }
}

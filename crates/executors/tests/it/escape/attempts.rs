//! What is tried. Each attempt gives an error with what it came to, and nothing when it was blocked.

#![expect(unsafe_code, reason = "what is tried are system calls, most of which nobody binds")]

use std::ffi::CString;
use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

type Out = Result<(), String>;

/// Something was to fail.
fn blocked<T>(tried: io::Result<T>, what: &str) -> Out {
    match tried {
        Ok(_) => Err(what.to_owned()),
        Err(_) => Ok(()),
    }
}

/// A system call was to fail.
fn call(number: libc::c_long, arguments: [usize; 6], what: &str) -> Out {
    // SAFETY: every argument is a number, or points to what outlives the call; the kernel checks the rest.
    let done =
        unsafe { libc::syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]) };
    if done >= 0 { Err(format!("{what} gave {done}")) } else { Ok(()) }
}

fn text(path: &str) -> CString {
    CString::new(path).unwrap()
}

fn at(text: &CString) -> usize {
    text.as_ptr() as usize
}

/// Everything, in order.
pub(super) fn all(outside: &Value) -> Vec<(&'static str, Out)> {
    let mut told = Vec::new();
    files(outside, &mut told);
    mounts(&mut told);
    network(outside, &mut told);
    processes(outside, &mut told);
    kernel(&mut told);
    rights(&mut told);
    told
}

fn files(outside: &Value, told: &mut Vec<(&'static str, Out)>) {
    let treasures: Vec<PathBuf> = serde_json::from_value(outside["treasures"].clone()).unwrap();
    let site = PathBuf::from(outside["site"].as_str().unwrap());
    let secret = outside["secret"].as_str().unwrap();
    let own = std::env::var("TUTTI_OUTPUT").unwrap();
    // A process that stays is at home, and not where its attempt is.
    let work =
        Path::new(&own).parent().filter(|work| work.exists()).map_or_else(|| std::env::current_dir().unwrap(), Path::to_owned);
    let attempt = work.parent().unwrap().to_owned();
    told.push(("files: another site's store", blocked(fs::read(&treasures[0]), "it was read")));
    told.push(("files: the own site's store", blocked(fs::read(&treasures[1]), "it was read")));
    told.push(("files: the site's attempts", blocked(fs::read_dir(site.join("attempts")), "they were listed")));
    told.push(("files: orders of the wrapper", blocked(fs::read(attempt.join("shim.json")), "they were read")));
    told.push(("files: a forged record", blocked(fs::write(attempt.join("result.json"), "{}"), "it was written")));
    told.push(("files: the site's tickets", blocked(fs::read(site.join("tickets")), "they were read")));
    told.push(("files: a link to outside", {
        let link = work.join("link");
        let _ = std::os::unix::fs::symlink(&treasures[0], &link);
        blocked(fs::read(&link), "it was followed")
    }));
    told.push(("files: a second name", blocked(fs::hard_link(&treasures[0], work.join("second")), "it was made")));
    told.push(("files: up from the work folder", {
        let up: PathBuf = std::iter::repeat_n("..", 20).collect();
        blocked(fs::read(work.join(up).join(treasures[0].strip_prefix("/").unwrap())), "it was read")
    }));
    told.push(("files: through the root of another process", {
        let below = treasures[0].strip_prefix("/").unwrap();
        (1..8).try_for_each(|pid| blocked(fs::read(Path::new(&format!("/proc/{pid}/root")).join(below)), "it was read"))
    }));
    told.push(("files: descriptors that were left open", left_open()));
    told.push(("files: passwords of the system", blocked(fs::read("/etc/shadow"), "they were read")));
    told.push(("files: homes", {
        let homes = ["/root", "/home"].map(|home| fs::read_dir(home).map(|mut found| found.next().is_some()).unwrap_or(false));
        if homes.contains(&true) { Err("something is there".into()) } else { Ok(()) }
    }));
    told.push(("files: the system's programs", blocked(fs::write("/usr/bin/tutti-was-here", ""), "they were changed")));
    told.push(("files: the root", blocked(fs::create_dir("/tutti-was-here"), "it was changed")));
    told.push(("files: inputs", blocked(fs::write(work.join("in/more"), ""), "they were changed")));
    told.push(("files: logs of the system", blocked(fs::read_dir("/var/log"), "they were listed")));
    told.push(("files: sockets of services", blocked(fs::read_dir("/run"), "they were listed")));
    told.push(("files: the secret in what can be read", {
        let found = [Path::new("/proc/1/environ"), Path::new("/proc/1/cmdline")]
            .iter()
            .any(|file| fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(secret)));
        if found { Err("it is there".into()) } else { Ok(()) }
    }));
    told.push(("files: by their number", {
        let mut handle = [0_u32; 64];
        handle[0] = 8;
        call(libc::SYS_open_by_handle_at, [libc::AT_FDCWD as usize, handle.as_ptr() as usize, 0, 0, 0, 0], "it")
    }));
}

/// Descriptors beyond the three, and beyond the one that lists them, that lead to folders or sockets.
fn left_open() -> Out {
    for entry in fs::read_dir("/proc/self/fd").map_err(|error| format!("they cannot be listed: {error}"))?.flatten() {
        let number: u32 = entry.file_name().to_string_lossy().parse().unwrap_or(0);
        let Ok(leads) = fs::read_link(entry.path()) else { continue };
        let leads = leads.to_string_lossy().into_owned();
        // The runtime of tests has an event queue and a pipe of its own.
        if number > 2 && (leads.starts_with('/') && !leads.starts_with("/proc") || leads.starts_with("socket")) {
            return Err(format!("{number} leads to {leads}"));
        }
    }
    Ok(())
}

fn mounts(told: &mut Vec<(&'static str, Out)>) {
    let (tmpfs, tmp, root, usr, none) = (text("tmpfs"), text("/tmp"), text("/"), text("/usr"), 0);
    let namespaces = |flags: i32| [flags as usize, 0, 0, 0, 0, 0];
    told.push(("mounts: a new one", call(libc::SYS_mount, [at(&tmpfs), at(&tmp), at(&tmpfs), 0, none, 0], "mount")));
    let bind = libc::MS_BIND as usize;
    told.push(("mounts: a second place", call(libc::SYS_mount, [at(&root), at(&tmp), none, bind, none, 0], "mount")));
    let again = (libc::MS_BIND | libc::MS_REMOUNT) as usize;
    told.push(("mounts: writable again", call(libc::SYS_mount, [at(&usr), at(&usr), none, again, none, 0], "mount")));
    told.push(("mounts: what is below", call(libc::SYS_umount2, [at(&usr), libc::MNT_DETACH as usize, 0, 0, 0, 0], "umount")));
    told.push(("mounts: another root", call(libc::SYS_pivot_root, [at(&tmp), at(&tmp), 0, 0, 0, 0], "pivot_root")));
    told.push(("mounts: chroot", call(libc::SYS_chroot, [at(&tmp), 0, 0, 0, 0, 0], "chroot")));
    told.push(("mounts: the new interface", call(libc::SYS_fsopen, [at(&tmpfs), 0, 0, 0, 0, 0], "fsopen")));
    told.push((
        "mounts: a copy of the tree",
        call(libc::SYS_open_tree, [libc::AT_FDCWD as usize, at(&root), 1, 0, 0, 0], "open_tree"),
    ));
    told.push((
        "mounts: their rights",
        call(libc::SYS_mount_setattr, [libc::AT_FDCWD as usize, at(&usr), 0, at(&tmp), 32, 0], "it"),
    ));
    told.push(("namespaces: of users", call(libc::SYS_unshare, namespaces(libc::CLONE_NEWUSER), "unshare")));
    told.push(("namespaces: of mounts", call(libc::SYS_unshare, namespaces(libc::CLONE_NEWNS), "unshare")));
    told.push(("namespaces: of the network", call(libc::SYS_unshare, namespaces(libc::CLONE_NEWNET), "unshare")));
    let child = (libc::CLONE_NEWUSER | libc::SIGCHLD) as usize;
    told.push(("namespaces: of a child", call(libc::SYS_clone, [child, 0, 0, 0, 0, 0], "clone")));
    told.push(("namespaces: of a child, the new way", call(libc::SYS_clone3, [0, 0, 0, 0, 0, 0], "clone3")));
    told.push(("namespaces: those of the first process", {
        let joined = fs::File::open("/proc/1/ns/mnt");
        match joined {
            Ok(file) => call(libc::SYS_setns, [std::os::fd::AsRawFd::as_raw_fd(&file) as usize, 0, 0, 0, 0, 0], "setns"),
            Err(_) => Ok(()),
        }
    }));
}

fn network(outside: &Value, told: &mut Vec<(&'static str, Out)>) {
    let port = |name: &str| outside[name].as_u64().unwrap() as u16;
    let connect = |address: &str| {
        let address = address.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
        TcpStream::connect_timeout(&address, Duration::from_secs(2))
    };
    told.push(("network: the machine itself", blocked(connect(&format!("127.0.0.1:{}", port("tcp"))), "connected")));
    told.push(("network: the machine itself, version 6", blocked(connect(&format!("[::1]:{}", port("tcp"))), "connected")));
    told.push(("network: an address outside", blocked(connect("192.0.2.1:80"), "connected")));
    told.push(("network: services of a cloud", blocked(connect("169.254.169.254:80"), "connected")));
    told.push(("network: a name", blocked(("example.com", 80).to_socket_addrs().map(Vec::from_iter), "it was looked up")));
    told.push(("network: a proxy that nobody granted", blocked(connect("127.0.0.1:3128"), "connected")));
    // Whether it arrives is seen outside.
    told.push(("network: datagrams to the machine", {
        let socket = UdpSocket::bind("0.0.0.0:0");
        let _ = socket.and_then(|socket| socket.send_to(b"out", ("127.0.0.1", port("udp"))));
        Ok(())
    }));
    told.push(("network: questions to a name server", {
        let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
        blocked(UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(question, "9.9.9.9:53")), "it was sent")
    }));
    let socket = |family: i32, kind: i32, protocol: i32| {
        call(libc::SYS_socket, [family as usize, kind as usize, protocol as usize, 0, 0, 0], "a socket")
    };
    told.push(("network: raw packets", socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)));
    told.push(("network: frames", socket(libc::AF_PACKET, libc::SOCK_RAW, 0)));
    told.push(("network: the machine below a virtual one", socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)));
    told.push(("network: ciphers of the kernel", socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)));
    told.push(("network: devices", blocked(fs::write("/dev/net/tun", ""), "it is there")));
    let name = outside["abstract"].as_str().unwrap();
    let named = UnixAddr::from_abstract_name(name).and_then(|address| UnixStream::connect_addr(&address));
    told.push(("sockets: abstract", blocked(named, "connected")));
    told.push(("sockets: of a path", blocked(UnixStream::connect(outside["socket"].as_str().unwrap()), "connected")));
    told.push(("sockets: of the system's bus", blocked(UnixStream::connect("/run/dbus/system_bus_socket"), "connected")));
}

fn processes(outside: &Value, told: &mut Vec<(&'static str, Out)>) {
    let victim = outside["victim"].as_u64().unwrap() as usize;
    let secret = outside["secret"].as_str().unwrap();
    let stays = std::env::var("HOME").is_ok_and(|home| home.contains("/homes/"));
    told.push(("processes: others are seen", {
        let others = fs::read_dir("/proc")
            .map_or(0, |all| all.flatten().filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count());
        // The first process of the namespace, and this one; and the one that started it, where it stays.
        if others > if stays { 3 } else { 2 } { Err(format!("{others} are seen")) } else { Ok(()) }
    }));
    told.push(("processes: another's environment", {
        let read = fs::read(format!("/proc/{victim}/environ"));
        if read.is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(secret)) { Err("it was read".into()) } else { Ok(()) }
    }));
    // Whether it lives is seen outside. The number may be nobody's here.
    told.push(("signals: to a process outside", call(libc::SYS_kill, [victim, libc::SIGKILL as usize, 0, 0, 0, 0], "kill")));
    told.push(("signals: to everybody", {
        let _ = call(libc::SYS_kill, [usize::MAX, libc::SIGTERM as usize, 0, 0, 0, 0], "kill");
        Ok(())
    }));
    told.push(("processes: traced", call(libc::SYS_ptrace, [16, victim, 0, 0, 0, 0], "ptrace")));
    told.push(("processes: the first one traced", call(libc::SYS_ptrace, [16, 1, 0, 0, 0, 0], "ptrace")));
    told.push(("processes: memory of the first one", blocked(fs::File::open("/proc/1/mem"), "it was opened")));
    told.push(("processes: the map of the first one's memory", {
        let read = fs::read("/proc/1/maps");
        if read.is_ok_and(|bytes| !bytes.is_empty()) { Err("it was read".into()) } else { Ok(()) }
    }));
    told.push(("processes: memory by a call", {
        let mut here = [0_u8; 8];
        let local = libc::iovec { iov_base: here.as_mut_ptr().cast(), iov_len: 8 };
        let remote = libc::iovec { iov_base: 4096 as *mut libc::c_void, iov_len: 8 };
        let (local, remote) = (&raw const local as usize, &raw const remote as usize);
        call(libc::SYS_process_vm_readv, [1, local, 1, remote, 1, 0], "it")
    }));
    told.push(("processes: files of the first one", {
        // SAFETY: gives a number.
        let process = unsafe { libc::syscall(libc::SYS_pidfd_open, 1, 0) };
        call(libc::SYS_pidfd_getfd, [process as usize, 0, 0, 0, 0, 0], "it")
    }));
    told.push(("processes: shared memory of others", {
        // SAFETY: gives a number.
        let seen = unsafe { libc::shmget(0x7475_7474, 1, 0) };
        if seen >= 0 { Err("it is there".into()) } else { Ok(()) }
    }));
}

fn kernel(told: &mut Vec<(&'static str, Out)>) {
    let zeros = [0_u64; 32];
    let pointer = zeros.as_ptr() as usize;
    told.push(("kernel: where cores go", blocked(fs::write("/proc/sys/kernel/core_pattern", "|/tmp/x"), "it was changed")));
    told.push(("kernel: names of hosts", blocked(fs::write("/proc/sys/kernel/hostname", "x"), "it was changed")));
    told.push(("kernel: the magic key", blocked(fs::write("/proc/sysrq-trigger", "h"), "it was pressed")));
    told.push(("kernel: memory", {
        let read = fs::read("/dev/mem").or_else(|_| {
            fs::File::open("/proc/kcore").and_then(|file| {
                let mut head = [0; 4];
                io::Read::read_exact(&mut &file, &mut head).map(|()| head.to_vec())
            })
        });
        blocked(read, "it was read")
    }));
    told.push(("kernel: control groups", blocked(fs::read_dir("/sys/fs/cgroup"), "they were listed")));
    told.push(("kernel: its settings", blocked(fs::read_dir("/sys/kernel"), "they were listed")));
    told.push(("kernel: programs in it", call(libc::SYS_bpf, [0, pointer, 72, 0, 0, 0], "bpf")));
    told.push(("kernel: counters", call(libc::SYS_perf_event_open, [pointer, 0, usize::MAX, usize::MAX, 0, 0], "it")));
    told.push(("kernel: keys", call(libc::SYS_keyctl, [0, (-3_isize) as usize, 1, 0, 0, 0], "keyctl")));
    told.push(("kernel: its second way in", call(libc::SYS_io_uring_setup, [4, pointer, 0, 0, 0, 0], "io_uring")));
    told.push(("kernel: faults", call(libc::SYS_userfaultfd, [0, 0, 0, 0, 0, 0], "userfaultfd")));
    told.push(("kernel: modules", call(libc::SYS_init_module, [pointer, 8, pointer, 0, 0, 0], "it")));
    told.push(("kernel: another kernel", call(libc::SYS_kexec_load, [0, 0, pointer, 0, 0, 0], "it")));
    told.push(("kernel: its log", call(libc::SYS_syslog, [3, pointer, 64, 0, 0, 0], "syslog")));
    told.push(("kernel: the clock", call(libc::SYS_clock_settime, [0, pointer, 0, 0, 0, 0], "it")));
    told.push(("kernel: the machine's name", call(libc::SYS_sethostname, [pointer, 1, 0, 0, 0, 0], "it")));
    #[cfg(target_arch = "x86_64")]
    told.push(("kernel: calls by their second numbers", call(0x4000_0000 + 521, [0, 0, 0, 0, 0, 0], "ptrace")));
    let device = |path: &str, kind: libc::mode_t, number: libc::dev_t| {
        let path = text(path);
        call(libc::SYS_mknodat, [libc::AT_FDCWD as usize, at(&path), (kind | 0o600) as usize, number as usize, 0, 0], "mknod")
    };
    told.push(("devices: a disk", device("disk", libc::S_IFBLK, 0xfe00)));
    told.push(("devices: memory", device("mem", libc::S_IFCHR, 0x101)));
    told.push(("devices: those that are there", {
        let all: Vec<String> = ["kvm", "vda", "sda", "kmsg", "mem", "loop0", "fuse", "tty", "ptmx", "vsock"]
            .into_iter()
            .filter(|name| Path::new("/dev").join(name).exists())
            .map(str::to_owned)
            .collect();
        if all.is_empty() { Ok(()) } else { Err(format!("{all:?}")) }
    }));
}

fn rights(told: &mut Vec<(&'static str, Out)>) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned());
    let is = |name: &str, wanted: &str| match field(name) {
        Some(found) if found == wanted => Ok(()),
        found => Err(format!("{found:?}")),
    };
    told.push(("rights: capabilities", is("CapEff:", "0000000000000000")));
    told.push(("rights: those it may get", is("CapBnd:", "0000000000000000")));
    told.push(("rights: new ones by programs", is("NoNewPrivs:", "1")));
    told.push(("rights: the filter", is("Seccomp:", "2")));
    told.push(("rights: another user", call(libc::SYS_setuid, [12_345, 0, 0, 0, 0, 0], "setuid")));
    told.push(("rights: other groups", call(libc::SYS_setgroups, [0, 0, 0, 0, 0, 0], "setgroups")));
    told.push(("rights: a mapping of users", {
        let mapped = fs::OpenOptions::new().write(true).open("/proc/self/uid_map").and_then(|mut map| map.write_all(b"0 0 9"));
        blocked(mapped, "it was written")
    }));
}

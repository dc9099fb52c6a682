//! The filter of system calls: what no step of a workflow needs and what the kernel has been broken into through. What is refused gives
//! the error that a machine without the right would give.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, sock_filter,
};

use super::{Built, Step};

/// Refused as not permitted.
const REFUSED: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Namespaces and mounts: the walls themselves.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_quotactl,
    // The kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    // The machine's clock and name.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Refused as if the kernel did not know them: programs have another way then.
const UNKNOWN: &[libc::c_long] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Flags of `clone` that make namespaces.
const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32 as u64;

/// Families of sockets that there are inside. Those of virtual machines, of packets and of ciphers reach around a network namespace.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// Without a network of its own.
const FAMILIES_WITHOUT_NETWORK: [i32; 1] = [libc::AF_UNIX];

/// Shuts this process and what it starts in, for good.
pub(super) fn shut(has_network: bool) -> Built<()> {
    let programs = compile(has_network).step(|| "making the filter of system calls".into())?;
    for program in &programs {
        seccompiler::apply_filter(program).map_err(io::Error::other).step(|| "the filter of system calls".into())?;
    }
    Ok(())
}

/// The same for a process that shuts itself in: programs as the kernel takes them.
pub(super) fn bytes(has_network: bool) -> Built<Vec<Vec<u8>>> {
    let programs = compile(has_network).step(|| "making the filter of system calls".into())?;
    let bytes = |step: &sock_filter| {
        let mut bytes = step.code.to_ne_bytes().to_vec();
        bytes.extend([step.jt, step.jf]);
        bytes.extend(step.k.to_ne_bytes());
        bytes
    };
    Ok(programs.iter().map(|program| program.iter().flat_map(bytes).collect()).collect())
}

fn compile(has_network: bool) -> io::Result<Vec<BpfProgram>> {
    let families: &[i32] = if has_network { &FAMILIES } else { &FAMILIES_WITHOUT_NETWORK };
    let condition =
        |argument, length, operator, value| SeccompCondition::new(argument, length, operator, value).map_err(io::Error::other);
    let rule = |conditions| SeccompRule::new(conditions).map_err(io::Error::other);
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let others = families.iter().map(|family| condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *family as u64));
    let others = others.collect::<io::Result<Vec<_>>>()?;
    refused.insert(libc::SYS_socket, vec![rule(others)?]);
    // One rule a flag: any of them is too many.
    let flags = (0..32).map(|bit| 1_u64 << bit).filter(|flag| NAMESPACES & flag != 0);
    let flags = flags.map(|flag| rule(vec![condition(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?]));
    refused.insert(libc::SYS_clone, flags.collect::<io::Result<Vec<_>>>()?);
    // Input put into a terminal that somebody else reads.
    let push = condition(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::TIOCSTI)?;
    refused.insert(libc::SYS_ioctl, vec![rule(vec![push])?]);
    let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    Ok(vec![program(refused, libc::EPERM)?, program(unknown, libc::ENOSYS)?])
}

fn program(calls: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> io::Result<BpfProgram> {
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, SeccompAction::Errno(errno as u32), architecture)
        .map_err(io::Error::other)?;
    let filter: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    Ok(without_second_numbers(filter))
}

/// On x86-64 every call has a second number, of the x32 interface: none of those is known inside, or each refusal could be gone around.
fn without_second_numbers(filter: BpfProgram) -> BpfProgram {
    if !cfg!(target_arch = "x86_64") {
        return filter;
    }
    // Load the number; when it is 0x40000000 or more, answer "not known".
    let mut whole = vec![
        sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 },
        sock_filter { code: 0x35, jt: 0, jf: 1, k: 0x4000_0000 },
        sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x0005_0000 | libc::ENOSYS as u32 },
    ];
    whole.extend(filter);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_made_for_this_machine() {
        for has_network in [true, false] {
            let programs = compile(has_network).unwrap();
            assert!(programs.iter().all(|program| program.len() > UNKNOWN.len() && program.len() < 4_096));
        }
    }
}

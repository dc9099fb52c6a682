//! Reaping children with what each of them used. The standard library waits without asking for that.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use crate::sandbox::enter::Told;

/// What ended children used together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// Microseconds of processor time, user and system, descendants that were waited for included.
    pub(super) cpu_us: u64,
    /// The largest resident memory of any one of them, in bytes.
    pub(super) memory_peak_bytes: u64,
}

/// The children of this process: the one that was started, and orphans that became ours.
#[derive(Debug)]
pub(super) struct Reaper {
    main: i32,
    /// Whether what the one that was started used is known, and counted, already: then it only has to go.
    pub(super) is_told: bool,
    /// Whether it was reaped.
    pub(super) is_gone: bool,
    /// How the one that was started ended.
    pub(super) status: Option<ExitStatus>,
    pub(super) used: Used,
}

impl Reaper {
    pub(super) fn new(main: u32) -> Reaper {
        Reaper { main: i32::try_from(main).unwrap_or(-1), is_told: false, is_gone: false, status: None, used: Used::default() }
    }

    /// Takes what was told of the end of the one that was started.
    pub(super) fn take(&mut self, told: Told) {
        self.used.cpu_us += told.cpu_us;
        self.used.memory_peak_bytes = self.used.memory_peak_bytes.max(told.memory_peak_bytes);
        (self.status, self.is_told) = (Some(told.status), true);
    }

    /// Reaps every child that has ended. Never waits.
    #[expect(unsafe_code, reason = "no safe binding of wait4 gives the usage of a single child")]
    pub(super) fn reap(&mut self) {
        loop {
            let mut status = 0;
            // SAFETY: `rusage` is plain old data for which all zeros are valid.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            // SAFETY: both pointers are to live, writable values of the right types.
            let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
            if pid <= 0 {
                return;
            }
            if pid == self.main {
                self.is_gone = true;
                if self.is_told {
                    continue;
                }
            }
            let micros = |time: libc::timeval| time.tv_sec.max(0).unsigned_abs() * 1_000_000 + time.tv_usec.max(0).unsigned_abs();
            self.used.cpu_us += micros(usage.ru_utime) + micros(usage.ru_stime);
            let resident = usage.ru_maxrss.max(0).unsigned_abs() * 1024;
            self.used.memory_peak_bytes = self.used.memory_peak_bytes.max(resident);
            if pid == self.main {
                self.status = Some(ExitStatus::from_raw(status));
            }
        }
    }
}

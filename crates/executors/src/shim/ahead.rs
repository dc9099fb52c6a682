//! What a wrapper does while it has no attempt: it sees the walls of the last one go, and has those of the next one built.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions};

use super::groups::Groups;
use super::{ShimSpec, tree};
use crate::sandbox::Site;
use crate::sandbox::enter::{self, Ready};

/// What a wrapper has beside its attempt.
#[derive(Default)]
pub(super) struct Ahead {
    /// Where the last attempt was; none when it had no walls, or ones that nothing can be built of before.
    site: Option<Site>,
    ready: Option<Ready>,
    /// The first process within the walls of the last attempt, which has told its end.
    leaving: Option<u32>,
}

impl Ahead {
    /// What was built for such an attempt.
    pub(super) fn take(&mut self, spec: &ShimSpec) -> Option<Ready> {
        self.see_it_go();
        // A wrapper that was found with a child has one attempt, or goes on with the walls of that.
        let walls = spec.walls.as_ref().filter(|_| spec.host.is_none());
        self.site = walls.map(|walls| walls.site.clone()).filter(|site| site.layers.namespaces);
        self.ready.take()
    }

    /// Somebody is on the way out.
    pub(super) fn is_leaving(&mut self, leader: Option<u32>) {
        self.leaving = leader;
    }

    /// Builds for the next attempt, unless it is there already.
    pub(super) fn use_the_pause(&mut self, groups: &Groups) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !matches!(poll(&mut [PollFd::new(&std::io::stdin(), PollFlags::IN)], Some(&now)), Ok(0)) {
            return;
        }
        self.see_it_go();
        if let (Some(site), None) = (&self.site, &self.ready) {
            groups.allow_new_processes();
            tree::offer_for_memory(true);
            // What stands in the way is told when an attempt is there to tell it of.
            self.ready = enter::prepare(site).ok();
            tree::offer_for_memory(false);
        }
    }

    fn see_it_go(&mut self) {
        if let Some(pid) = self.leaving.take().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
            while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(pid), WaitOptions::empty()) {}
        }
    }
}

//! Level 4: tickets, computed again from the entries before them.

use engine::event::TicketIssued;
use executors::tickets::{LIFETIME, TicketKey};
use model::ticket::is_loopback;
use model::{Duration, EgressGrant, Seq, Timestamp};

use super::{Rederive, is_connector};
use crate::flyte::DOORS_MAX;

/// How long a ticket may be good for, beside the difference between the clocks of who signs and who records.
const GOOD_FOR: Duration = Duration(LIFETIME.0 + 10_000_000);

impl Rederive<'_> {
    /// A ticket has to be signed by the key of its incarnation, and to say what was decided and no more.
    pub(super) fn ticket(&mut self, seq: Seq, at: Timestamp, event: &TicketIssued) {
        self.computed("tickets");
        let ticket = &event.ticket.ticket;
        let Some(run) = self.runs.get(&event.run) else { return };
        let Some(action) = run.actions.get(&ticket.attempt.action).cloned() else {
            return self.problem(4, seq, "a ticket was signed for what is no action");
        };
        let released = run.released.get(&(ticket.attempt.action, ticket.attempt.attempt)).cloned().unwrap_or_default();
        let reach = run.reach.get(&(ticket.attempt.action, ticket.attempt.attempt)).cloned().unwrap_or_default();
        let is_task = action.asked_by.is_some() || action.work.as_ref().is_some_and(|work| work != "run" && !is_connector(work));
        let mut wrong: Vec<String> = Vec::new();
        let signed = self.ticket_key.is_some_and(|key| TicketKey(key.0).signed(&event.ticket));
        if !signed {
            wrong.push("its signature is not that of the incarnation's key".into());
        }
        if ticket.attempt.run != event.run || ticket.epoch != self.epoch {
            wrong.push("it is for another run, or of another incarnation".into());
        }
        if action.placed.get(&ticket.attempt.attempt) != Some(&ticket.site) {
            wrong.push(format!(
                "it is for attempt {} at `{}`, and that is not where it was placed",
                ticket.attempt.attempt, ticket.site
            ));
        }
        if ticket.label != action.label {
            wrong.push(format!("it says that the attempt reads {}, and it reads {}", ticket.label, action.label));
        }
        if ticket.secrets != released {
            wrong.push("it names other secrets than were released".into());
        }
        if ticket.is_out_of_time(at, GOOD_FOR) {
            wrong.push("it was signed at another time than it is recorded".into());
        }
        // A Flyte task has one way more, to the server, which it needs for everything, and those to the doors of apps, which are ports of this machine.
        let is_door = |way: &&EgressGrant| is_task && is_loopback(&way.host);
        let (doors, beyond): (Vec<_>, Vec<_>) = ticket.egress.difference(&reach).partition(is_door);
        let beyond: Vec<String> = beyond.into_iter().map(ToString::to_string).collect();
        if beyond.len() > usize::from(is_task) || doors.len() > 1 + DOORS_MAX {
            wrong.push(format!("it grants ways that were not decided: {}", beyond.join(", ")));
        }
        for what in wrong {
            self.problem(4, seq, format!("the ticket of `{}`: {what}", action.path));
        }
    }
}

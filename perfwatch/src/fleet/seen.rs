//! What the API sees of the fleet; of a machine that is alone, nothing.

use super::courses::Courses;
use super::hub::Stats;
use super::hub::asking::Asking;
use super::hub::members::Members;
use super::hub::watching::Watching;
use super::presence::Presence;
use super::sender::Sending;

#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub presence: Presence,
    pub courses: Courses,
    /// Of a hub.
    pub stats: Option<Stats>,
    /// Of a hub: asks the machines, and shows their ticks.
    pub asking: Option<Asking>,
    pub watching: Option<Watching>,
    /// Of a hub that lets machines join.
    pub members: Option<Members>,
    /// Of a machine that sends.
    pub sending: Option<Sending>,
}

impl Seen {
    /// Whether this server is for a fleet, rather than for the machine that it runs on.
    pub const fn is_hub(&self) -> bool {
        self.stats.is_some()
    }

    /// What does not work, one sentence each.
    pub fn problems(&self) -> Vec<&'static str> {
        let stats = self.stats.as_ref();
        let sending = self.sending.as_ref();
        let problems = [
            (stats.is_some_and(Stats::unread), "The fleet's stream cannot be read"),
            (stats.is_some_and(Stats::failing), "The history of the fleet is not being stored"),
            (self.presence.copies().any(), "Several machines send under one ID"),
            (
                self.members.as_ref().is_some_and(Members::is_behind),
                "NATS does not know yet which machines are revoked",
            ),
            (
                sending.is_some_and(|sending| sending.health.failing()),
                "NATS takes no history; it waits on disk",
            ),
        ];
        problems.into_iter().filter_map(|(is_so, problem)| is_so.then_some(problem)).collect()
    }
}

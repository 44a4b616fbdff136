//! What the API sees of the fleet; of a machine that is alone, nothing.

use super::hub::Stats;
use super::hub::members::Members;
use super::presence::Presence;
use super::sender::Sending;

#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub presence: Presence,
    /// Of a hub.
    pub stats: Option<Stats>,
    /// Of a hub that lets machines join.
    pub members: Option<Members>,
    /// Of a machine that sends.
    pub sending: Option<Sending>,
}

impl Seen {
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

//! What this machine answers to hubs, as `serve` and as `agent`.

use std::sync::{Arc, Mutex, PoisonError};

use super::threads::lower_priority;
use crate::api::{doctor, processes, sources};
use crate::fleet::answering::Machine;
use crate::fleet::asking::{Answer, Ask, encode_chunks};
use crate::fleet::live::Ticks;
use crate::history::History;
use crate::probes::ProcessLister;
use crate::profiles::archive::Archive;
use crate::snapshot::Snapshot;
use crate::snapshot::diagnosis::Diagnosis;
use crate::snapshot::source::{Report, SourceStatus};
use crate::store::chunks::Content;

/// Examines the machine, with its sources' reports and its newest snapshot.
type Diagnose = Box<dyn Fn(&[Report], Option<&Snapshot>) -> Diagnosis + Send + Sync>;

pub(super) struct Answers {
    pub lister: Arc<ProcessLister>,
    pub source_status: SourceStatus,
    pub history: History,
    pub profiles: Archive,
    pub ticks: Ticks,
    pub diagnose: Diagnose,
    /// One list of processes at a time: the next question gets the same one.
    pub listing: Mutex<()>,
}

impl Machine for Answers {
    fn answer(&self, ask: Ask) -> Answer {
        lower_priority();
        let json = match ask {
            Ask::Processes { limit, sort, search } => {
                let _one_at_a_time = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
                processes::listed(&*self.lister, limit, sort.as_deref(), search)
            }
            Ask::Doctor => {
                let (reports, newest) = (self.source_status.reports(), self.ticks.newest());
                doctor::told((self.diagnose)(&reports, newest.as_deref()))
            }
            Ask::Sources => sources::told(self.source_status.reports()),
            Ask::Newest { of, from } => {
                let chunks = match of {
                    Content::Readings(of) => self.history.head().since(of, from),
                    Content::Profiles(of) => self.profiles.since(of, from),
                };
                Some(encode_chunks(self.history.host(), chunks))
            }
        };
        json.ok_or_else(|| "it cannot answer this question".to_owned())
    }
}

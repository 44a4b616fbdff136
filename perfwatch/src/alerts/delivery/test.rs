//! Sends a test message to one channel and tells the whole conversation.

use time::OffsetDateTime;

use super::{alertmanager, outgoing};
use crate::alerts::channel::Kind;
use crate::alerts::channels::Listed;
use crate::alerts::message::{Message, Status};
use crate::alerts::send::Conversation;
use crate::alerts::service::Alerts;
use crate::store;

#[derive(Debug)]
pub struct Tested {
    pub is_delivered: bool,
    /// What was said, with secrets masked.
    pub conversation: Vec<String>,
}

/// Tests a channel, whether it is switched off or not.
pub async fn run(alerts: &Alerts, of: &Listed) -> Tested {
    let now = store::micros(OffsetDateTime::now_utc());
    let (host, place) = (alerts.history().host(), alerts.channels().place());
    let mut conversation = Conversation::new(&of.secrets);
    let message = Message::test(&format!("test:{now}"), host, place);
    let first = match of.channel.kind {
        Kind::Alertmanager => {
            outgoing::alerts(of, &[alertmanager::of_test(host, now)]).into_iter().map(Ok).collect()
        }
        _ if outgoing::takes_events(of) => vec![Ok(outgoing::events(of, place, &[], |_| None))],
        // A test leaves no incident open.
        _ if outgoing::is_for_incidents(of) => {
            let mut over = message.clone();
            over.status = Status::Resolved;
            vec![outgoing::message(of, message), outgoing::message(of, over)]
        }
        _ => vec![outgoing::message(of, message)],
    };
    let mut is_delivered = true;
    for outgoing in first {
        let sent = match outgoing {
            Ok(outgoing) => outgoing.send(alerts.channels().sender(), of, &mut conversation).await,
            Err(failure) => {
                conversation.note(&failure.why);
                Err(failure)
            }
        };
        if let Err(failure) = sent {
            is_delivered = false;
            if !conversation.lines.iter().any(|line| line.contains(&failure.why)) {
                conversation.note(&format!("! {}", failure.why));
            }
            break;
        }
    }
    Tested { is_delivered, conversation: conversation.lines }
}

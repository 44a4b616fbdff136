//! What silences kept from being told, and is still raised when they end.

use crate::alerts::answer::silenced;
use crate::alerts::event::{Kind, Payload};
use crate::alerts::service::Alerts;
use crate::snapshot::rfc3339;
use crate::store::{Result, from_micros};

/// Queues what no silence applies to any more, as it is now: it goes to whom it would have gone to, and its end to the same.
/// `false`: nothing is withheld.
pub async fn release(alerts: &Alerts, now: i64) -> Result<bool> {
    let withheld = alerts.store().withheld_events(alerts.only_host()).await?;
    if withheld.is_empty() {
        return Ok(false);
    }
    let silences = alerts.store().silences(now).await?;
    // What is not raised any more is about to be stored as cleared; after a start it is not known yet.
    let current = alerts.current(|_| true, |_, is_raised| is_raised);
    for one in withheld {
        let Ok(payload) = serde_json::from_str::<Payload>(&one.payload) else { continue };
        let is_silenced = silenced(&silences, &payload.rule, &payload.labels, payload.whose()).is_some();
        let current = current.iter().find(|current| current.episode.as_ref() == Some(&payload.episode));
        let Some(current) = current.filter(|_| !is_silenced) else { continue };
        let payload = Payload {
            event: if one.told.is_empty() { Kind::Raised } else { Kind::SeverityChanged },
            at: rfc3339(from_micros(now)),
            summary: current.summary.clone(),
            value: current.value,
            peak: current.raised.as_ref().map_or(payload.peak, |raised| raised.peak),
            flapping: current.raised.as_ref().is_some_and(|raised| raised.flapping),
            reason: Some("it was silenced until now".to_owned()),
            ..payload
        };
        alerts.store().release_event(&one.host, &payload.queued(now)).await?;
    }
    Ok(true)
}

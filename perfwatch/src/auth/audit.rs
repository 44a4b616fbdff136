//! The audit log: who did what, and from where.

use std::net::IpAddr;

use time::OffsetDateTime;

use super::Auth;
use crate::store::access::AuditEntry;

pub const LOGIN: &str = "login";
pub const LOGOUT: &str = "logout";
pub const PASSWORD_CHANGED: &str = "password_changed";
pub const PASSWORD_REFUSED: &str = "password_refused";
pub const USER_ADDED: &str = "user_added";
pub const USER_CHANGED: &str = "user_changed";
pub const USER_DELETED: &str = "user_deleted";
pub const TOKEN_CREATED: &str = "token_created";
pub const TOKEN_REVOKED: &str = "token_revoked";
pub const CONFIG_CHANGED: &str = "config_changed";
pub const RETENTION_CHANGED: &str = "retention_changed";
pub const ALERT_RULE_CHANGED: &str = "alert_rule_changed";
pub const ALERT_RULE_DELETED: &str = "alert_rule_deleted";
pub const ALERT_CHANNEL_CHANGED: &str = "alert_channel_changed";
pub const ALERT_CHANNEL_DELETED: &str = "alert_channel_deleted";
pub const ALERT_CHANNEL_TESTED: &str = "alert_channel_tested";
pub const ALERT_ACKNOWLEDGED: &str = "alert_acknowledged";
pub const ALERTS_SILENCED: &str = "alerts_silenced";
pub const SILENCE_ENDED: &str = "silence_ended";
pub const MAINTENANCE_ADDED: &str = "maintenance_added";
pub const MAINTENANCE_REMOVED: &str = "maintenance_removed";
pub const ALERT_RULES_IMPORTED: &str = "alert_rules_imported";
pub const HOST_ASKED: &str = "host_asked";
pub const CLEANUP: &str = "cleanup";
pub const JOIN_TOKEN_CREATED: &str = "join_token_created";
pub const HOST_JOINED: &str = "host_joined";
pub const HOST_REVOKED: &str = "host_revoked";
pub const HOST_LABELS_CHANGED: &str = "host_labels_changed";

impl Auth {
    /// Writes one line to the log and to the store. The event has already happened, so a store that cannot
    /// take the entry blocks nothing.
    pub async fn audit(&self, username: &str, address: IpAddr, action: &str, detail: &str) {
        // Quoted as Debug, since names are hostile input to a terminal.
        tracing::info!(target: "perfwatch::audit", user = ?username, %address, action, detail);
        let entry = AuditEntry {
            id: 0,
            at: OffsetDateTime::now_utc(),
            username: username.to_owned(),
            address: address.to_string(),
            action: action.to_owned(),
            detail: detail.to_owned(),
        };
        if let Err(error) = self.store.record_audit(&entry).await {
            tracing::warn!(%error, action, "cannot write to the audit log; the entry is only in this log");
        }
    }
}

//! The OpenAPI document: the handlers' descriptions and the frame around them.

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{RefOr, Schema};

#[derive(OpenApi)]
#[openapi(
    info(title = "PerfWatch", description = "Performance of one Linux machine, live and historical."),
    modifiers(&Bearer),
    security(("bearer" = [])),
    tags(
        (name = "health", description = "Status of the server and its parts; no login needed"),
        (name = "auth", description = "Signing in and out"),
        (name = "users", description = "Accounts and the audit log, for administrators"),
        (name = "tokens", description = "Tokens for scripts and Prometheus"),
        (name = "stream", description = "Live data, one message per tick"),
        (name = "processes", description = "All processes of the machine"),
        (name = "history", description = "Stored data of any time range"),
        (name = "fleet", description = "Many machines at once, and how machines join"),
        (name = "profiles", description = "Which code ran, or waited"),
        (name = "fleet", description = "The machines of a fleet side by side"),
        (name = "events", description = "What people and scripts have noted, such as deployments"),
        (name = "boards", description = "What users saved of the page's History"),
        (name = "alerts", description = "Rules, what they raised, silences"),
        (name = "retention", description = "How long history is kept"),
        (name = "config", description = "What is measured and how often"),
        (name = "sources", description = "Collectors and probes"),
        (name = "metrics", description = "For Prometheus"),
    ),
)]
struct Frame;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document served at `/openapi.json`, from the resources' descriptions.
pub(super) fn document(resources: utoipa::openapi::OpenApi, base_path: &str) -> utoipa::openapi::OpenApi {
    let mut document = Frame::openapi().merge_from(resources);
    if !base_path.is_empty() {
        document.servers = Some(vec![utoipa::openapi::Server::new(base_path)]);
    }
    // A rule is also listed together with what is known of it; closed, its schema would rule that out.
    let schemas = document.components.as_mut().map(|components| &mut components.schemas);
    if let Some(RefOr::T(Schema::Object(rule))) = schemas.and_then(|schemas| schemas.get_mut("AlertRule")) {
        rule.additional_properties = None;
    }
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    // The standard requires one; handlers omit it if the schema says it all.
                    "OK".clone_into(&mut response.description);
                }
            }
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::super::router::resources;
    use super::*;

    fn served() -> utoipa::openapi::OpenApi {
        document(resources().into_openapi(), "")
    }

    /// Clients are generated from it. `UPDATE_OPENAPI=1 cargo test -p perfwatch openapi` rewrites it.
    const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    #[test]
    fn the_snapshot_in_the_repository_is_what_is_served() {
        let served = served().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(SNAPSHOT, &served).unwrap();
        }
        let kept = std::fs::read_to_string(SNAPSHOT).unwrap();
        assert!(kept == served, "perfwatch/openapi.json is outdated; UPDATE_OPENAPI=1 writes it anew");
    }

    #[test]
    fn every_operation_has_a_summary_a_tag_and_an_id_of_its_own() {
        let document = serde_json::to_value(served()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(operation["summary"].is_string(), "{method} {path}");
                assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
                assert!(ids.insert(operation["operationId"].to_string()), "{method} {path}");
            }
        }
        assert!(ids.len() >= 15);
    }
}

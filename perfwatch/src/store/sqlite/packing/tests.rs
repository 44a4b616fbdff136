use super::*;

/// Every phrase of a type, and around them what documents have.
fn document(metric_type: MetricType) -> String {
    phrases(metric_type).iter().enumerate().map(|(n, phrase)| format!("{phrase}{n}.5")).collect()
}

#[test]
fn documents_come_back_as_they_were() {
    for metric_type in MetricType::ALL {
        let whole = document(metric_type);
        let packed = pack(metric_type, whole.as_bytes());
        assert_eq!(packed.bytes().filter(|byte| *byte < b' ').count(), phrases(metric_type).len());
        assert_eq!(unpack(metric_type, packed.as_bytes()), whole.as_bytes());
        // Cut anywhere, also amid a phrase or a character.
        let text = format!("{{\"ä\\u0001\": [\n\t\"{whole}ö\" ]}}");
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let packed = pack(metric_type, &text.as_bytes()[..end]);
            assert_eq!(unpack(metric_type, packed.as_bytes()), &text.as_bytes()[..end]);
        }
    }
}

#[test]
fn the_longest_phrase_is_found() {
    for metric_type in MetricType::ALL {
        for phrase in phrases(metric_type) {
            assert_eq!(pack(metric_type, phrase.as_bytes()).len(), 1, "{phrase}");
        }
    }
}

#[test]
fn what_was_stored_whole_is_its_own_packed_form() {
    for metric_type in MetricType::ALL {
        let whole = document(metric_type);
        assert_eq!(unpack(metric_type, whole.as_bytes()), whole.as_bytes());
    }
}

#[test]
fn control_characters_that_no_json_has_are_spelt() {
    let json: Vec<u8> = [b"{\"a\":\"".as_slice(), &CODES, b"\"}"].concat();
    let back = unpack(MetricType::Cpu, pack(MetricType::Cpu, &json).as_bytes());
    let value: serde_json::Value = serde_json::from_slice(&back).unwrap();
    assert_eq!(value["a"].as_str().unwrap().as_bytes(), CODES);
}

/// What SQL reads is what was stored.
#[tokio::test]
async fn the_view_knows_the_same_phrases() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        super::super::SqliteStore::open(&crate::store::sqlite_url(dir.path()), "test-host").await.unwrap();
    for metric_type in MetricType::ALL {
        for document in [document(metric_type), "{\"another\": [1,\n2]}".to_owned()] {
            let packed = pack(metric_type, document.as_bytes());
            sqlx::query("DELETE FROM metrics_snapshots").execute(&store.write).await.unwrap();
            sqlx::query(
                "INSERT INTO metrics_snapshots (host, timestamp, metric_type, metric_data) VALUES ('h', 1, $1, $2)",
            )
            .bind(metric_type.as_str())
            .bind(packed)
            .execute(&store.write)
            .await
            .unwrap();
            let read: Vec<String> = sqlx::query_scalar("SELECT metric_data FROM metrics_snapshots")
                .fetch_all(&store.read)
                .await
                .unwrap();
            assert_eq!(read, [document]);
        }
    }
}

#[tokio::test]
async fn rows_of_earlier_versions_stay_and_views_keep_reading_them() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("old.db")).create_if_missing(true);
    let mut old = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let migrator = sqlx::migrate!("../migrations/sqlite");
    let (before, after): (Vec<_>, Vec<_>) = migrator.iter().partition(|migration| migration.version < 22);
    for migration in before {
        sqlx::raw_sql(migration.sql.clone()).execute(&mut old).await.unwrap();
    }
    let row = "INSERT INTO metrics_snapshots (host, timestamp, metric_type, metric_data)
         VALUES ('h', 1000000, 'cpu', '{\"_timestamp\":\"t\",\"usage_percent\":12.5}')";
    sqlx::raw_sql(row).execute(&mut old).await.unwrap();
    for migration in after {
        sqlx::raw_sql(migration.sql.clone()).execute(&mut old).await.unwrap();
    }
    let usage: f64 = sqlx::query_scalar("SELECT usage_percent FROM perfwatch_cpu WHERE timestamp = 1000000")
        .fetch_one(&mut old)
        .await
        .unwrap();
    assert_eq!(usage, 12.5);
    let row: (i64, String, String) =
        sqlx::query_as("SELECT id, metric_type, metric_data FROM metrics_snapshots")
            .fetch_one(&mut old)
            .await
            .unwrap();
    assert_eq!(row, (1, "cpu".to_owned(), "{\"_timestamp\":\"t\",\"usage_percent\":12.5}".to_owned()));
}

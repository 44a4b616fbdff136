use super::*;
use crate::snapshot::MetricType;
use crate::store::query::{Interval, Stats};
use crate::store::rollup::template::Fields;
use crate::store::{Row, open, sqlite_url};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const START: OffsetDateTime = datetime!(2026-01-02 00:00:00 UTC);

async fn filled(dir: &std::path::Path, documents: &[Value]) -> Arc<dyn Store> {
    let store = open(&sqlite_url(dir)).await.unwrap();
    let rows: Vec<Row> = (0i32..)
        .zip(documents)
        .map(|(i, document)| Row {
            timestamp: START + Duration::seconds(5) * i,
            metric_type: MetricType::Cpu,
            json: document.to_string().into(),
        })
        .collect();
    store.append(&rows).await.unwrap();
    store
}

async fn exported(
    store: &Arc<dyn Store>,
    format: Format,
    interval: &str,
    fields: &str,
    stats: &str,
) -> String {
    let query = HistoryQuery {
        interval: Interval::parse(interval).unwrap(),
        limit: usize::MAX,
        fields: Fields::parse(fields),
        stats: Stats::parse(stats).unwrap(),
        ..HistoryQuery::new(MetricType::Cpu, START, START + Duration::hours(1))
    };
    let mut export = Export::open(store, query, format).await.unwrap();
    let mut text = Vec::new();
    while let Some(piece) = export.next_piece().await.unwrap() {
        text.extend(piece);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn csv_has_a_column_for_everything_that_ever_was() {
    let dir = tempfile::tempdir().unwrap();
    let documents = [
        json!({"usage": 1.5, "per_core": [1, 2], "name": "a"}),
        json!({"usage": 2.5, "per_core": [3, 4], "late": {"x": -7}}),
        json!({"usage": null}),
    ];
    let store = filled(dir.path(), &documents).await;
    let text = exported(&store, Format::Csv, "5s", "", "").await;
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines,
        [
            r#"timestamp,"late.x","name","per_core.0","per_core.1","usage""#,
            r#"2026-01-02T00:00:00Z,,"a",1,2,1.5"#,
            "2026-01-02T00:00:05Z,-7,,3,4,2.5",
            "2026-01-02T00:00:10Z,,,,,",
            "",
        ]
    );
    let text = exported(&store, Format::Csv, "1m", "usage", "min,max,count").await;
    assert_eq!(
        text,
        "timestamp,count,\"usage\",\"usage.min\",\"usage.max\"\r\n2026-01-02T00:00:00Z,3,2,1.5,2.5\r\n"
    );
}

#[tokio::test]
async fn a_spreadsheet_sees_no_formula() {
    let dir = tempfile::tempdir().unwrap();
    let hostile =
        ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\rx", "he said \"=1\"", "a,b\nc"];
    let documents: Vec<Value> = hostile.iter().map(|text| json!({"name": text, "=evil()": 1})).collect();
    let store = filled(dir.path(), &documents).await;
    let text = exported(&store, Format::Csv, "5s", "", "").await;
    let cells: Vec<&str> =
        text.split("\r\n").filter_map(|line| line.split_once(',').map(|(_, rest)| rest)).collect();
    assert_eq!(cells[0], r#""'=evil()","name""#);
    assert_eq!(cells[1], r#"1,"'=1+1""#);
    assert_eq!(cells[2], r#"1,"'+cmd|' /C calc'!A0""#);
    assert_eq!(cells[3], r#"1,"'-2+3""#);
    assert_eq!(cells[4], r#"1,"'@SUM(A1)""#);
    assert_eq!(cells[7], r#"1,"he said ""=1""""#);
    assert_eq!(cells[8], "1,\"a,b\nc\"");
}

#[tokio::test]
async fn ndjson_is_a_point_per_line() {
    let dir = tempfile::tempdir().unwrap();
    let documents: Vec<Value> = (0..700).map(|i| json!({"usage": i, "pad": "x".repeat(300)})).collect();
    let store = filled(dir.path(), &documents).await;
    let text = exported(&store, Format::Ndjson, "5s", "", "").await;
    let points: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(points.len(), 700);
    assert_eq!(points[699]["data"]["usage"], 699);
    assert_eq!(points[699]["timestamp"], "2026-01-02T00:58:15Z");
}

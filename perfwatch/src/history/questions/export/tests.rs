use super::*;
use crate::history::questions::{Interval, Stats};
use crate::history::rollup::store_readings;
use crate::history::testing::{START, history, reading};
use crate::snapshot::MetricType;
use crate::snapshot::selection::Selection;
use serde_json::{Value, json};
use time::Duration;

async fn filled(dir: &std::path::Path, documents: &[Value]) -> History {
    let (_store, history) = history(dir).await;
    let readings: Vec<_> =
        (0..).zip(documents).map(|(n, document)| reading(MetricType::Network, 5 * n, document)).collect();
    store_readings(&history, &readings, Vec::new()).await.unwrap();
    history
}

async fn exported(history: &History, format: Format, interval: &str, fields: &[&str], stats: &str) -> String {
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    let query = HistoryQuery {
        interval: Interval::parse(interval).unwrap(),
        limit: usize::MAX,
        selection: Selection::of(Layout::of(MetricType::Network), &fields),
        stats: Stats::parse(stats).unwrap(),
        ..HistoryQuery::new(MetricType::Network, START, START + Duration::hours(1))
    };
    let mut export = Export::open(history, query, format).await.unwrap();
    let mut text = Vec::new();
    while let Some(piece) = export.next_piece().await.unwrap() {
        text.extend(piece);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn csv_has_each_column_once_whatever_comes_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let documents = [
        json!({"errors_in": 1, "interfaces": [{"name": "lo", "state": "up", "drops_in": 1}]}),
        json!({"errors_in": 2, "interfaces": [{"name": "eth0.7", "drops_in": 4}, {"name": "lo", "drops_in": 3}]}),
        json!({"errors_in": null}),
    ];
    let history = filled(dir.path(), &documents).await;
    let fields = ["errors_in", "interfaces.drops_in", "interfaces.lo.state"];
    let text = exported(&history, Format::Csv, "5s", &fields, "").await;
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines,
        [
            r#"timestamp,"errors_in","interfaces.eth0.7.drops_in","interfaces.lo.state","interfaces.lo.drops_in""#,
            r#"2026-01-02T00:00:00Z,1,,"up",1"#,
            "2026-01-02T00:00:05Z,2,4,,3",
            "2026-01-02T00:00:10Z,,,,",
            "",
        ]
    );
    let text = exported(&history, Format::Csv, "1m", &["errors_in"], "min,max,count").await;
    assert_eq!(
        text,
        "timestamp,count,\"errors_in\",\"errors_in.min\",\"errors_in.max\"\r\n2026-01-02T00:00:00Z,3,1.5,1,2\r\n"
    );
}

#[tokio::test]
async fn a_spreadsheet_sees_no_formula() {
    let dir = tempfile::tempdir().unwrap();
    let hostile =
        ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\rx", "he said \"=1\"", "a,b\nc"];
    let documents: Vec<Value> =
        hostile.iter().map(|text| json!({"interfaces": [{"name": "x", "state": text}]})).collect();
    let history = filled(dir.path(), &documents).await;
    let text = exported(&history, Format::Csv, "5s", &["interfaces.state"], "").await;
    let cells: Vec<&str> =
        text.split("\r\n").filter_map(|line| line.split_once(',').map(|(_, rest)| rest)).collect();
    assert_eq!(cells[1], r#""'=1+1""#);
    assert_eq!(cells[2], r#""'+cmd|' /C calc'!A0""#);
    assert_eq!(cells[3], r#""'-2+3""#);
    assert_eq!(cells[4], r#""'@SUM(A1)""#);
    assert_eq!(cells[7], r#""he said ""=1""""#);
    assert_eq!(cells[8], "\"a,b\nc\"");
}

#[tokio::test]
async fn ndjson_is_a_point_per_line() {
    let dir = tempfile::tempdir().unwrap();
    let documents: Vec<Value> = (0..700).map(|n| json!({"errors_in": n, "pad": "x".repeat(300)})).collect();
    let history = filled(dir.path(), &documents).await;
    let text = exported(&history, Format::Ndjson, "5s", &[], "").await;
    let points: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(points.len(), 700);
    assert_eq!(points[699]["data"]["errors_in"], 699);
    assert_eq!(points[699]["data"]["pad"].as_str().unwrap().len(), 300, "what is not described is not lost");
    assert_eq!(points[699]["timestamp"], "2026-01-02T00:58:15Z");
}

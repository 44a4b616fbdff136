//! Windows that begin filled: with what history has of a host.

use std::sync::Arc;

use super::judges::Judge;
use super::past;
use super::rule::Rule;
use crate::history::History;
use crate::history::questions::points::Points;
use crate::snapshot::MetricType;
use crate::store::StoreError;

/// Fills the windows of rules that were not there before, up to a time (µs). What cannot be read begins empty.
pub async fn warm(history: &History, judge: &Judge, at: i64, before: &[Arc<Rule>]) {
    let new: Vec<_> = {
        let evaluator = judge.lock();
        let new = evaluator.rules().iter().filter(|running| !before.contains(&running.rule));
        new.map(|running| (running.rule.name.clone(), Arc::clone(&running.compiled))).collect()
    };
    // Nobody records what a hub hears.
    let has_past = |metric_type| metric_type != MetricType::Presence;
    for (name, compiled) in
        new.into_iter().filter(|(_, compiled)| compiled.window > 0 && has_past(compiled.metric_type))
    {
        let query = past::query(&compiled, at - compiled.window, at - 1, past::interval(compiled.window));
        let filled = async {
            let mut points = Points::open(history, query).await?;
            while let Some((start, bucket)) = points.next_sum().await? {
                judge.lock().warm(&name, start, &bucket);
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = filled.await {
            tracing::warn!(%error, rule = name, "the past of an alert rule cannot be read; it begins without it");
        }
    }
}

//! The functions that explain a change, for "what changed" and "explain".

use serde::Serialize;
use utoipa::ToSchema;

use super::{MAX_NODES, span};
use crate::history::questions::compare::Range;
use crate::profiles::archive::Archive;
use crate::profiles::compare::{NOTABLE, compare};
use crate::profiles::flame::Filter;
use crate::profiles::function::PROCESS;
use crate::store::Result;
use crate::store::chunks::ProfileKind;

/// Functions at most.
const MOST: usize = 10;

/// A function that ran more, or less, of the time than before.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct MovedFunction {
    #[schema(example = "PQexec")]
    pub(in crate::api) name: String,
    /// The file's name, `[kernel]`, or `[generated]`.
    #[schema(example = "libpq.so.5")]
    pub(in crate::api) module: String,
    /// In which process it ran most.
    #[schema(example = "postgres")]
    process: String,
    /// Share of all CPU time in the range, 0 to 1, without what it calls.
    self_share: f64,
    comparison_self_share: f64,
    /// How far the shares are apart, in standard errors of what so many samples can tell.
    significance: f64,
}

/// Those whose change chance does not explain; by how much their own share moved, the largest first.
pub(in crate::api) async fn moved(sides: [(&Archive, Range); 2]) -> Result<Vec<MovedFunction>> {
    let sides = sides.map(|(archive, range)| (archive, span(range)));
    let everybody = Filter::default();
    let (flame, _) = Archive::flame_of_both(sides, ProfileKind::Cpu, &everybody, MAX_NODES).await?;
    // By node, the process that it belongs to.
    let mut process: Vec<u32> = Vec::with_capacity(flame.nodes.len());
    for node in &flame.nodes {
        let function = node.frame.unwrap_or_default();
        process.push(if node.parent == 0 { function } else { process[node.parent as usize] });
    }
    let busiest = |function: u32| {
        let mut by_process: Vec<u64> = vec![0; flame.functions.len()];
        for (n, _) in flame.nodes.iter().enumerate().filter(|(_, node)| node.frame == Some(function)) {
            by_process[process[n] as usize] += flame.own[n].iter().map(|own| own.value).sum::<u64>();
        }
        let most = (0..by_process.len()).max_by_key(|n| by_process[*n]);
        most.map_or_else(String::new, |n| flame.functions[n].name.to_string())
    };
    let changes = compare(&flame);
    let telling = changes.iter().filter(|change| {
        let function = &flame.functions[change.function as usize];
        // Where a function without a name begins tells nobody anything.
        let is_named = !function.name.starts_with(&format!("{}+0x", function.module));
        let is_code = &*function.module != PROCESS && !function.name.starts_with('[') && is_named;
        change.is_significant && is_code && change.moved().0 >= NOTABLE
    });
    let round = |share: f64| (share * 1e4).round() / 1e4;
    let described = telling.take(MOST).map(|change| {
        let function = &flame.functions[change.function as usize];
        MovedFunction {
            name: function.name.to_string(),
            module: function.module.to_string(),
            process: busiest(change.function),
            self_share: round(change.own[0]),
            comparison_self_share: round(change.own[1]),
            significance: (change.significance * 10.0).round() / 10.0,
        }
    });
    Ok(described.collect())
}

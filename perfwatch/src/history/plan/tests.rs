use super::*;
use crate::store::chunks::Stale;
use proptest::prelude::*;

const MINUTE: i64 = Tier::Minute.width();
const HOUR: i64 = Tier::Hour.width();
const DAY: i64 = Tier::Day.width();

fn coverage(removed: &[(Tier, i64)], stale: &[(Tier, i64)]) -> Coverage {
    Coverage::of(&Tiers {
        removed: removed.iter().map(|(tier, before)| (tier.seconds(), *before)).collect(),
        stale: stale
            .iter()
            .map(|(tier, start)| Stale { tier: tier.seconds(), start: *start, generation: 1 })
            .collect(),
    })
}

fn tiers(segments: &[Segment]) -> Vec<(Tier, i64, i64)> {
    segments.iter().map(|s| (s.tier, s.from / MINUTE, s.to / MINUTE)).collect()
}

#[test]
fn complete_buckets_come_from_the_coarsest_tier_and_ragged_ends_from_finer_ones() {
    let coverage = coverage(&[], &[]);
    let segments = plan(&coverage, 57 * MINUTE, 130 * MINUTE, HOUR);
    assert_eq!(
        tiers(&segments),
        [(Tier::Minute, 57, 60), (Tier::Hour, 60, 120), (Tier::FiveMinutes, 120, 130)]
    );
    assert_eq!(tiers(&plan(&coverage, 0, DAY, 6 * HOUR)), [(Tier::Hour, 0, 1440)]);
    assert_eq!(tiers(&plan(&coverage, 0, DAY, DAY)), [(Tier::Day, 0, 1440)]);
    assert_eq!(tiers(&plan(&coverage, 0, DAY, 15 * MINUTE)), [(Tier::FiveMinutes, 0, 1440)]);
    assert_eq!(tiers(&plan(&coverage, 0, DAY, 30_000_000)), [(Tier::Raw, 0, 1440)]);
}

#[test]
fn what_is_stale_is_answered_by_what_it_is_made_of() {
    let coverage = coverage(&[], &[(Tier::Hour, HOUR), (Tier::Day, 0)]);
    assert_eq!(
        tiers(&plan(&coverage, 0, 3 * HOUR, HOUR)),
        [(Tier::Hour, 0, 60), (Tier::Minute, 60, 120), (Tier::Hour, 120, 180)]
    );
    assert_eq!(
        tiers(&plan(&coverage, 0, 2 * DAY, DAY)),
        [(Tier::Hour, 0, 60), (Tier::Minute, 60, 120), (Tier::Hour, 120, 1440), (Tier::Day, 1440, 2880)]
    );
    assert_eq!(tiers(&plan(&coverage, 0, 3 * HOUR, MINUTE)), [(Tier::Minute, 0, 180)]);
}

#[test]
fn removed_tiers_are_answered_by_the_finest_left() {
    let removed = [(Tier::Raw, 3 * HOUR), (Tier::Minute, 2 * HOUR), (Tier::FiveMinutes, HOUR)];
    let coverage = coverage(&removed, &[]);
    assert_eq!(
        tiers(&plan(&coverage, 30 * MINUTE, 200 * MINUTE, 5_000_000)),
        [(Tier::Hour, 0, 60), (Tier::FiveMinutes, 60, 120), (Tier::Minute, 120, 180), (Tier::Raw, 180, 200)]
    );
    // A ragged hour whose finer data is gone is returned whole.
    assert_eq!(tiers(&plan(&coverage, 10 * MINUTE, 50 * MINUTE, HOUR)), [(Tier::Hour, 0, 60)]);
}

#[test]
fn a_range_of_millennia_costs_nothing() {
    let segments = plan(&coverage(&[], &[]), -60_000 * DAY * 365, 60_000 * DAY * 365 + 1, 5 * MINUTE);
    assert!(segments.len() < 20, "{} segments", segments.len());
}

proptest! {
    /// Without removed tiers every moment of the range is answered exactly once, in order, and never by a stale bucket.
    #[test]
    fn segments_partition_the_range(
        from in 0i64..3 * DAY, length in 1i64..3 * DAY,
        interval in prop::sample::select(vec![5i64, 60, 300, 900, 3600, 21600, 86400]),
        stale in prop::collection::vec(0i64..6 * DAY, 0..20),
    ) {
        let marks: Vec<(Tier, i64)> =
            stale.iter().flat_map(|at| [Tier::Hour, Tier::Day].map(|tier| (tier, tier.floor(*at)))).collect();
        let segments = plan(&coverage(&[], &marks), from, from + length, interval * 1_000_000);
        let mut at = from;
        for s in &segments {
            prop_assert_eq!(s.from, at);
            at = s.to;
            if s.tier != Tier::Raw {
                prop_assert_eq!(s.from % s.tier.width(), 0);
                prop_assert!(interval * 1_000_000 % s.tier.width() == 0);
                let tier = if s.tier == Tier::FiveMinutes { Tier::Hour } else { s.tier };
                let within = |(of, start): &(Tier, i64)| {
                    *of == tier && *start < s.to && *start + of.width() > s.from
                };
                prop_assert!(!marks.iter().any(within));
            }
        }
        prop_assert_eq!(at, from + length);
    }
}

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn all() -> impl Iterator<Item = (MetricType, &'static Field)> {
    MetricType::ALL.into_iter().flat_map(|of| fields(of).iter().map(move |field| (of, field)))
}

#[test]
fn every_path_can_be_read_and_stands_once() {
    let mut known = BTreeSet::new();
    for (of, field) in all() {
        assert!(Path::parse(field.path).is_some(), "{}", field.path);
        assert!(known.insert((of, field.path)), "{} stands twice", field.path);
    }
}

#[test]
fn every_field_is_described_in_a_sentence() {
    for (of, field) in all() {
        assert!(field.help.ends_with('.') && field.help.len() > 4, "{of:?} {}: {}", field.path, field.help);
    }
    for (name, help) in FAMILIES {
        assert!(help.ends_with('.'), "{name}");
    }
}

#[test]
fn families_that_several_fields_share_are_described_and_no_others() {
    let mut fields: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, field) in all() {
        if let Some(name) = field.export.name() {
            let family = name.split('{').next().unwrap();
            let is_new = fields.entry(family).or_default().insert(name);
            assert!(is_new, "two fields would be {name}");
        }
    }
    let shared: BTreeSet<&str> =
        fields.iter().filter(|(_, of)| of.len() > 1).map(|(name, _)| *name).collect();
    let described: BTreeSet<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
    assert_eq!(shared, described);
}

#[test]
fn names_follow_prometheus() {
    for (_, field) in all() {
        let Some(name) = field.export.name() else { continue };
        let family = name.split('{').next().unwrap();
        assert!(
            family.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{family}"
        );
        let is_counter = matches!(field.export, Export::Counter(..) | Export::Interval(..));
        assert_eq!(family.ends_with("_total"), is_counter, "{family}");
    }
}

#[test]
fn numbers_of_one_kind_have_one_unit() {
    for (of, field) in all().filter(|(_, field)| field.kind != Kind::State) {
        let ends = |end: &str| field.path.ends_with(end);
        let unit = match () {
            () if ends("ratio") => "ratio",
            () if ends("ipc") => "IPC",
            () if ends("_mpki") => "MPKI",
            () if ends("_iops") => "requests/s",
            () if ends("packets_sent_per_sec") || ends("packets_recv_per_sec") => "packets/s",
            () => continue,
        };
        assert_eq!(field.unit, unit, "{of:?} {}", field.path);
    }
}

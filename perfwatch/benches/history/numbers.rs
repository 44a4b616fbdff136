//! How many numbers readings and rollups contain, and how many bytes they take in the store.

use anyhow::Result;
use perfwatch::history::bucket::{Bucket, Cell};
use perfwatch::history::chunk::{Block, Buckets};
use perfwatch::history::tier::Tier;
use perfwatch::snapshot::histogram::Histogram;
use perfwatch::snapshot::layout::Layout;
use perfwatch::snapshot::selection::Selection;
use perfwatch::snapshot::value::Value as Stored;
use perfwatch::snapshot::{MetricType, Reading};
use perfwatch::store::Store;
use perfwatch::store::chunks::Wanted;
use serde_json::{Value, json};

/// The contents of one type's chunks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// Readings, or buckets.
    pub times: u64,
    /// Numbers in documents, not counting those in histograms.
    pub numbers: u64,
    /// Of these, numbers derived from a histogram in the same row.
    pub derived: u64,
    pub histograms: u64,
    /// Numbers in histograms, as in documents.
    pub in_histograms: u64,
    pub bytes: u64,
}

impl Held {
    pub fn add(&mut self, other: &Self) {
        self.times += other.times;
        self.numbers += other.numbers;
        self.derived += other.derived;
        self.histograms += other.histograms;
        self.in_histograms += other.in_histograms;
        self.bytes += other.bytes;
    }

    pub fn bytes_a_number(&self) -> f64 {
        self.bytes as f64 / self.numbers.max(1) as f64
    }

    /// Megabytes per day with this many readings or buckets.
    pub fn mb_a_day(&self, times: f64) -> f64 {
        self.bytes as f64 / self.times.max(1) as f64 * times / 1e6
    }

    fn reading(&mut self, reading: &Reading) {
        self.times += 1;
        let layout = Layout::of(reading.metric_type);
        for (table, of) in reading.tables().iter().zip(&layout.tables) {
            for (value, column) in table.values.iter().zip(of.columns.iter().cycle()) {
                let is_number = matches!(value, Stored::Unsigned(_) | Stored::Signed(_) | Stored::Float(_));
                self.numbers += u64::from(is_number);
                self.derived += u64::from(is_number && column.derived.is_some());
                if let Stored::Histogram(histogram) = value {
                    self.histogram(histogram);
                }
            }
        }
    }

    /// Counts each bucket's index and count, and the total count, sum and maximum.
    fn histogram(&mut self, histogram: &Histogram) {
        self.histograms += 1;
        self.in_histograms += 2 * histogram.buckets().len() as u64 + 3;
    }

    fn bucket(&mut self, bucket: &Bucket) {
        self.times += 1;
        let layout = Layout::of(bucket.metric_type());
        for (table, of) in layout.tables.iter().enumerate() {
            for row in 0..bucket.keys_of(table).len() {
                for (cell, column) in bucket.row(table, row).iter().zip(&of.columns) {
                    let is_number = matches!(cell, Cell::Number(_));
                    self.numbers += u64::from(is_number);
                    self.derived += u64::from(is_number && column.derived.is_some());
                    if let Cell::Histogram(histogram) = cell {
                        self.histogram(histogram);
                    }
                }
            }
        }
    }
}

/// Contents of a type's chunks in a tier, from a time on (µs).
pub async fn held(
    store: &dyn Store,
    host: &str,
    metric_type: MetricType,
    tier: Tier,
    from: i64,
) -> Result<Held> {
    let wanted = Wanted { content: metric_type.into(), tier: tier.seconds(), from, to: i64::MAX };
    let chunks = store.find(host, wanted, 1 << 20).await?;
    let mut held = Held::default();
    let everything = Selection::all(metric_type);
    for chunk in &chunks {
        held.bytes += chunk.data.len() as u64;
        if tier == Tier::Raw {
            Block::decode(&chunk.data, everything)?.readings().for_each(|reading| held.reading(&reading));
        } else {
            Buckets::decode(&chunk.data, everything)?.iter().for_each(|(_, bucket)| held.bucket(&bucket));
        }
    }
    Ok(held)
}

/// Prints the size of each type, and of all together: readings at `interval` s, and their minutes, from a time on (µs).
pub async fn tell(store: &dyn Store, host: &str, interval: f64, from: i64) -> Result<Value> {
    println!(
        "{:<18} {:>8} {:>8} {:>10} {:>11} {:>11} {:>10} {:>11} {:>11}",
        "", "numbers", "derived", "histograms", "bytes", "a number", "MB a day", "a minute of", "MB a day of"
    );
    println!(
        "{:<18} {:>8} {:>8} {:>10} {:>11} {:>11} {:>10} {:>11} {:>11}",
        "", "", "", "", "a reading", "", "", "a number", "minutes"
    );
    let (mut all, mut all_minutes) = (Held::default(), Held::default());
    let (mut day, mut day_of_minutes) = (0.0, 0.0);
    let mut table = serde_json::Map::new();
    let figures = |raw: &Held, minutes: &Held, day: f64, day_of_minutes: f64| {
        json!({
            "numbers": raw.numbers as f64 / raw.times.max(1) as f64,
            "a_number_bytes": raw.bytes_a_number(),
            "a_number_with_histograms_bytes": raw.bytes as f64 / (raw.numbers + raw.in_histograms).max(1) as f64,
            "raw_a_day_mb": day,
            "minute_of_a_number_bytes": minutes.bytes_a_number(),
            "minutes_a_day_mb": day_of_minutes,
        })
    };
    let print = |name: &str, raw: &Held, minutes: &Held, day: f64, day_of_minutes: f64| {
        let times = raw.times.max(1) as f64;
        println!(
            "{name:<18} {:>8.0} {:>8.0} {:>10.0} {:>11.0} {:>11.3} {day:>10.2} {:>11.2} {day_of_minutes:>11.3}",
            raw.numbers as f64 / times,
            raw.derived as f64 / times,
            raw.histograms as f64 / times,
            raw.bytes as f64 / times,
            raw.bytes_a_number(),
            minutes.bytes_a_number(),
        );
    };
    let mut times = 0;
    for metric_type in MetricType::ALL {
        let raw = held(store, host, metric_type, Tier::Raw, from).await?;
        if raw.times == 0 {
            continue;
        }
        let minutes = held(store, host, metric_type, Tier::Minute, from).await?;
        let (raw_mb, minutes_mb) = (raw.mb_a_day(86_400.0 / interval), minutes.mb_a_day(1440.0));
        print(metric_type.as_str(), &raw, &minutes, raw_mb, minutes_mb);
        table.insert(metric_type.as_str().to_owned(), figures(&raw, &minutes, raw_mb, minutes_mb));
        all.add(&raw);
        all_minutes.add(&minutes);
        day += raw_mb;
        day_of_minutes += minutes_mb;
        times = times.max(raw.times);
    }
    // A snapshot has one reading of each type.
    all.times = times;
    print("all", &all, &all_minutes, day, day_of_minutes);
    table.insert("all".to_owned(), figures(&all, &all_minutes, day, day_of_minutes));
    let stored = all.numbers - all.derived;
    println!(
        "at {interval} s: {:.3} bytes a number raw, {:.3} of those that do not follow from a histogram, {:.3} with the \
         numbers in histograms; {:.2} bytes per rolled-up minute of one number with min and max; {day:.1} MB a day raw, {day_of_minutes:.2} MB of minutes",
        all.bytes_a_number(),
        all.bytes as f64 / stored.max(1) as f64,
        all.bytes as f64 / (all.numbers + all.in_histograms).max(1) as f64,
        all_minutes.bytes_a_number(),
    );
    Ok(table.into())
}

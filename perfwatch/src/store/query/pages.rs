//! The rows that answer a question, a page at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::plan::{Question, Segment};
use crate::store::rollup::{Tier, TierRow};
use crate::store::{Result, Store};

/// Rows read at a time: about a megabyte of rollups, or of raw documents.
const PAGE: usize = 512;
const RAW_PAGE: usize = 256;

/// Never more than a page in memory.
#[derive(Debug)]
pub struct Pages {
    store: Arc<dyn Store>,
    question: Question,
    /// What is left to read; the first one is also what the page's first row is of.
    segments: VecDeque<Segment>,
    /// With the place of each row's segment among those that were left when the page was read.
    page: VecDeque<(usize, TierRow)>,
    /// How many of those have been dropped since.
    dropped: usize,
    /// Whether there may be more rows than the page has.
    more: bool,
}

impl Pages {
    pub async fn open(store: Arc<dyn Store>, question: Question) -> Result<Self> {
        let (segments, page) = store.ask(&question).await?;
        let mut pages = Self {
            store,
            question,
            segments: segments.into(),
            page: VecDeque::new(),
            dropped: 0,
            more: true,
        };
        pages.turn(page);
        Ok(pages)
    }

    /// The next row and what it is of.
    pub async fn next(&mut self) -> Result<Option<(Tier, TierRow)>> {
        loop {
            if let Some((segment, row)) = self.page.pop_front() {
                self.segments.drain(..segment - self.dropped);
                self.dropped = segment;
                let Some(segment) = self.segments.front_mut() else { return Ok(None) };
                segment.from = row.at + 1;
                return Ok(Some((segment.tier, row)));
            }
            if !self.more {
                return Ok(None);
            }
            let segments = self.segments.make_contiguous();
            let page = self.store.read(self.question.metric_type, segments, page_length(segments)).await?;
            self.turn(page);
        }
    }

    fn turn(&mut self, page: Vec<(usize, TierRow)>) {
        self.more = page.len() >= page_length(self.segments.make_contiguous());
        self.page = page.into();
        self.dropped = 0;
    }
}

/// How many rows the next page of these has.
pub(in crate::store) fn page_length(segments: &[Segment]) -> usize {
    if segments
        .first()
        .is_some_and(|segment| segment.tier == Tier::Raw && segment.to - segment.from > Tier::Minute.width())
    {
        RAW_PAGE
    } else {
        PAGE
    }
}

//! Shapes that were read from a store or written to it, which all who read its rollups need again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::rollup::accumulator::Accumulator;
use super::rollup::shape::Shape;
use super::rollup::{TierRow, codec};
use super::{Result, Store, StoreError};

/// More than the types of a machine whose devices come and go have at a time.
const KEPT: usize = 64;

/// A key is a hash of the content, so what is here is right whatever becomes of the store.
#[derive(Debug, Default)]
pub struct Shapes(Mutex<HashMap<i64, Arc<Shape>>>);

impl Shapes {
    fn known(&self, key: i64) -> Option<Arc<Shape>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    fn keep(&self, key: i64, shape: &Arc<Shape>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(shape));
    }
}

/// Decodes a row of a rollup tier.
pub(super) async fn decode(store: &dyn Store, row: &TierRow) -> Result<Accumulator> {
    let shape = match store.shapes().known(row.shape) {
        Some(shape) => shape,
        None => {
            let text = store.shape(row.shape).await?;
            let shape = text.as_deref().and_then(|text| Shape::from_text(row.shape, text)).map(Arc::new);
            let shape = shape
                .ok_or_else(|| StoreError::Database(format!("rollup shape {} is missing", row.shape)))?;
            store.shapes().keep(row.shape, &shape);
            shape
        }
    };
    codec::decode(&shape, row.at, &row.data).map_err(|e| StoreError::Database(e.to_string()))
}

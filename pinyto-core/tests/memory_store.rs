//! The store in memory keeps the contract of all stores.

use std::sync::Arc;

use pinyto_core::{memory::MemoryStore, store::Store, store_contract};

async fn fresh() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

store_contract!(fresh);

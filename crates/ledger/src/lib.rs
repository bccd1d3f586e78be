//! One writer, many readers, any storage: the ledger keeps the leaves of one tile log and never
//! learns what a leaf means. See `ARCHITECTURE.md` for the life of an entry.
//!
//! The parts, in the order data walks them: [`Log::add`] queues a leaf for the writer
//! (`sequencer`), which commits a batch to [`storage`]; the `publisher` signs the new head and
//! answers; the `keeper` turns committed batches into immutable tiles; readers see a `tail` and
//! what lies below it in storage. [`fsck`] judges the result from outside.

mod beside;
pub mod cosigners;
pub mod engine;
pub mod fsck;
pub mod history;
mod index;
mod keeper;
mod log;
mod publisher;
mod reader;
mod sequencer;
pub mod source;
pub mod storage;
mod tail;

pub use beside::{Addition, Beside, MAX_ASIDE};
pub use history::Kept;
pub use index::IndexAt;
pub use log::{Log, Options, StartError, Status};
pub use publisher::Published;
pub use reader::{Reader, Tile};
pub use sequencer::{AddError, MAX_ORDER, Sequenced};
pub use source::{ReadError, Source};

/// A boxed future, so that storages and sources can be chosen at run time.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

//! The threads that live streams run on.
//!
//! A tick makes every stream ready at once: with thousands of clients that is a tenth of a second of writing. Requests
//! have threads of their own, so that none of them waits for it.

use tokio::runtime::{Builder, Handle, Runtime};

/// Enough to use the CPUs that are left by the clients themselves, without needless stacks.
const THREADS: usize = 2;

/// Ends its threads when dropped, without waiting for them.
#[derive(Debug)]
pub(super) struct Streams(Option<Runtime>);

impl Streams {
    pub(super) fn start() -> std::io::Result<Self> {
        let mut threads = Builder::new_multi_thread();
        Ok(Self(Some(threads.worker_threads(THREADS).thread_name("stream").enable_all().build()?)))
    }

    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().expect("taken by drop alone").handle().clone()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            // Dropping would block, which is not allowed in async code.
            threads.shutdown_background();
        }
    }
}

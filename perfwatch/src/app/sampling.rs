//! The thread that the pipeline runs on.
//!
//! On the threads of the requests a tick would wake several of them, for each of its timers and answers, and wait for
//! theirs.

use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// A pipeline that is under way, and what it gives back.
#[derive(Debug)]
pub(super) struct Sampling<T> {
    thread: JoinHandle<()>,
    result: oneshot::Receiver<T>,
}

impl<T: Send + 'static> Sampling<T> {
    pub(super) fn start(pipeline: impl Future<Output = T> + Send + 'static) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let (give, result) = oneshot::channel();
        let thread = std::thread::Builder::new().name("pipeline".into()).spawn(move || {
            // Whoever started it may have left.
            let _ = give.send(runtime.block_on(pipeline));
        })?;
        Ok(Self { thread, result })
    }

    /// False once the pipeline has ended, however it did.
    pub(super) fn goes_on(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits for the end; an error where that is a panic.
    pub(super) async fn ended(self) -> Result<T, oneshot::error::RecvError> {
        self.result.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_is_noticed_whatever_it_is() {
        let (end, ended) = oneshot::channel();
        let sampling = Sampling::start(ended).unwrap();
        assert!(sampling.goes_on());
        end.send(7).unwrap();
        assert_eq!(sampling.ended().await.unwrap(), Ok(7));

        let sampling = Sampling::start(async { panic!("of this test") }).unwrap();
        assert!(Sampling::<()>::ended(sampling).await.is_err());
    }
}

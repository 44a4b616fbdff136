//! Separate threads for live streams and long queries, apart from other requests.

use tokio::runtime::{Builder, Handle, Runtime};

/// Enough to use the CPUs left over by the clients' own reading; more would only cost stacks.
const STREAM_THREADS: usize = 2;
/// Half of the CPUs answer questions, but no fewer and no more threads than these.
const MIN_QUESTION_THREADS: usize = 2;
const MAX_QUESTION_THREADS: usize = 4;
/// Niceness of queries: anything else that wants a CPU, such as a login or the machine's own work, gets ten times as
/// much.
const NICE: i32 = 10;

/// Ends its threads when dropped, without waiting for them.
#[derive(Debug)]
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// A tick makes every stream ready at once: with thousands of clients that is a tenth of a second of writing.
    /// Requests have their own threads, so none waits for it.
    pub(super) fn for_streams() -> std::io::Result<Self> {
        let mut threads = Builder::new_multi_thread();
        threads.worker_threads(STREAM_THREADS).thread_name("stream").enable_all().build().map(Some).map(Self)
    }

    /// A month of history may take a second of CPU time, and any user may query it.
    pub(super) fn for_questions() -> std::io::Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut threads = Builder::new_multi_thread();
        threads
            .worker_threads((cpus / 2).clamp(MIN_QUESTION_THREADS, MAX_QUESTION_THREADS))
            .max_blocking_threads(MAX_QUESTION_THREADS);
        threads.thread_name("question").enable_all().on_thread_start(lower_priority);
        threads.build().map(Some).map(Self)
    }

    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().expect("taken by drop alone").handle().clone()
    }
}

/// Makes the calling thread one that answers questions.
pub(super) fn lower_priority() {
    // On Linux this affects only the calling thread.
    let nice = rustix::process::getpriority_process(None).map_or(NICE, |nice| nice.max(NICE));
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, "questions cannot be given a low priority");
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            // The wait implied by dropping a runtime is not allowed here.
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_have_a_low_priority_and_others_do_not() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let questions = Threads::for_questions().unwrap();
        let wanted = before.max(NICE);
        assert_eq!(questions.handle().spawn(async move { nice() }).await.unwrap(), wanted);
        assert_eq!(questions.handle().spawn_blocking(nice).await.unwrap(), wanted);
        let streams = Threads::for_streams().unwrap();
        assert_eq!(streams.handle().spawn(async move { nice() }).await.unwrap(), before);
        assert_eq!(nice(), before);
    }
}

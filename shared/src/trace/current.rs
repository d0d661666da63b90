//! The context of the work under way in this task.

use std::future::Future;

use super::TraceContext;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Where we are; none outside of all work that belongs to a trace.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Runs `work` there.
pub fn scope<F: Future>(context: TraceContext, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(context, work)
}

/// Does `work` there.
pub fn sync_scope<T>(context: TraceContext, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(context, work)
}

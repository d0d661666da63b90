//! Adds to each line of Cloud Logging's JSON the trace that it belongs to, under the names by which Logs Explorer and Trace
//! find each other's entries.
//!
//! `tracing-stackdriver` can do that only with an OpenTelemetry of years ago, and only for spans that are recorded. A line is
//! written where the work is done, so the context is at hand here; the line itself is left as it is.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::trace::{TraceContext, current};

/// A line of JSON ends so.
const END: &[u8] = b"}\n";

/// Makes writers of lines.
#[derive(Debug)]
pub(super) struct TraceLines<W> {
    lines: W,
    /// Before an id: traces are found by `projects/PROJECT/traces/ID`, or in the log's own project by the id alone.
    prefix: String,
}

impl<W> TraceLines<W> {
    pub(super) fn new(lines: W, project: Option<&str>) -> Self {
        Self { lines, prefix: project.map_or_else(String::new, |project| format!("projects/{project}/traces/")) }
    }
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for TraceLines<W> {
    type Writer = TraceLine<'a, W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        TraceLine { line: self.lines.make_writer(), prefix: &self.prefix, context: current() }
    }
}

/// Writes one line, which comes whole.
pub(super) struct TraceLine<'a, W> {
    line: W,
    prefix: &'a str,
    context: Option<TraceContext>,
}

impl<W: Write> Write for TraceLine<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some(context), Some(line)) = (&self.context, bytes.strip_suffix(END)) else {
            return self.line.write_all(bytes);
        };
        let (trace, span, sampled) = (context.trace_id(), context.span_id(), context.is_sampled());
        let added = format!(
            r#","logging.googleapis.com/trace":"{}{trace}","logging.googleapis.com/spanId":"{span}","logging.googleapis.com/trace_sampled":{sampled}"#,
            self.prefix
        );
        // In one piece: others write to the same place.
        self.line.write_all(&[line, added.as_bytes(), END].concat())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.line.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{error_span, info};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::trace::sync_scope;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(project: Option<&str>) -> Vec<Value> {
        let buffer = Buffer::default();
        let written = buffer.clone();
        let lines = TraceLines::new(move || buffer.clone(), project);
        let layer = tracing_stackdriver::layer().with_writer(lines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            info!(a = 1, "outside");
            let context = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            sync_scope(context.unwrap(), || {
                error_span!("call", call_id = "x}\n").in_scope(|| info!(a = "}\n", "inside"));
            });
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_says_its_trace_and_all_it_said_before() {
        let [outside, inside] = lines(Some("my-project")).try_into().unwrap();
        assert_eq!(outside.get("logging.googleapis.com/trace"), None);
        assert_eq!(outside["a"], 1);
        let trace = "projects/my-project/traces/4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(inside["logging.googleapis.com/trace"], trace);
        assert_eq!(inside["logging.googleapis.com/spanId"], "00f067aa0ba902b7");
        assert_eq!(inside["logging.googleapis.com/trace_sampled"], true);
        let rest = (&inside["message"], &inside["a"], &inside["severity"], &inside["span"]["call_id"]);
        assert_eq!(rest, (&"inside".into(), &"}\n".into(), &"INFO".into(), &"x}\n".into()));
    }

    #[test]
    fn without_a_project_the_id_stands_alone() {
        assert_eq!(lines(None)[1]["logging.googleapis.com/trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    }
}

//! `ConsoleSubscriber`: writes `tracing`'s lines to a Worker's console, each with the spans around it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::LogFormat;
use super::fields::Fields;

/// Writes one line of this level.
type Write = fn(Level, &str);

/// A subscriber for one thread: a Worker has no other.
pub(crate) struct ConsoleSubscriber {
    most: LevelFilter,
    format: LogFormat,
    write: Write,
    next: AtomicU64,
    spans: Mutex<Spans>,
}

#[derive(Default)]
struct Spans {
    open: BTreeMap<u64, OpenSpan>,
    /// The spans that are entered, the innermost last.
    entered: Vec<u64>,
}

struct OpenSpan {
    name: &'static str,
    parent: Option<u64>,
    fields: Fields,
    references: u32,
}

impl ConsoleSubscriber {
    pub(crate) fn new(most: LevelFilter, format: LogFormat, write: Write) -> Self {
        Self { most, format, write, next: AtomicU64::new(1), spans: Mutex::default() }
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, metadata: &Metadata<'_>, around: &[(&'static str, Fields)], fields: &Fields) -> String {
        match self.format {
            LogFormat::Text => {
                let around = around.iter().map(|(name, fields)| format!("{name}{{{}}}: ", fields.text()));
                format!("{}{}", around.collect::<String>(), fields.text())
            }
            LogFormat::Json => {
                let mut line = Map::new();
                line.insert("level".to_owned(), metadata.level().as_str().to_lowercase().into());
                line.insert("target".to_owned(), metadata.target().into());
                around.iter().for_each(|(_, fields)| fields.add_to(&mut line));
                fields.add_to(&mut line);
                Value::Object(line).to_string()
            }
        }
    }
}

impl Spans {
    /// The span that something new is in.
    fn parent(&self, explicit: Option<&Id>, is_contextual: bool) -> Option<u64> {
        explicit.map(Id::into_u64).or_else(|| self.entered.last().copied().filter(|_| is_contextual))
    }

    /// This span and those around it, the outermost first.
    fn around(&self, innermost: Option<u64>) -> Vec<(&'static str, Fields)> {
        let mut found = Vec::new();
        let mut next = innermost;
        while let Some(span) = next.and_then(|id| self.open.get(&id)) {
            found.push((span.name, span.fields.clone()));
            next = span.parent;
        }
        found.reverse();
        found
    }
}

impl Subscriber for ConsoleSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed).max(1);
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let mut spans = self.spans();
        let parent = spans.parent(attributes.parent(), attributes.is_contextual());
        if let Some(parent) = parent.and_then(|parent| spans.open.get_mut(&parent)) {
            parent.references = parent.references.saturating_add(1);
        }
        let name = attributes.metadata().name();
        spans.open.insert(id, OpenSpan { name, parent, fields, references: 1 });
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(span) = self.spans().open.get_mut(&span.into_u64()) {
            values.record(&mut span.fields);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let around = {
            let spans = self.spans();
            spans.around(spans.parent(event.parent(), event.is_contextual()))
        };
        (self.write)(*event.metadata().level(), &self.line(event.metadata(), &around, &fields));
    }

    fn enter(&self, span: &Id) {
        self.spans().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        let mut spans = self.spans();
        if let Some(at) = spans.entered.iter().rposition(|id| *id == span.into_u64()) {
            spans.entered.remove(at);
        }
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.spans().open.get_mut(&id.into_u64()) {
            span.references = span.references.saturating_add(1);
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.spans();
        let mut next = Some(id.into_u64());
        let mut closed = false;
        // A span keeps those around it.
        while let Some(id) = next {
            let Some(span) = spans.open.get_mut(&id) else { break };
            span.references = span.references.saturating_sub(1);
            if span.references > 0 {
                break;
            }
            next = span.parent;
            spans.open.remove(&id);
            closed = true;
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tracing::level_filters::LevelFilter;
    use tracing::{Level, debug, error_span, info, warn};

    use super::{ConsoleSubscriber, LogFormat};

    thread_local! {
        static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    }

    fn lines(most: LevelFilter, format: LogFormat, work: impl FnOnce()) -> Vec<(Level, String)> {
        let write = |level, line: &str| LINES.with_borrow_mut(|lines| lines.push((level, line.to_owned())));
        let subscriber = ConsoleSubscriber::new(most, format, write);
        tracing::subscriber::with_default(subscriber, work);
        LINES.take()
    }

    #[test]
    fn a_line_has_the_fields_of_the_spans_around_it() {
        let found = lines(LevelFilter::INFO, LogFormat::Text, || {
            let job = error_span!("job", id = "ab12", kind = 5050_u16);
            {
                let _job = job.enter();
                warn!(left = 3, "slow");
                let _inner = error_span!("model", name = "small").entered();
                info!("asked");
                debug!("not at this level");
            }
            info!("outside");
        });
        let expected = [
            (Level::WARN, "job{id=ab12 kind=5050}: slow left=3"),
            (Level::INFO, "job{id=ab12 kind=5050}: model{name=small}: asked"),
            (Level::INFO, "outside"),
        ];
        assert_eq!(found, expected.map(|(level, line)| (level, line.to_owned())));
    }

    #[test]
    fn a_json_line_is_an_object() {
        let found = lines(LevelFilter::TRACE, LogFormat::Json, || {
            let _job = error_span!("job", id = "ab12", kind = 5050_u16).entered();
            info!(left = 3, "with \"quotes\"");
        });
        let line: serde_json::Value = serde_json::from_str(&found[0].1).unwrap();
        assert_eq!(line["message"], "with \"quotes\"");
        assert_eq!((&line["level"], &line["id"]), (&"info".into(), &"ab12".into()));
        assert_eq!((&line["kind"], &line["left"]), (&5050.into(), &3.into()));
    }

    #[test]
    fn closed_spans_are_dropped_and_open_ones_keep_those_around_them() {
        let write = |_, _: &str| {};
        let subscriber = ConsoleSubscriber::new(LevelFilter::TRACE, LogFormat::Text, write);
        let dispatch = tracing::Dispatch::new(subscriber);
        let open = || dispatch.downcast_ref::<ConsoleSubscriber>().unwrap().spans().open.len();
        tracing::dispatcher::with_default(&dispatch, || {
            let outer = error_span!("outer");
            let inner = outer.in_scope(|| error_span!("inner"));
            drop(outer);
            assert_eq!(open(), 2);
            drop(inner);
            assert_eq!(open(), 0);
        });
    }
}

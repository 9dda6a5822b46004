//! `--log-format json`: each log line as one JSON object, with the fields of the spans around it.

use std::io::Write;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;

/// Writes log lines to standard error.
pub(crate) struct JsonLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        line.insert("time".to_owned(), time().into());
        line.insert("level".to_owned(), event.metadata().level().as_str().to_lowercase().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                fields.add_to(&mut line);
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        fields.add_to(&mut line);
        let _ = writeln!(std::io::stderr(), "{}", Value::Object(line));
    }
}

/// The current time, as in `2026-01-01T08:00:00.000Z`.
fn time() -> String {
    let now =
        i64::try_from(openagents_host::now().as_millis()).ok().and_then(DateTime::from_timestamp_millis);
    now.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}
